"""Recording: the policy's status. Nothing is written that did not change."""

from __future__ import annotations

import asyncio
from typing import Any

from resilience_operator.api.status import PolicyStatus
from resilience_operator.kube.client import Kube
from resilience_operator.kube.policies import patch_status
from resilience_operator.resilience import Deadline
from resilience_operator.runtime.entry import Entry
from resilience_operator.runtime.metrics import STATUS_WRITES
from resilience_operator.status.render import Rendered


class Recorder:
    """Writes what evaluations come to. refresh: seconds between writes of values that are only shown, 0 for never."""

    def __init__(self, kube: Kube, *, refresh: float) -> None:
        self._kube = kube
        self._refresh = refresh
        self._written: dict[str, float] = {}

    def forget(self, uid: str) -> None:
        """A policy is gone."""
        self._written.pop(uid, None)

    async def write_status(self, entry: Entry, rendered: Rendered, deadline: Deadline, *, why: str) -> None:
        """Write the status if it changed in essence, or if only shown values changed and it is time to.

        Raises ReadAgain when the policy is no longer the one that was evaluated.
        """
        if entry.deleted:
            return
        now = asyncio.get_running_loop().time()
        same = rendered.essence == entry.essence
        if same:
            due = self._refresh and now - self._written.get(entry.uid, now) >= self._refresh
            if not due or rendered.body == entry.raw_status:
                return
            why = "refresh"
        patch = merge_patch(entry.raw_status, rendered.body)
        if patch:
            written = await patch_status(
                self._kube,
                entry.namespace,
                entry.name,
                patch,
                deadline=deadline,
                uid=entry.uid,
                resource_version=entry.resource_version,
            )
            STATUS_WRITES.labels(why).inc()
            entry.resource_version = str(written["metadata"]["resourceVersion"])
            entry.raw_status = dict(written.get("status") or {})
        entry.status = PolicyStatus.model_validate(rendered.body)
        entry.essence = rendered.essence
        self._written[entry.uid] = now


def merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes `before` into `after`; empty when they are equal."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := merge_patch(old, value):
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch
