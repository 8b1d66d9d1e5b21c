"""Simulated pods: start, readiness, and the faults that they can have. Pure: each change makes a new value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf

from resilience_operator.decision.model.target import Pod as PodState

FIRST_BACK_OFF = 10.0
LONGEST_BACK_OFF = 300.0
"""Seconds between restarts of a crashing container: doubled at each, as the kubelet does."""


class FaultKind(StrEnum):
    """What is wrong with a pod."""

    CRASH = "crash"
    OOM = "oomKilled"
    IMAGE = "imagePull"
    CONFIG = "configError"
    NOT_READY = "notReady"
    FLAP = "flap"
    HANG = "hang"
    PENDING = "pending"


_WAITING = {
    FaultKind.IMAGE: ("ImagePullBackOff", 'Back-off pulling image "registry.example/app:bad"'),
    FaultKind.CONFIG: ("CreateContainerConfigError", 'configmap "app" not found'),
}
_AT_START_ONLY = (FaultKind.IMAGE, FaultKind.CONFIG, FaultKind.PENDING)
_CRASHES = {FaultKind.CRASH: "Error", FaultKind.OOM: "OOMKilled"}
UNSCHEDULABLE = "0/3 nodes are available: 3 Insufficient cpu."


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of some pods.

    revision: only pods of this one; empty for all. pods: at most so many at a time; None for all.
    after: a container crashes so many seconds after its start; a flapping pod is ready that long.
    down: seconds for which a flapping pod is not ready.
    """

    kind: FaultKind
    revision: str = ""
    pods: int | None = None
    after: float = 5.0
    down: float = 10.0


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod. Times are seconds since the epoch; infinity for never.

    started: when its container starts, or started last. ready: from `ready_at` until before `unready_at`.
    changes_at: when a fault changes it next. losses: how often it lost readiness; lost_at: the last time.
    """

    revision: str
    ready_at: float
    name: str = ""
    created: float = 0.0
    started: float = 0.0
    unready_at: float = inf
    changes_at: float = inf
    fault: Fault | None = None
    restarts: int = 0
    last_terminated: str = ""
    last_terminated_at: float | None = None
    first_ready_at: float | None = None
    losses: int = 0
    lost_at: float | None = None
    unschedulable: str = ""

    def ready(self, now: float) -> bool:
        """Whether it is ready."""
        return self.ready_at <= now < self.unready_at

    def running(self, now: float) -> bool:
        """Whether its container runs."""
        return self.started <= now and not self.unschedulable and not self._waiting

    @property
    def _waiting(self) -> tuple[str, str] | None:
        return None if self.fault is None else _WAITING.get(self.fault.kind)

    def state(self, now: float) -> PodState:
        """The pod as the API server shows it."""
        ready = self.ready(now)
        waiting, message = self._waiting or ("", "")
        if self.started > now and self.restarts > 1:
            waiting, message = "CrashLoopBackOff", "back-off restarting failed container"
        served = self.first_ready_at
        if served is None and self.ready_at <= now:
            served = self.ready_at
        return PodState(
            name=self.name,
            revision=self.revision,
            created=self.created,
            ready=ready,
            ready_at=self.ready_at if ready else None,
            started_serving=served,
            waiting=waiting,
            message=message,
            restarts=self.restarts,
            last_terminated=self.last_terminated,
            last_terminated_at=self.last_terminated_at,
            unschedulable=self.unschedulable,
            node="" if self.unschedulable else "node-1",
            unready_count=self.losses,
            unready_since=None if ready else self.created if self.lost_at is None else self.lost_at,
        )


def start(pod: Pod, startup: float, now: float) -> Pod:
    """The pod once its node starts it, with its fault taking effect."""
    pod = replace(pod, started=now, ready_at=now + startup, unready_at=inf, changes_at=inf, unschedulable="")
    fault = pod.fault
    if fault is None:
        return pod
    if fault.kind is FaultKind.PENDING:
        return replace(pod, started=inf, ready_at=inf, unschedulable=UNSCHEDULABLE)
    if fault.kind in _WAITING:
        return replace(pod, started=inf, ready_at=inf)
    if fault.kind is FaultKind.NOT_READY:
        return replace(pod, ready_at=inf)
    if fault.kind is FaultKind.FLAP:
        end = pod.ready_at + fault.after
        return replace(pod, unready_at=end, changes_at=end)
    if fault.kind in _CRASHES:
        end = now + fault.after
        return replace(pod, unready_at=end, changes_at=end, ready_at=pod.ready_at if pod.ready_at < end else inf)
    return pod


def break_pod(pod: Pod, fault: Fault, startup: float, now: float) -> Pod:
    """The pod, which may run already, with a fault from now on."""
    pod = replace(pod, fault=fault)
    if pod.started > now and fault.kind not in _AT_START_ONLY:
        return start(pod, startup, now)
    if fault.kind is FaultKind.NOT_READY:
        return replace(lose_readiness(pod, now), unready_at=now)
    if fault.kind is FaultKind.FLAP or fault.kind in _CRASHES:
        return advance_pod(replace(pod, unready_at=now, changes_at=now), startup, now)
    if fault.kind is FaultKind.HANG:
        return pod
    # A running container keeps its image, configuration and node.
    return replace(pod, fault=None)


def heal(pod: Pod, startup: float, now: float) -> Pod:
    """The pod without its fault."""
    fault = pod.fault
    pod = replace(pod, fault=None)
    if fault is None or fault.kind is FaultKind.HANG:
        return pod
    if fault.kind in (FaultKind.NOT_READY, FaultKind.FLAP):
        return replace(pod, ready_at=max(now, pod.started + startup), unready_at=inf, changes_at=inf)
    if pod.ready(now) and fault.kind in _CRASHES:
        return replace(pod, unready_at=inf, changes_at=inf)
    return start(pod, startup, now)


def advance_pod(pod: Pod, startup: float, now: float) -> Pod:
    """The pod at `now`: containers that crash are restarted, flapping pods change."""
    while pod.changes_at <= now and pod.fault is not None:
        at, fault = pod.changes_at, pod.fault
        pod = lose_readiness(pod, at)
        if fault.kind is FaultKind.FLAP:
            end = at + fault.down + fault.after
            pod = replace(pod, ready_at=at + fault.down, unready_at=end, changes_at=end)
            continue
        # The first restart is immediate.
        wait = 0.0 if pod.restarts == 0 else min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** min(pod.restarts - 1, 9))
        pod = replace(
            start(pod, startup, at + wait),
            restarts=pod.restarts + 1,
            last_terminated=_CRASHES[fault.kind],
            last_terminated_at=at,
        )
    return pod


def lose_readiness(pod: Pod, now: float) -> Pod:
    """The pod, which remembers that it served, and that it loses readiness now if it is ready."""
    if pod.first_ready_at is None and pod.ready_at <= now:
        pod = replace(pod, first_ready_at=pod.ready_at)
    if pod.ready_at < now <= pod.unready_at:
        return replace(pod, losses=pod.losses + 1, lost_at=now)
    return pod
