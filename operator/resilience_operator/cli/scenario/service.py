"""A model of a service: the effect of a load on its pods, and the resulting measurements.

Ready pods share the load evenly. A pod at `capacity` requests/s uses all the CPU that it requests; beyond `limit` of
that, requests fail. The 99th percentile grows as in a queue with one server, `idle / (1 − utilisation)` (L. Kleinrock,
Queueing Systems 1, 1975, 3.2), up to a time-out. Counts are random, so that the sample sizes are realistic. Each value
is measured over the signal's window, like `increase()` and `rate()`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import exp

from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.signals import reasons
from resilience_operator.simulation.workload import Workload

TIMEOUT = 10.0
"""The time-out of callers in seconds; no response takes longer."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The behaviour of one revision's pods. cpu: the CPU cost of a request, relative to that of `capacity`."""

    errors: float
    latency: float
    cpu: float = 1.0


@dataclass(slots=True)
class _Slot:
    """The work of one revision's pods between two evaluations. busy: mean CPU use, in pods."""

    requests: float
    errors: float
    busy: float
    p99: float


@dataclass(slots=True)
class SimulatedService:
    """The service's pods and their recent work. total, failed: requests since the start."""

    capacity: float
    limit: float
    rng: random.Random
    behaviours: dict[str, Behaviour]
    memory: float
    total: float = 0.0
    failed: float = 0.0
    _slots: deque[tuple[float, float, dict[str, _Slot]]] = field(default_factory=deque)

    def serve(self, workload: Workload, rate: float, now: float, seconds: float) -> None:
        """Serve the load of the `seconds` before `now`, at `rate` requests/s."""
        ready = _count(workload, now)
        total = sum(ready.values())
        slot = {name: self._one(name, count, rate / total, seconds) for name, count in ready.items()} if total else {}
        for done in slot.values():
            self.total += done.requests
            self.failed += done.errors
        if not total:
            self.total += rate * seconds
            self.failed += rate * seconds
        self._slots.append((now, seconds, slot))
        while self._slots[0][0] <= now - self.memory - seconds:
            self._slots.popleft()

    def _one(self, revision: str, pods: int, rate: float, seconds: float) -> _Slot:
        """rate: requests/s of each of its pods."""
        behaviour = self.behaviours[revision]
        asked = rate * behaviour.cpu / self.capacity
        utilisation = asked / self.limit
        requests = _poisson(self.rng, rate * pods * seconds)
        refused = max(0.0, 1 - 1 / utilisation) if utilisation > 0 else 0.0
        failing = min(1.0, behaviour.errors + refused)
        p99 = min(TIMEOUT, behaviour.latency / max(1 - utilisation, behaviour.latency / TIMEOUT))
        return _Slot(
            requests, min(requests, _poisson(self.rng, requests * failing)), pods * min(asked, self.limit), p99
        )

    def measure(self, preset: str, workload: Workload, window: float, now: float) -> Observation:
        """Measure a built-in signal, split by revision. Revisions without pods are ignored."""
        pods = {name: sum(p.revision == name for p in workload.pods) for name in {p.revision for p in workload.pods}}
        seen = {name: list(self._within(name, window, now)) for name in pods}
        match preset:
            case "cpu":
                return self._cpu(pods, seen, now)
            case "error-rate":
                return self._errors(seen, now)
            case "latency-p99":
                return self._latency(seen, now)
            case _:
                message = f"the scenario has no values for {preset}: add it to signals"
                return Observation.unknown(now, reasons.NO_DATA, message)

    def requests(self, window: float, now: float) -> float:
        """The requests within the window."""
        return sum(slot.requests for at, _, slots in self._slots if at > now - window for slot in slots.values())

    def _within(self, revision: str, window: float, now: float) -> Iterator[tuple[float, _Slot]]:
        for at, seconds, slots in self._slots:
            if at > now - window and revision in slots:
                yield seconds, slots[revision]

    def _cpu(self, pods: Mapping[str, int], seen: Mapping[str, list[tuple[float, _Slot]]], now: float) -> Observation:
        used: dict[str, float] = {}
        for name, slots in seen.items():
            time = sum(seconds for seconds, _ in slots)
            if time > 0:
                used[name] = sum(seconds * slot.busy for seconds, slot in slots) / time
        if not used:
            return Observation(now, reason=reasons.NO_DATA, message="cpu: no pod is ready", splittable=True)
        # A starting pod counts with its CPU request before it has any use.
        whole = Measured(sum(used.values()) / sum(pods.values()))
        split = {name: Measured(value / pods[name]) for name, value in used.items()}
        return Observation(now, whole, by_revision=split, splittable=True)

    def _errors(self, seen: Mapping[str, list[tuple[float, _Slot]]], now: float) -> Observation:
        counts = {name: _counts(slots) for name, slots in seen.items()}
        samples, events = (sum(c[i] for c in counts.values()) for i in (0, 1))
        if samples <= 0:
            return Observation(now, reason=reasons.NO_TRAFFIC, message="error-rate: no requests", splittable=True)
        split = {name: Measured(bad / n, n, bad) for name, (n, bad) in counts.items() if n > 0}
        return Observation(now, Measured(events / samples, samples, events), by_revision=split, splittable=True)

    def _latency(self, seen: Mapping[str, list[tuple[float, _Slot]]], now: float) -> Observation:
        split: dict[str, Measured] = {}
        for name, slots in seen.items():
            samples = _counts(slots)[0]
            if samples > 0:
                split[name] = Measured(sum(slot.requests * slot.p99 for _, slot in slots) / samples, samples)
        total = sum(m.samples or 0.0 for m in split.values())
        if total <= 0:
            return Observation(now, reason=reasons.NO_TRAFFIC, message="latency-p99: no requests", splittable=True)
        # A revision that serves more than 1 % of the requests determines the 99th percentile.
        whole = max(m.value for m in split.values() if (m.samples or 0.0) > 0.01 * total)
        return Observation(now, Measured(whole, total), by_revision=split, splittable=True)


def _count(workload: Workload, now: float) -> dict[str, int]:
    ready: dict[str, int] = {}
    for pod in workload.pods:
        if pod.ready_at <= now:
            ready[pod.revision] = ready.get(pod.revision, 0) + 1
    return ready


def _counts(slots: list[tuple[float, _Slot]]) -> tuple[float, float]:
    return sum(slot.requests for _, slot in slots), sum(slot.errors for _, slot in slots)


def _poisson(rng: random.Random, mean: float) -> float:
    """A Poisson-distributed count (Knuth's method; from 30 the normal approximation)."""
    if mean > 30:
        return float(max(0, round(rng.gauss(mean, mean**0.5))))
    limit, count, product = exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return float(count)
