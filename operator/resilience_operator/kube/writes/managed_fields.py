"""Patches `metadata.managedFields`, so that the next apply of an object's manifest is not refused for a conflict."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from resilience_operator.kube.client.client import KubeClient, KubeObject, PatchKind
from resilience_operator.kube.writes.field_ownership import Entry
from resilience_operator.kube.writes.json_patch import TRIES, Ops, set_op
from resilience_operator.resilience import CallError, Conflict, Deadline

log = logging.getLogger(__name__)


async def give_up(
    kube: KubeClient,
    path: str,
    live: KubeObject | None,
    returned: Callable[[KubeObject], list[Entry] | None],
    *,
    deadline: Deadline,
    allows: Callable[[KubeObject, Ops], Awaitable[bool]] | None = None,
) -> KubeObject | None:
    """Give up the ownership of fields after a write. Returns the object after that, None if it was never read.

    live: the object, if it was just read. returned: the managed fields without those that the operator gives up; None
    if there are none. allows: asked before the patch. A failure is logged only: the fields are as they should be.
    """
    try:
        for attempt in range(TRIES):
            if live is None:
                live = await kube.get(path, deadline=deadline)
            fields = returned(live)
            if fields is None:
                break
            # With the version, since the list is replaced as a whole. An empty one would be ignored.
            version = set_op("/metadata/resourceVersion", live["metadata"]["resourceVersion"])
            ops = [version, set_op("/metadata/managedFields", fields or [{}])]
            try:
                if allows is not None and not await allows(live, ops):
                    break
                return await kube.patch(path, ops, kind=PatchKind.JSON, deadline=deadline)
            except Conflict:
                await kube.retry.pause(attempt, deadline)
                live = await kube.get(path, deadline=deadline)
    except CallError as error:
        log.warning("%s: fields stay owned by this operator: %s", path, error)
    return live
