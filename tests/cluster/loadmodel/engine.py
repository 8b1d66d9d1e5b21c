"""Integrates behaviour over time into counters. All state is here, no I/O and no clock: `now` is passed in.

Between two changes (of pods, settings or backlog) every rate is constant, so counting is rate x time,
exactly; nothing is drawn at random, and the same times give the same counters. Each workload keeps its own
clock, so that a change of one costs nothing in the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from . import behaviour, queueing
from .behaviour import PodNow
from .layouts import DEFAULT, ISTIO, LINKERD, OPENTELEMETRY, Layout
from .objects import Deployment, Key, Owner, Pod, ReplicaSet, workload_of
from .settings import Effective, ImageSettings, WorkloadSettings, combine

LAYOUTS = (DEFAULT, OPENTELEMETRY, ISTIO, LINKERD)

BACKLOG_STEP = 1.0
"""Seconds; the longest step in which a backlog's effect on latency is held constant."""

FORGET_AFTER = 300.0
"""Seconds after which a workload without pods loses its ingress counters."""


@dataclass(slots=True)
class Histogram:
    """Cumulative bucket counts (the last is all) and the sum of observations in seconds."""

    buckets: list[float]
    sum: float = 0.0


@dataclass(slots=True)
class Tally:
    """Requests counted so far, by status code, and their response times by layout and code."""

    counts: dict[str, float] = field(default_factory=dict)
    histograms: dict[tuple[Layout, str], Histogram] = field(default_factory=dict)

    def count(self, code: str, requests: float) -> None:
        """Count requests that ended with `code`."""
        self.counts[code] = self.counts.get(code, 0.0) + requests

    def observe(self, layout: Layout, code: str, requests: float, shares: tuple[float, ...], mean: float) -> None:
        """Add `requests` response times, spread as `shares` says."""
        key = (layout, code)
        histogram = self.histograms.get(key)
        if histogram is None:
            histogram = self.histograms[key] = Histogram([0.0] * len(shares))
        histogram.buckets = [v + requests * s for v, s in zip(histogram.buckets, shares, strict=True)]
        histogram.sum += requests * mean


@dataclass(slots=True)
class PodState:
    """A pod, what it does now, and what it has counted since it was first seen."""

    pod: Pod
    workload: Owner
    settings: Effective
    now: PodNow
    cpu_seconds: list[float]
    backlog: float = 0.0
    tally: Tally = field(default_factory=Tally)
    texts: dict[object, str] = field(default_factory=dict)
    """Label texts prepared by the exposition; dropped when the pod object changes."""


@dataclass(slots=True)
class WorkloadState:
    """The pods of a workload, and what a proxy in front of it has counted."""

    key: Key
    settings: Effective
    at: float
    pods: dict[str, PodState] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    empty_since: float = 0.0
    texts: dict[object, str] = field(default_factory=dict)


class Engine:
    """The whole model. Not thread-safe: one event loop owns it."""

    def __init__(self, defaults: Effective | None = None) -> None:
        self.defaults = defaults or Effective()
        self.workload_settings: dict[Key, WorkloadSettings] = {}
        self.image_settings: dict[str, ImageSettings] = {}
        self.workloads: dict[Key, WorkloadState] = {}
        self.replica_sets: dict[Key, ReplicaSet] = {}
        self.deployments: dict[Key, Deployment] = {}
        self._workload_of_uid: dict[str, Key] = {}

    # --- what the watches tell -------------------------------------------------------------------------

    def put_pod(self, pod: Pod, now: float) -> None:
        """A pod was added or changed. Another uid is another pod, and counts from zero."""
        replica_set = self.replica_sets.get(Key(pod.namespace, pod.owner.name))
        workload = workload_of(pod, replica_set.owner if replica_set else None)
        key = Key(pod.namespace, workload.name)
        if self._workload_of_uid.get(pod.uid, key) != key:
            self.remove_pod(pod.uid, now)
        state = self._workload(key, now)
        known = state.pods.get(pod.uid)
        if known is not None and _alike(known.pod, pod):
            if known.pod != pod:
                known.pod, known.texts = pod, {}
            return
        self._advance(state, now)
        self._workload_of_uid[pod.uid] = key
        if known is None:
            settings = self._effective(key, pod.image)
            state.pods[pod.uid] = PodState(
                pod, workload, settings, behaviour.idle(pod.containers, settings), [0.0] * len(pod.containers)
            )
        else:
            known.pod, known.texts = pod, {}
        self._recompute(state)

    def remove_pod(self, uid: str, now: float) -> None:
        """A pod is gone; its counters go with it."""
        key = self._workload_of_uid.pop(uid, None)
        if key is None:
            return
        state = self.workloads[key]
        self._advance(state, now)
        state.pods.pop(uid, None)
        state.empty_since = now
        self._recompute(state)

    def replace_pods(self, pods: Iterable[Pod], now: float) -> None:
        """A full list: whatever is not in it was deleted while nobody watched."""
        listed = {pod.uid: pod for pod in pods}
        for uid in [uid for uid in self._workload_of_uid if uid not in listed]:
            self.remove_pod(uid, now)
        for pod in listed.values():
            self.put_pod(pod, now)

    # --- what a test sets ------------------------------------------------------------------------------

    def set_workload(self, key: Key, settings: WorkloadSettings | None, now: float) -> None:
        """Replace a workload's settings; None takes them away."""
        self._advance_all(now)
        if settings is None:
            self.workload_settings.pop(key, None)
        else:
            self.workload_settings[key] = settings
        if key in self.workloads:
            self._recompute(self.workloads[key])

    def set_image(self, image: str, settings: ImageSettings | None, now: float) -> None:
        """Replace an image's settings; None takes them away."""
        self._advance_all(now)
        if settings is None:
            self.image_settings.pop(image, None)
        else:
            self.image_settings[image] = settings
        for state in self.workloads.values():
            self._recompute(state)

    def reset(self, now: float) -> None:
        """Take all settings away. Counters and backlogs stay."""
        self._advance_all(now)
        self.workload_settings.clear()
        self.image_settings.clear()
        for state in self.workloads.values():
            self._recompute(state)

    # --- time ------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Bring every counter up to `now`, seconds of a monotonic clock."""
        self._advance_all(now)
        for key, state in list(self.workloads.items()):
            if not state.pods and now - state.empty_since > FORGET_AFTER:
                del self.workloads[key]

    def _advance_all(self, now: float) -> None:
        for state in self.workloads.values():
            self._advance(state, now)

    def _advance(self, state: WorkloadState, now: float) -> None:
        while state.at < now:
            moving = any(p.backlog > 0 or p.now.rho > 1 for p in state.pods.values())
            seconds = min(now - state.at, BACKLOG_STEP) if moving else now - state.at
            self._integrate(state, seconds)
            # `now` itself rather than a sum, lest rounding leave a sliver that never closes.
            state.at = now if seconds >= now - state.at else state.at + seconds
            if moving:
                for pod in state.pods.values():
                    pod.backlog = queueing.next_backlog(
                        pod.backlog,
                        pod.now.rps,
                        pod.now.capacity_rps,
                        pod.settings.service_time_seconds,
                        pod.settings.timeout_seconds,
                        seconds,
                    )
                self._recompute(state)

    def _integrate(self, state: WorkloadState, seconds: float) -> None:
        for pod in state.pods.values():
            faults = pod.settings.metrics
            if pod.now.cpu_cores > 0 and faults.get("cpu") != "stale":
                usage = behaviour.split_cpu(
                    pod.now.cpu_cores * seconds, pod.pod.containers, pod.settings.cpu_by_container
                )
                pod.cpu_seconds = [a + b for a, b in zip(pod.cpu_seconds, usage, strict=True)]
            for code, rate in pod.now.code_rates:
                requests = rate * seconds
                if faults.get("errors") != "stale":
                    pod.tally.count(code, requests)
                    state.tally.count(code, requests)
                if faults.get("latency") != "stale":
                    for layout in LAYOUTS:
                        profile = pod.now.profile(layout, code)
                        pod.tally.observe(layout, code, requests, profile.shares, profile.mean)
                        if layout is DEFAULT:
                            state.tally.observe(layout, code, requests, profile.shares, profile.mean)
        if state.settings.rps > 0 and not any(p.pod.serving for p in state.pods.values()):
            self._refuse(state, state.settings.rps * seconds)

    @staticmethod
    def _refuse(state: WorkloadState, requests: float) -> None:
        """No pod is ready: a proxy in front answers 503 at once."""
        if state.settings.metrics.get("errors") != "stale":
            state.tally.count(behaviour.NO_BACKEND, requests)
        if state.settings.metrics.get("latency") != "stale":
            at_once = (1.0,) * (len(DEFAULT.bounds) + 1)
            state.tally.observe(DEFAULT, behaviour.NO_BACKEND, requests, at_once, 0.0)

    # --- what follows from it --------------------------------------------------------------------------

    def _workload(self, key: Key, now: float) -> WorkloadState:
        state = self.workloads.get(key)
        if state is None:
            state = WorkloadState(key, self._effective(key, None), now, empty_since=now)
            self.workloads[key] = state
        return state

    def _effective(self, key: Key, image: str | None) -> Effective:
        workload = self.workload_settings.get(key, WorkloadSettings())
        return combine(self.defaults, workload, self.image_settings.get(image or "", ImageSettings()))

    def _recompute(self, state: WorkloadState) -> None:
        state.settings = self._effective(state.key, None)
        serving = [p.pod.name for p in state.pods.values() if p.pod.serving]
        rates = behaviour.shares(state.settings.rps, serving, state.settings.pod_weights)
        cores = behaviour.shares(state.settings.cpu_total_cores or 0.0, serving, state.settings.pod_weights)
        by_image: dict[str, Effective] = {}
        for pod in state.pods.values():
            image = pod.pod.image
            if image not in by_image:
                by_image[image] = self._effective(state.key, image)
            pod.settings = by_image[image]
            pod.now = self._now(pod, rates.get(pod.pod.name, 0.0), cores.get(pod.pod.name, 0.0))

    @staticmethod
    def _now(state: PodState, rps: float, cores: float) -> PodNow:
        pod = state.pod
        if not pod.serving:
            state.backlog = 0.0
            idle = behaviour.idle(pod.containers, state.settings)
            if pod.phase != "Running" or pod.terminating or state.settings.cpu_utilisation is None:
                return idle
        # A fixed CPU is fixed for every running pod, ready or not: a test that sets 85% means all of them.
        return behaviour.pod_now(state.settings, pod.containers, rps=rps, cpu_total_share=cores, backlog=state.backlog)

    def pods(self) -> Iterable[PodState]:
        """Every pod, by workload."""
        for workload in self.workloads.values():
            yield from workload.pods.values()


def _alike(old: Pod, new: Pod) -> bool:
    """Whether a change of the pod (its address, say) leaves what it does as it is; most changes do."""

    def what_counts(pod: Pod) -> tuple[object, ...]:
        return (pod.serving, pod.phase, pod.terminating, pod.containers)

    return what_counts(old) == what_counts(new)
