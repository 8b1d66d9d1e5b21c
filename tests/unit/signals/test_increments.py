"""What pods counted between two evaluations: resets, new pods, gaps, histograms."""

from __future__ import annotations

import math

import pytest

from resilience_operator.decision.model.observation import Histogram, Measured, Observation
from resilience_operator.signals.increments import FORGET_SECONDS, MAX_PODS, IncrementTracker
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.presets.aggregate import SeriesKeys, series_keys
from resilience_operator.signals.presets.histogram import SparseBuckets
from resilience_operator.signals.presets.models import Join
from resilience_operator.signals.query.extract import PodCounters

OLD, NEW = "web-5d9f8", "web-7c4b2"
SEEN = Observation(0.0, Measured(0.01, 1000, 10))
INF = math.inf


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def keys(signal: str = "error-rate", kind: str = "Deployment") -> SeriesKeys:
    owners = {OLD: "old", NEW: "new"} if kind == "Deployment" else {"web": "rev-1"}
    return series_keys(
        SignalRequest("shop", "web", kind, owners, Signal(signal, preset=signal)), Join(by="owner", name="owner")
    )


class Looks:
    """Looks at one target, 5 s apart."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.tracker = IncrementTracker(self.clock)

    def look(self, after: float = 5.0, target: SeriesKeys | None = None, **pods: PodCounters) -> Observation:
        self.clock.now += after
        counters: dict[tuple[str, str], dict[str, PodCounters]] = {}
        for name, one in pods.items():
            owner, pod = (OLD if name.startswith("old") else NEW), name.replace("_", "-")
            counters.setdefault(("shop", owner), {})[f"{owner}-{pod}"] = one
        return self.tracker.advance(SEEN, target or keys(), counters, self.clock.now)

    def counts(self, after: float = 5.0, **pods: PodCounters) -> dict[str, tuple[float, float | None]]:
        found = self.look(after, **pods)
        return {i.pod.rpartition("-")[2]: (i.samples, i.events) for i in found.increments}


def count(samples: float, events: float = 0.0) -> PodCounters:
    return PodCounters(samples, events)


def test_the_first_look_says_that_the_next_one_has_increments() -> None:
    looks = Looks()
    first, second = looks.look(old_a=count(100, 1)), looks.look(old_a=count(200, 2))
    assert (first.first_look, first.since) == (True, None)
    assert (second.first_look, second.since) == (False, 5.0)


def test_the_first_look_has_no_increments() -> None:
    found = Looks().look(old_a=count(1000, 3))
    assert (found.increments, found.since) == ((), None)


def test_increments_are_differences_of_raw_counters() -> None:
    looks = Looks()
    looks.look(old_a=count(1000, 3), new_b=count(10))
    found = looks.look(old_a=count(1100, 3), new_b=count(60, 5))
    assert (found.since, found.measured) == (5.0, SEEN.measured)
    assert {(i.revision, i.samples, i.events) for i in found.increments} == {("old", 100, 0), ("new", 50, 5)}


def test_the_same_scrape_twice_is_nothing() -> None:
    looks = Looks()
    looks.look(old_a=count(1000, 3))
    assert looks.counts(old_a=count(1000, 3)) == {"a": (0, 0)}


def test_a_pod_that_was_not_there_before_counts_from_zero() -> None:
    looks = Looks()
    looks.look(old_a=count(1000))
    assert looks.counts(old_a=count(1000), new_b=count(7, 2)) == {"a": (0, 0), "b": (7, 2)}


def test_a_pod_that_is_missing_in_between_does_not_count_twice() -> None:
    looks = Looks()
    looks.look(old_a=count(1000))
    looks.look()
    assert looks.counts(old_a=count(1020)) == {"a": (20, 0)}


def test_a_pod_that_restarted_counts_its_new_value() -> None:
    looks = Looks()
    looks.look(new_b=count(1000, 40))
    assert looks.counts(new_b=count(30, 12)) == {"b": (30, 12)}
    assert looks.counts(new_b=count(50, 12)) == {"b": (20, 0)}


def test_one_of_several_processes_that_restarted_counts_nothing() -> None:
    """Otherwise what the other processes counted in hours would be taken for five seconds."""
    looks = Looks()
    looks.look(old_a=count(400_000, 500))
    assert looks.counts(old_a=count(300_010, 380)) == {"a": (0, 0)}
    assert looks.counts(old_a=count(300_030, 381)) == {"a": (20, 1)}


def test_failures_are_never_more_than_requests() -> None:
    looks = Looks()
    looks.look(old_a=count(1000, 3))
    assert looks.counts(old_a=count(1002, 9)) == {"a": (2, 2)}


def test_an_older_answer_from_a_cache_changes_nothing() -> None:
    looks = Looks()
    looks.look(old_a=count(1000))
    late = looks.tracker.advance(SEEN, keys(), {}, 1.0)
    assert (late.increments, late.since) == ((), None)
    assert looks.counts(old_a=count(1010)) == {"a": (10, 0)}


def test_a_gap_in_observation_is_one_long_increment() -> None:
    looks = Looks()
    looks.look(old_a=count(1000))
    found = looks.look(120, old_a=count(2200))
    assert (found.since, found.increments[0].samples) == (5.0, 1200)


def test_what_was_not_looked_at_for_long_starts_anew() -> None:
    looks = Looks()
    looks.look(old_a=count(1000))
    assert looks.look(FORGET_SECONDS + 1, old_a=count(9000)).since is None


def test_the_end_of_a_release_drops_the_readings() -> None:
    looks = Looks()
    looks.look(old_a=count(1000))
    looks.tracker.forget(keys())
    assert len(looks.tracker) == 0
    assert looks.look(old_a=count(1010)).since is None


def test_memory_is_bounded() -> None:
    looks = Looks()
    pods = {f"new_{n}": count(1) for n in range(MAX_PODS + 1)}
    looks.look(**pods)
    assert looks.look(**pods).since is None
    few = Looks()
    few.look(**{f"new_{n}": count(1) for n in range(10)})
    for _ in range(200):
        few.look(30, new_z=count(5))
    [watched] = few.tracker._watched.values()
    assert list(watched.pods) == [f"{NEW}-new-z"]
    few.clock.now += FORGET_SECONDS + 1
    few.look(100, target=keys("latency-p99"), new_z=count(5))
    assert len(few.tracker) == 1


def test_signals_are_kept_apart() -> None:
    looks = Looks()
    looks.look(old_a=count(1000))
    assert looks.look(target=keys("latency-p99"), old_a=count(1010)).since is None


def test_pods_of_a_statefulset_have_no_revision_in_their_names() -> None:
    tracker, target = IncrementTracker(), keys(kind="StatefulSet")
    counters = {("shop", "web"): {"web-0": count(10)}}
    tracker.advance(SEEN, target, counters, 0.0)
    [found] = tracker.advance(SEEN, target, {("shop", "web"): {"web-0": count(15)}}, 5.0).increments
    assert (found.pod, found.revision, found.samples) == ("web-0", "", 5)


def test_requests_whose_status_cannot_be_read_have_no_increments() -> None:
    tracker, unreadable = IncrementTracker(), Observation.unknown(0.0, "StatusNotReadable", "")
    assert tracker.advance(unreadable, keys(), {("shop", OLD): {"web-5d9f8-a": count(10)}}, 0.0) is unreadable
    assert len(tracker) == 0


def buckets(*counts: float, native: bool = False, bounds: tuple[float, ...] = (100.0, 500.0, INF)) -> PodCounters:
    found = dict(zip(bounds, counts, strict=True))
    return PodCounters(found[INF], None, SparseBuckets(found) if native else found)


@pytest.mark.parametrize("native", [False, True])
def test_latencies_are_histograms_in_seconds(native: bool) -> None:
    tracker, target = IncrementTracker(), keys("latency-p99")

    def look(at: float, one: PodCounters) -> Observation:
        return tracker.advance(SEEN, target, {("shop", NEW): {f"{NEW}-a": one}}, at, 0.001)

    look(0.0, buckets(10, 20, 20, native=native))
    [found] = look(5.0, buckets(15, 28, 30, native=native)).increments
    assert (found.samples, found.events) == (10, None)
    assert found.histogram == Histogram((0.1, 0.5, INF), (5, 8, 10))


def test_histograms_of_an_observation_have_the_same_bounds() -> None:
    """A native histogram lists only bounds next to which something was counted."""
    tracker, target = IncrementTracker(), keys("latency-p99")
    first = {f"{NEW}-a": buckets(10, 10, native=True, bounds=(0.5, INF))}
    tracker.advance(SEEN, target, {("shop", NEW): first}, 0.0)
    second = {
        f"{NEW}-a": buckets(10, 10, 12, 12, native=True, bounds=(0.5, 1.0, 1.1, INF)),
        f"{NEW}-b": buckets(0, 3, 3, native=True, bounds=(0.2, 0.3, INF)),
    }
    a, b = tracker.advance(SEEN, target, {("shop", NEW): second}, 5.0).increments
    assert a.histogram == Histogram((0.2, 0.3, 0.5, 1.0, 1.1, INF), (0, 0, 0, 0, 2, 2))
    assert b.histogram == Histogram((0.2, 0.3, 0.5, 1.0, 1.1, INF), (0, 3, 3, 3, 3, 3))
