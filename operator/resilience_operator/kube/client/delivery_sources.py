"""Reads which version of its source a Flux Kustomization or HelmRelease has tried to apply."""

from __future__ import annotations

from typing import Any

from resilience_operator.decision.model.target import DeliveredBy, SourceState
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.delivery_events import RESOURCES
from resilience_operator.resilience import Deadline, NotFound

MISSING = SourceState("")
"""The object does not exist."""


async def read_source(kube: KubeClient, owner: DeliveredBy, *, deadline: Deadline) -> SourceState:
    """Return the version that it has tried to apply last. Raises `CallError`s but NotFound, and ValueError."""
    resource = RESOURCES[owner.kind]
    try:
        found = await kube.get(resource.item(owner.namespace, owner.name), deadline=deadline)
    except NotFound:
        return MISSING
    try:
        return source_state(owner.kind, found)
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise ValueError("its status cannot be read") from error


def source_state(kind: str, obj: dict[str, Any]) -> SourceState:
    """Return the version in the status of a Kustomization or HelmRelease."""
    status = obj.get("status") or {}
    if kind == "HelmRelease":
        # An upgrade applies every object, whatever its annotations: each release of Helm is a version.
        history = status.get("history") or [{}]
        return SourceState(f"{status.get('lastAttemptedRevision') or '?'} release {history[0].get('version', 0)}")
    generation = obj["metadata"].get("generation")
    attempted = status.get("lastAttemptedRevision") or "?"
    # The attempted version is published before the first object is applied.
    conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or ()}
    complete = status.get("lastAppliedRevision") == attempted and status.get("observedGeneration") == generation
    return SourceState(f"{attempted} generation {generation}", complete and conditions.get("Reconciling") != "True")
