"""The simulated service: what its pods count, and what Prometheus and the presets make of it."""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf

import pytest

from resilience_operator.cli.scenario.counters import REQUESTS, Counters, Scrapes, Series
from resilience_operator.cli.scenario.measurement import Measurement
from resilience_operator.cli.scenario.noise import add_to_buckets, binomial, bucket_shares, poisson
from resilience_operator.cli.scenario.service import (
    Behaviour,
    Bursts,
    Disturbance,
    Readiness,
    SimulatedService,
    WarmUp,
)
from resilience_operator.cli.scenario.workload_model import BUCKETS
from resilience_operator.signals.model import Signal
from resilience_operator.signals.presets.models import load_families
from resilience_operator.simulation.pods import Fault, FaultKind
from resilience_operator.simulation.workload import Workload, steady_workload

T0 = 1e9
BOUNDS = (*BUCKETS, inf)
PRESETS = {"cpu": "ratio", "error-rate": "ratio", "latency-p99": "seconds"}


def service(behaviour: Behaviour, limit: float = 1.0, seed: int = 1) -> SimulatedService:
    return SimulatedService(100.0, limit, random.Random(seed), {"v1": behaviour, "v2": behaviour}, BOUNDS)


def measured(
    found: SimulatedService, workload: Workload, rate: float, seconds: int = 300, family: str = "http-generic"
) -> Measurement:
    result = Measurement(found, load_families(), family, 15.0, 120.0)
    for number in range(0, seconds, 5):
        found.serve(workload, rate, T0 + number, 5.0)
        result.scrape(workload, T0 + number)
    return result


def observe(result: Measurement, name: str, workload: Workload, now: float = T0 + 295, watched: bool = False):  # type: ignore[no-untyped-def]
    signal = Signal(name, name, window_seconds=120.0, unit=PRESETS[name])
    return result.observe(signal, workload, workload.state(now), now, watched)


@pytest.mark.parametrize(
    ("pods", "rate", "limit", "cpu", "errors", "slow"),
    [
        (4, 200, 1.0, 0.5, 0.0, False),
        (4, 0.0, 1.0, 0.0, None, False),
        (4, 800, 1.0, 1.0, 0.5, True),
        (4, 800, 2.0, 2.0, 0.0, True),
    ],
    ids=["half busy", "no traffic", "twice what it can", "all that it can"],
)
def test_load(pods: int, rate: float, limit: float, cpu: float, errors: float | None, slow: bool) -> None:
    workload = steady_workload(pods, "v1", T0)
    found = measured(service(Behaviour(0.0, 0.1), limit), workload, rate)
    assert observe(found, "cpu", workload).measured.value == pytest.approx(cpu, rel=0.03)
    rates = observe(found, "error-rate", workload)
    if errors is None:
        assert rates.reason == "NoTraffic"
        return
    assert rates.measured.value == pytest.approx(errors, abs=0.02)
    assert rates.measured.samples == pytest.approx(rate * 120, rel=0.05)
    assert set(rates.by_revision) == {"v1"}
    assert (observe(found, "latency-p99", workload).measured.value > 1) is slow


def test_a_latency_is_read_from_its_buckets() -> None:
    workload = steady_workload(2, "v1", T0)
    # The true quantile is 0.3 s without load; between the bounds 0.25 and 0.5 it can only be interpolated.
    found = observe(measured(service(Behaviour(0.0, 0.3)), workload, 20), "latency-p99", workload)
    assert 0.25 < found.measured.value < 0.5
    slow = Behaviour(0.0, 0.1, slow_share=0.02, slow_factor=20.0)
    found = observe(measured(service(slow), workload, 20), "latency-p99", workload)
    assert found.measured.value > 0.5


def test_increments_are_what_each_pod_counted_since_the_last_evaluation() -> None:
    workload = steady_workload(2, "v1", T0)
    result = measured(service(Behaviour(0.1, 0.1)), workload, 50)
    first = observe(result, "error-rate", workload, watched=True)
    assert first.since is None
    found = result.service
    grown = workload.scale(3, "kubectl", T0 + 290)
    for number in range(300, 361, 5):
        grown = grown.advance(T0 + number)
        found.serve(grown, 50, T0 + number, 5.0)
        result.scrape(grown, T0 + number)
    second = observe(result, "error-rate", grown, T0 + 360, watched=True)
    assert second.since == T0 + 295
    assert len(second.increments) == 3, "a new pod counts from zero"
    assert sum(i.samples for i in second.increments) == pytest.approx(50 * 60, rel=0.25)
    assert sum(i.events or 0 for i in second.increments) == pytest.approx(300, rel=0.4)
    repeated = observe(result, "error-rate", grown, T0 + 360, watched=True)
    assert sum(i.samples for i in repeated.increments) == 0
    assert observe(result, "error-rate", grown, T0 + 360).increments == ()
    assert observe(result, "error-rate", grown, T0 + 360, watched=True).since is None, "the gap is a gap"


def test_latency_increments_are_histograms() -> None:
    workload = steady_workload(1, "v1", T0)
    result = measured(service(Behaviour(0.0, 0.1)), workload, 20)
    observe(result, "latency-p99", workload, watched=True)
    for number in range(300, 331, 5):
        result.service.serve(workload, 20, T0 + number, 5.0)
        result.scrape(workload, T0 + number)
    (increment,) = observe(result, "latency-p99", workload, T0 + 330, watched=True).increments
    assert increment.histogram.bounds == BOUNDS
    assert increment.histogram.counts[-1] == increment.samples > 0
    assert list(increment.histogram.counts) == sorted(increment.histogram.counts)


def test_a_family_of_an_ingress_counts_requests_without_a_pod_as_failed() -> None:
    workload = replace(steady_workload(2, "v1", T0), pods=())
    result = measured(service(Behaviour(0.0, 0.1)), workload, 20, family="nginx-ingress")
    steady = steady_workload(2, "v1", T0)
    found = observe(result, "error-rate", steady)
    assert found.measured.value == 1.0
    assert not found.splittable
    assert observe(measured(service(Behaviour(0, 0.1)), workload, 20), "error-rate", steady).reason == "NoData"


def test_bursts_hit_one_pod_each() -> None:
    workload = steady_workload(4, "v1", T0)
    found = service(Behaviour(0.0, 0.1, bursts=Bursts(15, 60.0)))
    sizes = []
    for number in range(0, 3600, 5):
        before = {name: c.errors for name, c in found.pods.items()}
        found.serve(workload, 100, T0 + number, 5.0)
        sizes += [c.errors - before.get(name, 0) for name, c in found.pods.items() if c.errors != before.get(name, 0)]
    assert set(sizes) == {15}
    assert 35 < len(sizes) < 90


def test_warm_up_is_slow_and_busy() -> None:
    workload = steady_workload(1, "v1", T0, age=10.0)
    behaviour = Behaviour(0.0, 0.1, warm_up=WarmUp(60.0, 8.0, 2.0))
    found = service(behaviour, limit=3.0)
    found.serve(workload, 10, T0, 5.0)
    (counters,) = found.pods.values()
    assert counters.cpu == pytest.approx(10, rel=0.4)
    warm = counters.buckets[BOUNDS.index(0.25)] / counters.requests
    found.serve(workload, 10, T0 + 100, 500.0)
    assert counters.buckets[BOUNDS.index(0.25)] / counters.requests > warm


def test_a_hanging_pod_fails_its_requests() -> None:
    workload = steady_workload(2, "v1", T0).with_fault(Fault(FaultKind.HANG, pods=1), T0)
    found = service(Behaviour(0.0, 0.1))
    found.serve(workload, 100, T0 + 10, 10.0)
    assert found.failed == pytest.approx(found.total / 2, rel=0.2)
    assert workload.state(T0 + 10).ready == 2


def test_a_disturbance_hits_all_revisions_or_only_newer_pods() -> None:
    workload = steady_workload(2, "v1", T0).scale(4, "kubectl", T0)
    found = service(Behaviour(0.0, 0.1))
    found.disturbances.append(Disturbance(errors=1.0, since=T0))
    found.serve(workload.advance(T0 + 40), 100, T0 + 40, 10.0)
    assert found.failed == pytest.approx(found.total / 2, rel=0.2)
    found.disturbances[:] = [Disturbance(errors=1.0, revision="v2")]
    before = found.failed
    found.serve(workload.advance(T0 + 50), 100, T0 + 50, 10.0)
    assert found.failed == before


def test_readiness_fails_under_load() -> None:
    workload = steady_workload(10, "v1", T0)
    found = replace(service(Behaviour(0.0, 0.1)), readiness=Readiness(1.2, 30.0))
    assert found.serve(workload, 900, T0 + 5, 5.0) == set()
    unready = found.serve(workload, 2000, T0 + 10, 5.0)
    assert 0 < len(unready) < 10
    failing = workload.fail_readiness(unready, T0 + 10, 30.0)
    assert failing.state(T0 + 10).ready == 10 - len(unready)
    assert failing.state(T0 + 40).ready == 10


def test_a_restarted_container_counts_from_zero_and_loses_nothing() -> None:
    series = Series("v1")
    series.add(0.0, (0.0,))
    series.add(15.0, (150.0,))
    series.add(30.0, (20.0,), restarts=1)
    series.add(45.0, (170.0,), restarts=1)
    found = series.increase(-1.0, 45.0, (REQUESTS,))
    assert found is not None
    assert found[0] == pytest.approx(320, rel=0.03)


def test_increase_is_that_of_prometheus() -> None:
    # promql/functions.go: 4 samples, 15 s apart, of a counter that gains 10 at each; window 60 s from -5 to 55.
    series = Series("v1")
    for number in range(4):
        series.add(15.0 * number, (100.0 + 10 * number,))
    # Both ends are nearer than 1.1 intervals, so that the whole window is extrapolated to: 30 / 45 * 60.
    assert series.increase(-5.0, 55.0, (0,)) == [pytest.approx(40.0)]
    # The start is further away: half an interval is added. 30 / 45 * (45 + 7.5 + 10).
    assert series.increase(-60.0, 55.0, (0,)) == [pytest.approx(41.6667, rel=1e-4)]
    assert series.increase(40.0, 55.0, (0,)) is None


def test_pods_are_scraped_at_phases_of_their_own() -> None:
    scrapes = Scrapes(15.0, 120.0)
    counters = Counters.zero("v1", 2)
    for second in range(60):
        scrapes.scrape(float(second), [(f"pod-{n}", counters, 0) for n in range(20)])
    assert {len(s.times) for s in scrapes.series.values()} <= {3, 4, 5}
    assert len({s.times[0] for s in scrapes.series.values()}) > 5
    assert all(b - a == 15 for s in scrapes.series.values() for a, b in zip(s.times, s.times[1:], strict=False))
    scrapes.forget(300.0, ["pod-1"])
    assert list(scrapes.series) == ["pod-1"]


@pytest.mark.parametrize("mean", [0.3, 5.0, 200.0])
def test_poisson_has_its_mean_and_variance(mean: float) -> None:
    rng = random.Random(1)
    found = [poisson(rng, mean) for _ in range(4000)]
    average = sum(found) / len(found)
    assert average == pytest.approx(mean, rel=0.06)
    assert sum((n - average) ** 2 for n in found) / len(found) == pytest.approx(mean, rel=0.12)


@pytest.mark.parametrize(("count", "share"), [(10, 0.01), (10, 0.9), (500, 0.02), (2000, 0.5)])
def test_binomial_has_its_mean_and_variance(count: int, share: float) -> None:
    rng = random.Random(1)
    found = [binomial(rng, count, share) for _ in range(4000)]
    assert all(0 <= n <= count for n in found)
    average = sum(found) / len(found)
    assert average == pytest.approx(count * share, rel=0.12)
    assert sum((n - average) ** 2 for n in found) / len(found) == pytest.approx(count * share * (1 - share), rel=0.12)
    assert binomial(rng, count, 0.0) == 0
    assert binomial(rng, count, 1.0) == count


@pytest.mark.parametrize("count", [3, 24, 1000])
def test_buckets_follow_the_distribution(count: int) -> None:
    shares = bucket_shares(0.3, BOUNDS)
    assert shares == tuple(sorted(shares))
    assert shares[-1] == 1.0
    buckets = [0] * len(BOUNDS)
    rng = random.Random(1)
    for _ in range(3000 // count):
        add_to_buckets(rng, buckets, count, shares)
    total = buckets[-1]
    assert total == count * (3000 // count)
    assert all(b / total == pytest.approx(s, abs=0.05) for b, s in zip(buckets, shares, strict=True))
