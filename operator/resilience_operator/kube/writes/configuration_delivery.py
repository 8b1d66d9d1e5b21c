"""Restored configuration and the tool that applies it: what it leaves alone, and whose fields the data are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from resilience_operator.decision.configuration.references import CONFIG_MAP, SECRET
from resilience_operator.decision.model.commands import Command
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.client.client import KubeClient, KubeObject, PatchKind
from resilience_operator.kube.client.errors import DEPENDENCY
from resilience_operator.kube.client.paths import CONFIG_MAPS, SECRETS, WORKLOADS, Resource
from resilience_operator.kube.writes import gitops_hold
from resilience_operator.kube.writes.field_ownership import data_returned
from resilience_operator.kube.writes.json_patch import TRIES, set_op
from resilience_operator.kube.writes.managed_fields import give_up
from resilience_operator.resilience import CallError, Conflict, Deadline, NotFound

log = logging.getLogger(__name__)

RESOURCES: Mapping[str, Resource] = {CONFIG_MAP: CONFIG_MAPS, SECRET: SECRETS}

RESTORED_BY = "resilience-operator.io/restored-by"
"""The annotation of an object that a rollback created again: the policy's name."""


def held_by(command: Command) -> tuple[str, ...]:
    """Return the objects that the tool which applies the target from git leaves as a rollback restores them."""
    found: Any = command.arguments.get("held")
    return tuple(str(key) for key in found) if isinstance(found, list | tuple) else ()


async def lift_holds(kube: KubeClient, target: TargetState, *, deadline: Deadline) -> None:
    """Let the tool that applies the target from git apply its configuration again.

    The mark of the target says which objects are held, so that one is removed last.
    """
    live = await kube.get(WORKLOADS[target.kind].item(target.namespace, target.name), deadline=deadline)
    for key in gitops_hold.held_configuration(live["metadata"]):
        if key.partition("/")[0] not in RESOURCES:
            continue
        try:
            await _lift(kube, target, key, deadline)
        except NotFound:
            continue
        except CallError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            log.warning("%s/%s: %s stays held, no right to change it: %s", target.namespace, target.name, key, error)


async def _lift(kube: KubeClient, target: TargetState, key: str, deadline: Deadline) -> None:
    kind, _, name = key.partition("/")
    path = RESOURCES[kind].item(target.namespace, name)
    for attempt in range(TRIES):
        meta = (await kube.get(path, deadline=deadline))["metadata"]
        if not gitops_hold.is_held(meta):
            return
        ops = [set_op("/metadata/resourceVersion", meta["resourceVersion"]), *gitops_hold.lift_ops(meta)]
        try:
            await kube.patch(path, ops, kind=PatchKind.JSON, deadline=deadline)
            return
        except Conflict:
            await kube.retry.pause(attempt, deadline)
    raise Conflict(
        f"{target.kind} {target.namespace}/{target.name} reads {key}, which changed {TRIES} times while its hold was "
        "lifted",
        dependency=DEPENDENCY,
        reason="moved",
    )


async def hand_back_data(
    kube: KubeClient,
    namespace: str,
    key: str,
    live: KubeObject | None,
    deadline: Deadline,
    *,
    before: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Return the ownership of restored data, so that the next apply of its manifest is not refused for a conflict.

    before: its managed fields before the restore. A failure is logged only: the data itself is as it should be.
    """
    if live is None:
        return
    kind, _, name = key.partition("/")
    path = RESOURCES[kind].item(namespace, name)
    await give_up(
        kube, path, live, lambda now: data_returned(now["metadata"].get("managedFields"), before), deadline=deadline
    )
