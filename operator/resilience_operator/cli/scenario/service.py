"""A model of a service: the effect of a load on its pods, and what they count.

Ready pods share the load evenly. A pod at `capacity` requests/s uses all the CPU that it requests; beyond `limit` of
that, requests fail. The 99th percentile grows as in a queue with one server, `idle / (1 − utilisation)` (L. Kleinrock,
Queueing Systems 1, 1975, 3.2), up to a time-out. Requests are Poisson-distributed, failures binomially, latencies
log-normally.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import sqrt

from resilience_operator.cli.scenario.counters import Counters
from resilience_operator.cli.scenario.noise import add_to_buckets, binomial, bucket_shares, mixed, poisson
from resilience_operator.simulation.pods import FaultKind, Pod
from resilience_operator.simulation.workload import Workload

TIMEOUT = 10.0
"""The time-out of callers in seconds; no response takes longer."""

Bounds = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Bursts:
    """Failures that come together: `size` failed requests of one pod at a time, on average `every` seconds."""

    size: int
    every: float


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The first `seconds` of a container. latency: factor of its latency. cpu: of its CPU request, at least."""

    seconds: float = 0.0
    latency: float = 1.0
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The behaviour of one revision's pods. cpu: the CPU cost of a request, relative to that of `capacity`.

    slow_share: share of requests whose latency is `slow_factor` times as long.
    """

    errors: float
    latency: float
    cpu: float = 1.0
    slow_share: float = 0.0
    slow_factor: float = 1.0
    bursts: Bursts | None = None
    warm_up: WarmUp = WarmUp()


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something outside the workload that makes requests fail or slow, whatever the revision.

    since: only pods created from then on are affected, as by a changed ConfigMap; seconds since the epoch.
    revision: only this one; empty for all.
    """

    errors: float = 0.0
    latency: float = 0.0
    since: float = 0.0
    revision: str = ""

    def affects(self, pod: Pod) -> bool:
        """Whether a pod is affected."""
        return pod.created >= self.since and self.revision in ("", pod.revision)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Readiness under load: a pod above `fails_above` utilisation is not ready for `down` seconds."""

    fails_above: float
    down: float


@dataclass(slots=True)
class SimulatedService:
    """The service's pods and what they count. total, failed: requests since the start.

    bounds: of the latency buckets; the last one is infinite. entry: counters of the Service at its ingress, where
    requests without a ready pod also count, as failed. hidden: revisions whose pods export no metrics.
    """

    capacity: float
    limit: float
    rng: random.Random
    behaviours: dict[str, Behaviour]
    bounds: Bounds
    readiness: Readiness | None = None
    disturbances: list[Disturbance] = field(default_factory=list)
    total: float = 0.0
    failed: float = 0.0
    pods: dict[str, Counters] = field(default_factory=dict)
    entry: Counters = field(init=False)
    hidden: frozenset[str] = frozenset()
    _unready: set[str] = field(default_factory=set)
    _restarts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entry = Counters.zero("", len(self.bounds))

    def serve(self, workload: Workload, rate: float, now: float, seconds: float) -> set[str]:
        """Serve the load of the `seconds` from `now` on, at `rate` requests/s, with the pods that are ready now.

        Returns the names of pods that fail their readiness probe because of it.
        """
        pods = workload.pods
        ready = [pod for pod in pods if pod.ready(now)]
        self._unready = set()
        serving = {pod.name for pod in ready}
        share = rate / len(ready) if ready else 0.0
        for pod in pods:
            if pod.started <= now:
                self._one(pod, share if pod.name in serving else 0.0, now, seconds)
        if not ready and rate > 0:
            lost = poisson(self.rng, rate * seconds)
            self._count(lost, lost, (1.0,) * len(self.bounds), None)
        self._burst(ready, seconds)
        return self._unready

    def forget(self, pods: tuple[Pod, ...]) -> None:
        """Forget the counters of pods that are gone."""
        if len(self.pods) > len(pods):
            names = {pod.name for pod in pods}
            for name in [name for name in self.pods if name not in names]:
                del self.pods[name]

    def _one(self, pod: Pod, rate: float, now: float, seconds: float) -> None:
        counters = self._counters_of(pod)
        behaviour = self.behaviours[pod.revision]
        asked = rate * behaviour.cpu / self.capacity
        utilisation = asked / self.limit
        busy = min(asked, self.limit)
        latency = behaviour.latency
        age = now - pod.started
        if age < behaviour.warm_up.seconds:
            busy = min(self.limit, max(busy, behaviour.warm_up.cpu))
            latency *= behaviour.warm_up.latency
        if rate <= 0:
            counters.cpu += busy * seconds
            return
        requests = poisson(self.rng, rate * seconds)
        failing = behaviour.errors + (max(0.0, 1 - 1 / utilisation) if utilisation > 0 else 0.0)
        for disturbance in self.disturbances:
            if disturbance.affects(pod):
                failing += disturbance.errors
                latency += disturbance.latency
        p99 = min(TIMEOUT, latency / max(1 - utilisation, latency / TIMEOUT))
        if pod.fault is not None and pod.fault.kind is FaultKind.HANG:
            failing, p99, busy = 1.0, TIMEOUT, 0.0
        shares = bucket_shares(round(p99, 4), self.bounds)
        if behaviour.slow_share:
            slow = bucket_shares(round(min(TIMEOUT, p99 * behaviour.slow_factor), 4), self.bounds)
            shares = mixed(shares, slow, behaviour.slow_share)
        counters.cpu += max(0.0, busy * seconds * (1 + self.rng.gauss(0, 1) / sqrt(max(1.0, requests))))
        self._count(requests, binomial(self.rng, requests, min(1.0, failing)), shares, counters)
        if self.readiness is not None and utilisation > self.readiness.fails_above and self.rng.random() < 0.5:
            self._unready.add(pod.name)

    def _count(self, requests: int, errors: int, shares: tuple[float, ...], counters: Counters | None) -> None:
        self.total += requests
        self.failed += errors
        self.entry.requests += requests
        self.entry.errors += errors
        if counters is None:
            add_to_buckets(self.rng, self.entry.buckets, requests, shares)
            return
        counters.requests += requests
        counters.errors += errors
        before = list(counters.buckets)
        add_to_buckets(self.rng, counters.buckets, requests, shares)
        for number, (new, old) in enumerate(zip(counters.buckets, before, strict=True)):
            self.entry.buckets[number] += new - old

    def _burst(self, ready: list[Pod], seconds: float) -> None:
        """Bursts of failures, each on one pod. A burst is of requests that would not have been sent otherwise."""
        for revision in {pod.revision for pod in ready}:
            bursts = self.behaviours[revision].bursts
            if bursts is not None and self.rng.random() < seconds / bursts.every:
                pod = self.rng.choice([pod for pod in ready if pod.revision == revision])
                shares = bucket_shares(round(self.behaviours[revision].latency, 4), self.bounds)
                self._count(bursts.size, bursts.size, shares, self._counters_of(pod))

    def _counters_of(self, pod: Pod) -> Counters:
        found = self.pods.get(pod.name)
        if found is None or self._restarts.get(pod.name, 0) != pod.restarts:
            # A restarted container counts from zero.
            found = self.pods[pod.name] = Counters.zero(pod.revision, len(self.bounds))
            self._restarts[pod.name] = pod.restarts
        return found
