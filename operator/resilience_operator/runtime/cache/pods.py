"""Reads the pods of targets that need a look: a release is watched, or pods are missing. At rest it makes no call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from resilience_operator.decision.model.memory import Phase, ReleaseMemory
from resilience_operator.decision.model.target import Pod, TargetState
from resilience_operator.kube.cache.pods import create_failure, list_pods, project_pods
from resilience_operator.kube.cache.selectors import Selector
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.resilience import Deadline
from resilience_operator.runtime.cache.pod_lists import PodLists
from resilience_operator.runtime.cache.policy_entry import TargetKey

KEPT_AFTER = 180.0
"""Seconds after the last unusual state for which pods are still listed: they start up, or fail again."""

AGAIN_AFTER = 30.0
"""Seconds between lists of a target that misses pods outside a release, or of one known by its `/scale` at rest."""

CREATED_WITHIN = 5.0
"""Seconds within which a controller creates a missing pod. After that, its Events are read."""

EVENTS_SINCE = 1200.0
"""Seconds for which an Event about a failed creation counts. Controllers retry at most every 16 minutes."""

MAX_AGE = 90.0
"""Seconds for which a list is used when newer ones fail."""

MOST_TARGETS = 2_000
"""Targets whose pods are remembered."""

_WATCHED = (Phase.PROGRESSING, Phase.PAUSED, Phase.ROLLING_BACK)


@dataclass(slots=True)
class PodHistory:
    """What was seen of a pod. ready_at: when it last became ready. first_ready: when it first did."""

    first_ready: float | None = None
    ready_at: float | None = None
    ready: bool = False
    unready_count: int = 0


@dataclass(slots=True)
class _Known:
    """The pods of a target as last listed.

    at: when, in seconds since the epoch; 0 if never. resource_version: the target's, at the last look.
    ready: the target's ready pods at that time.
    until: they are listed at least until then. failure: why pods cannot be created. too_few: since when pods are
    missing that a controller without a condition for it should have created, or None.
    """

    uid: str
    at: float = 0.0
    resource_version: str = ""
    until: float = 0.0
    pods: tuple[Pod, ...] | None = None
    ready: int = -1
    failure: str = ""
    too_few: float | None = None
    histories: dict[str, PodHistory] = field(default_factory=dict)


class PodReader:
    """Adds pods to the state of targets. selector_of: of a target's pods. clock: seconds since the epoch.

    lists: bounds the lists of pods of all targets.
    """

    def __init__(
        self,
        kube: KubeClient,
        selector_of: Callable[[TargetKey], Selector],
        clock: Callable[[], float],
    ) -> None:
        self._kube, self._selector_of, self._clock = kube, selector_of, clock
        self._known: dict[TargetKey, _Known] = {}
        self.lists = PodLists(clock)

    async def read(self, target: TargetState, release: ReleaseMemory | None) -> TargetState:
        """Return the target with its pods, or unchanged if there is no need to list them. Raises only CancelledError.

        release: as remembered from the last evaluation.
        """
        if target.scale_path:
            return target
        key, now = (target.kind, target.namespace, target.name), self._clock()
        known = self._known.get(key)
        if known is not None and known.uid != target.uid:
            del self._known[key]
            known = None
        unusual = is_unusual(target, release)
        baking = release is not None and release.phase is Phase.BAKING
        if known is None:
            if not unusual:
                if baking:
                    self._keep(key, _Known(target.uid, resource_version=target.resource_version))
                return target
            known = self._keep(key, _Known(target.uid))
        # In a bake, a change of a complete workload may be a restart that is over already.
        restarted = baking and known.resource_version not in ("", target.resource_version)
        known.resource_version = target.resource_version
        if unusual or restarted:
            known.until = now + KEPT_AFTER
        elif now >= known.until:
            known.pods, known.at, known.histories = None, 0.0, {}
            if not baking:
                del self._known[key]
            return target
        releasing = baking or release is None or release.phase in _WATCHED or target.revision != release.revision
        if releasing or target.ready != known.ready or not 0 <= now - known.at < AGAIN_AFTER:
            await self._list(key, target, known, now)
        return _with(target, known, now)

    def _keep(self, key: TargetKey, known: _Known) -> _Known:
        self._known[key] = known
        if len(self._known) > MOST_TARGETS:
            del self._known[next(iter(self._known))]
        return known

    async def _list(self, key: TargetKey, target: TargetState, known: _Known, now: float) -> None:
        async def list_them(deadline: Deadline) -> tuple[dict[str, Pod], str]:
            pods = project_pods(await list_pods(self._kube, target, self._selector_of(key), deadline=deadline), target)
            known.too_few = _too_few_since(known.too_few, target, pods.values(), now)
            if known.too_few is None or now - known.too_few < CREATED_WITHIN:
                return pods, ""
            return pods, await create_failure(self._kube, target, deadline=deadline, since=now - EVENTS_SINCE)

        found = await self.lists.read(target, list_them, "failing pods there are not recognized")
        if found is None:
            return
        pods, failure = found
        known.at, known.failure, known.ready = now, failure, target.ready
        known.histories, known.pods = follow_pods(known.histories, pods)


def is_unusual(target: TargetState, release: ReleaseMemory | None) -> bool:
    """Whether the pods are to be listed: a release is not complete, or pods are missing."""
    if target.ready < target.replicas or target.create_failure:
        return True
    # The name of such a pod does not tell its revision, by which its requests are counted.
    unnamed = release is not None and target.kind in ("StatefulSet", "DaemonSet")
    if release is None or target.revision != release.revision:
        return unnamed or not target.rolled_out
    return release.phase in _WATCHED or (unnamed and release.phase is Phase.BAKING)


def _too_few_since(before: float | None, target: TargetState, pods: Iterable[Pod], now: float) -> float | None:
    """Return since when the controller of a StatefulSet or DaemonSet creates fewer pods than it should.

    By default a StatefulSet creates a pod only after the ones before it are ready.
    """
    if target.kind == "Deployment":
        return None
    live = [pod for pod in pods if not pod.terminating]
    waits = target.kind == "StatefulSet" and not all(pod.ready for pod in live)
    if waits or len(live) >= target.replicas:
        return None
    return now if before is None else min(before, now)


def follow_pods(before: dict[str, PodHistory], pods: dict[str, Pod]) -> tuple[dict[str, PodHistory], tuple[Pod, ...]]:
    """Return the histories of these pods, and the pods completed by them."""
    histories: dict[str, PodHistory] = {}
    completed = []
    for uid, pod in pods.items():
        seen = histories[uid] = before.get(uid) or PodHistory()
        if seen.first_ready is None:
            seen.first_ready = pod.started_serving
        # A later ready_at shows a loss of readiness between two lists.
        if seen.ready and (not pod.ready or pod.ready_at != seen.ready_at):
            seen.unready_count += 1
        seen.ready, seen.ready_at = pod.ready, pod.ready_at
        completed.append(replace(pod, started_serving=seen.first_ready, unready_count=seen.unready_count))
    return histories, tuple(completed)


def _with(target: TargetState, known: _Known, now: float) -> TargetState:
    if known.pods is None or not 0 <= now - known.at <= MAX_AGE:
        return target
    return replace(target, pods=known.pods, create_failure=target.create_failure or known.failure)
