"""Increments: what each pod counted between two evaluations, from the raw counters of the pods.

They are only asked for while a release of the target is analysed. The previous counters are kept in the process, and
not in the status: the first look after a start of the operator has no increments, because what happened in between was
not observed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from resilience_operator.decision.model.observation import Increment, Observation
from resilience_operator.resilience.deadline import Clock
from resilience_operator.signals import reasons
from resilience_operator.signals.presets.aggregate import SeriesKeys
from resilience_operator.signals.presets.histogram import Buckets, SparseBuckets, aligned, as_histogram, grown
from resilience_operator.signals.query.extract import Key, PodCounters

MAX_PODS = 2_000
"""Maximum number of pods of one target. A larger target has no increments; its release is judged by the window."""

FORGET_SECONDS = 900.0
"""Seconds after which the counters of a target that was not looked at, or of a pod without samples, are dropped."""

CountersByOwner = Mapping[Key, Mapping[str, PodCounters]]
"""Namespace and owner → pod → its counters."""


class _Kept(NamedTuple):
    counters: PodCounters
    seen: float


class _Watched:
    """The last counters of one signal of one target. at: seconds since the epoch; looked_at: monotonic seconds."""

    __slots__ = ("at", "looked_at", "pods")

    def __init__(self, at: float, looked_at: float) -> None:
        self.at, self.looked_at = at, looked_at
        self.pods: dict[str, _Kept] = {}


class IncrementTracker:
    """The last counters of all targets with a release under way."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._watched: dict[tuple[str, ...], _Watched] = {}
        self._swept_at = clock()

    def __len__(self) -> int:
        return len(self._watched)

    def forget(self, target: SeriesKeys) -> None:
        """Drop the counters of a signal whose release has ended."""
        self._watched.pop(_key(target), None)

    def advance(
        self, observation: Observation, target: SeriesKeys, counters: CountersByOwner, at: float, scale: float = 1.0
    ) -> Observation:
        """Return the observation with the increments since the previous look, and keep the new counters.

        The first look has none, and says so.

        at: time of the counters, seconds since the epoch. scale: seconds per unit of the bucket bounds.
        """
        if observation.reason == reasons.STATUS_NOT_READABLE:
            return observation
        pods = {pod: (revision, now) for key, revision in target.parts for pod, now in counters.get(key, {}).items()}
        if len(pods) > MAX_PODS:
            return observation
        looked_at = self._clock()
        self._sweep(looked_at)
        key = _key(target)
        watched = self._watched.get(key)
        if watched is not None and at < watched.at:
            return observation  # an older answer than the last one, from a cache
        since = watched.at if watched is not None else None
        if watched is None:
            watched = self._watched[key] = _Watched(at, looked_at)
        found = [] if since is None else [_increment(pod, *new, watched.pods.get(pod)) for pod, new in pods.items()]
        watched.at, watched.looked_at = at, looked_at
        watched.pods = {pod: kept for pod, kept in watched.pods.items() if at - kept.seen <= FORGET_SECONDS}
        watched.pods.update({pod: _Kept(new, at) for pod, (_, new) in pods.items()})
        return observation._replace(increments=_converted(found, scale), since=since, first_look=since is None)

    def _sweep(self, now: float) -> None:
        if now - self._swept_at > FORGET_SECONDS / 10:
            self._swept_at = now
            self._watched = {k: w for k, w in self._watched.items() if now - w.looked_at <= FORGET_SECONDS}


def _key(target: SeriesKeys) -> tuple[str, ...]:
    r = target.request
    return r.source, r.family, r.namespace, r.kind, r.name, r.signal.name


class _Raw(NamedTuple):
    pod: str
    revision: str
    counters: PodCounters


def _increment(pod: str, revision: str, now: PodCounters, kept: _Kept | None) -> _Raw:
    """The increment of one pod. A pod that was not there before counts from zero.

    A counter that fell was reset: a pod that restarted counts its new value. If most of the value is still there, only
    one of several processes of the pod restarted. What the others counted cannot be told apart, so nothing counts.
    """
    if kept is None:
        return _Raw(pod, revision, now)
    before = kept.counters
    if not _fell(now, before):
        return _Raw(pod, revision, _difference(now, before))
    if now.samples < before.samples / 2:
        return _Raw(pod, revision, now)
    return _Raw(pod, revision, _difference(now, now))


def _fell(now: PodCounters, before: PodCounters) -> bool:
    return now.samples < before.samples or (
        now.events is not None and before.events is not None and now.events < before.events
    )


def _difference(now: PodCounters, before: PodCounters) -> PodCounters:
    events = None if now.events is None else max(0.0, now.events - (before.events or 0.0))
    buckets = None if now.buckets is None else grown(now.buckets, before.buckets or {})
    return PodCounters(now.samples - before.samples, events, buckets)


def _converted(found: list[_Raw], scale: float) -> tuple[Increment, ...]:
    """The increments, with histograms that all have the same bounds."""
    histograms: list[Buckets] = [
        one.counters.buckets if one.counters.buckets is not None else SparseBuckets() for one in found
    ]
    if any(one.counters.buckets is not None for one in found):
        histograms = aligned(histograms)
    increments = []
    for one, buckets in zip(found, histograms, strict=True):
        samples, events, own = one.counters
        histogram = None if own is None else as_histogram(buckets, scale)
        # Two counters of a pod are read at the same time, but may be scraped while a request is counted.
        bad = None if events is None else min(events, samples)
        increments.append(Increment(one.pod, one.revision, samples, bad, histogram))
    return tuple(increments)
