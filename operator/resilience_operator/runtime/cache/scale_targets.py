"""Reads targets whose only known interface is `/scale`, once per evaluation, and the pods that their selector finds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from resilience_operator.decision.model.target import Pod, TargetState
from resilience_operator.kube.cache.selected_pods import list_selected, project_selected, with_selected
from resilience_operator.kube.cache.workloads import Obj
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.scale_subresource import Scale, Scales
from resilience_operator.resilience import Deadline, NotFound
from resilience_operator.runtime.cache.pods import AGAIN_AFTER, MAX_AGE, MOST_TARGETS, PodHistory, follow_pods
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.cache.targets import WATCHED_KINDS, TargetCache

ScaleLookup = TargetState | Exception | None
"""The target, the error that prevented reading it, or None if the object does not exist or cannot be read."""


@dataclass(slots=True)
class _Known:
    """The pods of a target as last listed. at: seconds since the epoch. size: the pods wanted and existing then."""

    uid: str
    at: float = 0.0
    size: tuple[int, int] = (-1, -1)
    pods: tuple[Pod, ...] = ()
    histories: dict[str, PodHistory] = field(default_factory=dict)


class ScaleTargetReader:
    """Reads the `/scale` subresources for a batch of policies. clock: seconds since the epoch."""

    def __init__(self, kube: KubeClient, targets: TargetCache, clock: Callable[[], float] = time.time) -> None:
        self._kube = kube
        self._scales = Scales(kube)
        self._targets = targets
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def read(self, entries: Sequence[PolicyEntry], deadline: Deadline) -> dict[str, ScaleLookup]:
        """Read the targets, by policy uid. Policies on watched kinds are omitted."""
        asked = [e for e in entries if e.policy is not None and e.target[0] not in WATCHED_KINDS]
        found = await asyncio.gather(*(self._read(e, deadline) for e in asked))
        return {entry.uid: one for entry, one in zip(asked, found, strict=True)}

    async def _read(self, entry: PolicyEntry, deadline: Deadline) -> ScaleLookup:
        _, namespace, name = entry.target
        if self._targets.unreadable(entry.target):
            return None
        try:
            scale = await self._scales.read(
                entry.compiled.api_version,
                entry.compiled.kind,
                namespace,
                name,
                deadline=deadline,
                hpa=self._targets.autoscaler(entry.target),
            )
        except NotFound:
            return None
        except Exception as error:  # a CallError, or malformed content of the object; other policies are not affected
            return error
        return await self._with_pods(scale) if scale.selector else scale.target

    async def _with_pods(self, scale: Scale) -> TargetState:
        """Return the target with its pods, or as its Scale shows it if they cannot be listed."""
        target, now = scale.target, self._clock()
        known = self._known.get(target.uid)
        if known is None:
            known = self._known[target.uid] = _Known(target.uid)
            if len(self._known) > MOST_TARGETS:
                del self._known[next(iter(self._known))]
        size = target.replicas, target.ready
        settled = size == known.size and len(known.pods) >= target.replicas and all(p.ready for p in known.pods)
        if not settled or not 0 <= now - known.at < AGAIN_AFTER:
            await self._list(scale, known, size, now)
        return with_selected(target, known.pods) if 0 <= now - known.at <= MAX_AGE else target

    async def _list(self, scale: Scale, known: _Known, size: tuple[int, int], now: float) -> None:
        target = scale.target

        async def list_them(deadline: Deadline) -> list[Obj]:
            return await list_selected(self._kube, target, scale.selector, deadline=deadline)

        otherwise = f"pods of {target.kind} {target.name} that do not serve count as ready"
        items = await self._targets.pods.lists.read(target, list_them, otherwise)
        if items is None:
            return
        known.at, known.size = now, size
        known.histories, known.pods = follow_pods(known.histories, project_selected(items, target.revision or ""))
