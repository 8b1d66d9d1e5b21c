"""Counters of simulated pods, and their scraped samples with Prometheus' `increase`."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

REQUESTS, ERRORS, CPU, BUCKETS = 0, 1, 2, 3
"""Positions in a sample. Buckets follow from `BUCKETS` on, cumulative."""

Sample = tuple[float, ...]


@dataclass(slots=True)
class Counters:
    """The counters of one pod, or of a Service at its ingress. cpu: in seconds of a pod's CPU request."""

    revision: str
    requests: int
    errors: int
    cpu: float
    buckets: list[int]

    @classmethod
    def zero(cls, revision: str, bounds: int) -> Counters:
        """New counters."""
        return cls(revision, 0, 0, 0.0, [0] * bounds)

    def sample(self) -> Sample:
        """Their values as one sample."""
        return (self.requests, self.errors, self.cpu, *self.buckets)


@dataclass(slots=True)
class Series:
    """The scraped samples of one pod, oldest first. offset: sum of its counters before restarts."""

    revision: str
    times: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    restarts: int = 0
    offset: Sample = ()

    def add(self, at: float, sample: Sample, restarts: int = 0) -> None:
        """Add a sample. After a restart, the counters have begun again from zero."""
        if restarts != self.restarts:
            self.restarts = restarts
            self.offset = self.samples[-1] if self.samples else ()
        if self.offset:
            sample = tuple(a + b for a, b in zip(sample, self.offset, strict=True))
        self.times.append(at)
        self.samples.append(sample)

    def newest(self) -> Sample:
        """The newest sample, as the counters of the running container."""
        sample = self.samples[-1]
        return tuple(a - b for a, b in zip(sample, self.offset, strict=True)) if self.offset else sample

    def prune(self, before: float) -> None:
        """Forget all samples before a time but the newest of them."""
        keep = bisect_right(self.times, before) - 1
        if keep > 32:
            del self.times[:keep], self.samples[:keep]

    def increase(self, begin: float, end: float, positions: Iterable[int]) -> list[float] | None:
        """The increase of counters in (begin, end], extrapolated as by Prometheus; None with fewer than two samples.

        https://github.com/prometheus/prometheus/blob/main/promql/functions.go (`extrapolatedRate`)
        """
        first, last = bisect_right(self.times, begin), bisect_right(self.times, end) - 1
        if last <= first:
            return None
        old, new = self.samples[first], self.samples[last]
        sampled = self.times[last] - self.times[first]
        average = sampled / (last - first)
        to_start, to_end = self.times[first] - begin, end - self.times[last]
        if to_start >= average * 1.1:
            to_start = average / 2
        if to_end >= average * 1.1:
            to_end = average / 2
        found = []
        for position in positions:
            delta = new[position] - old[position]
            before = to_start
            if delta > 0 and old[position] >= 0:
                before = min(before, sampled * old[position] / delta)
            found.append(delta * (sampled + before + to_end) / sampled)
        return found


@dataclass(slots=True)
class Scrapes:
    """The scraped series of all pods. interval: seconds between scrapes of a pod. memory: seconds that are kept."""

    interval: float
    memory: float
    series: dict[str, Series] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)

    def scrape(self, now: float, found: Iterable[tuple[str, Counters, int]]) -> None:
        """Scrape those (name, counters, restarts) that are due. Each has a phase of its own, as in Prometheus."""
        for name, counters, restarts in found:
            due = self._due.get(name)
            if due is None:
                due = now + (hash_phase(name) * self.interval) % self.interval
            if now + 1e-9 < due:
                self._due[name] = due
                continue
            while due <= now + 1e-9:
                due += self.interval
            self._due[name] = due
            series = self.series.get(name)
            if series is None:
                series = self.series[name] = Series(counters.revision)
            series.add(now, counters.sample(), restarts)
            series.prune(now - self.memory)

    def forget(self, now: float, names: Iterable[str]) -> None:
        """Forget series of pods that are gone, once their last sample is too old."""
        keep = set(names)
        for name in [n for n, s in self.series.items() if n not in keep and s.times[-1] < now - self.memory]:
            del self.series[name]
            self._due.pop(name, None)

    def increases(self, begin: float, end: float, positions: tuple[int, ...]) -> Iterator[tuple[str, str, list[float]]]:
        """(name, revision, increases) of each series with at least two samples in the window."""
        for name, series in self.series.items():
            found = series.increase(begin, end, positions)
            if found is not None:
                yield name, series.revision, found


def hash_phase(name: str) -> float:
    """A phase from 0 to 1 that depends on the name only. (`hash` differs between processes.)"""
    return zlib.crc32(name.encode()) / 0x100000000
