"""The counts of the last good state, which outlive a gap in the metrics."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from resilience_operator.decision.fast_path import detect_steady_state
from resilience_operator.decision.model.memory import GoodCounts, RequestCounts
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.observation import Histogram, Measured
from resilience_operator.decision.model.policy import Condition, Rule
from resilience_operator.decision.release.good_counts import KEPT, MAX_AGE, recorded, with_good_counts
from tests.unit.decision.builders import (
    ALL_B_GOOD,
    FAILING,
    HEALTHY,
    SIGNALS,
    T0,
    Run,
    policy,
    ratio,
    rolled_out,
    seen,
    split,
    unknown,
)

GONE = {name: unknown() for name in SIGNALS}


def at_rest() -> Run:
    run = Run(policy(FAILING))
    run.look()
    return run


def test_a_release_that_begins_in_a_metrics_gap_is_compared_with_the_last_good_state() -> None:
    run = at_rest()
    run.look(GONE)
    run.target = rolled_out()
    run.look(GONE, after=600.0)
    assert run.release.baseline == {"error-rate": RequestCounts(6000.0, 6.0)}
    assert run.release.ok_before == ("failing-release",)


def test_the_counts_survive_a_restart() -> None:
    run = at_rest()
    run.look(GONE)
    run.memory = load_memory(json.loads(json.dumps(dump_memory(run.memory))))
    run.target = rolled_out()
    run.look(GONE)
    assert run.release.baseline == {"error-rate": RequestCounts(6000.0, 6.0)}


@pytest.mark.parametrize(("age", "known"), [(MAX_AGE - 60.0, True), (MAX_AGE + 60.0, False)])
def test_counts_that_are_too_old_are_no_baseline(age: float, known: bool) -> None:
    good = {"error-rate": GoodCounts(T0, 6000.0, 6.0)}
    found = with_good_counts({}, good, policy(FAILING), T0 + age)
    assert found == ({"error-rate": RequestCounts(6000.0, 6.0)} if known else {})


def test_what_is_measured_as_the_release_begins_is_preferred() -> None:
    run = at_rest()
    run.target = rolled_out()
    run.look(seen(error_rate=split(a=ratio(2, 4000))))
    assert run.release.baseline == {"error-rate": RequestCounts(4000.0, 2.0)}


def test_a_state_in_breach_is_not_recorded() -> None:
    run = Run(policy(FAILING))
    run.look(seen(error_rate=split(a=ratio(600, 6000))))
    assert run.memory.good_counts == {}


def test_they_are_recorded_at_the_end_of_a_bake_and_at_most_every_ten_minutes() -> None:
    run = at_rest()
    first = run.memory.good_counts
    run.target = rolled_out()
    run.bake(seen(error_rate=ALL_B_GOOD))
    assert run.memory.good_counts is not first, "the end of the bake"
    kept = run.memory.good_counts
    run.look(seen(error_rate=ALL_B_GOOD))
    assert run.memory.good_counts is kept
    run.look(seen(error_rate=ALL_B_GOOD), after=601.0)
    assert run.memory.good_counts is not kept


def test_they_cause_no_write_and_end_no_steady_state() -> None:
    run = at_rest()
    before = run.memory
    decision = run.look(after=601.0)
    assert decision.memory.good_counts != before.good_counts
    assert decision.memory == before
    fresh = {name: found._replace(at=run.now) for name, found in HEALTHY.items()}
    steady = detect_steady_state(decision, fresh, run.target, before)
    assert steady is not None
    assert steady.memory is decision.memory


def test_latencies_stay_as_they_were_counted_in_the_bake() -> None:
    slower = Rule("slower", (Condition("latency-p99", float("inf"), worse_by=0.2),), pause=True)
    found = policy(slower, FAILING)
    key = f"{slower.conditions[0].signal}{slower.conditions[0].sign}@0.25"
    before = {key: GoodCounts(T0, 1000.0, 5.0), "error-rate": GoodCounts(T0, 1000.0, 1.0)}
    after = recorded(before, {"error-rate": RequestCounts(2000.0, 3.0)}, found, T0 + 900)
    assert after == {key: before[key], "error-rate": GoodCounts(T0 + 900, 2000.0, 3.0)}


def test_a_latency_is_compared_with_its_counts_at_the_end_of_the_bake() -> None:
    over = Rule("slow", (Condition("latency-p99", 1.0),), pause=True)
    latency = replace(SIGNALS["latency-p99"], quantile=0.99)
    run = Run(policy(over, signals={"latency-p99": latency}))
    histogram = Histogram((0.5, 1.0, float("inf")), (5900.0, 5990.0, 6000.0))
    fast = Measured(0.6, 6000.0, None, histogram)
    run.look()
    run.target = rolled_out()
    run.bake(seen(latency_p99=split(b=fast)._replace(measured=fast)))
    assert run.release.good == "b"
    run.look(GONE)
    run.target = rolled_out("c", "b")
    run.look(GONE)
    assert run.release.baseline == {"latency-p99>1": RequestCounts(6000.0, 10.0)}


def test_with_few_requests_older_counts_are_kept() -> None:
    """A service with 2 requests/s: after some hours it is known how rare its failures are."""
    found: dict[str, GoodCounts] = {}
    for number in range(30):
        counted = {"error-rate": RequestCounts(240.0, 1.0 if number == 0 else 0.0)}
        found = dict(recorded(found, counted, policy(FAILING), T0 + 600.0 * number))
    assert found["error-rate"].samples == pytest.approx(KEPT)
    assert found["error-rate"].events < 0.2, "what is old fades"


def test_with_many_requests_only_the_newest_count() -> None:
    before = {"error-rate": GoodCounts(T0, 6000.0, 60.0)}
    found = recorded(before, {"error-rate": RequestCounts(6000.0, 6.0)}, policy(FAILING), T0 + 600.0)
    assert found["error-rate"] == GoodCounts(T0 + 600.0, 6000.0, 6.0)


def test_few_requests_before_a_release_are_joined_by_those_of_the_good_state() -> None:
    good = {"error-rate": GoodCounts(T0, 2000.0, 1.0)}
    found = with_good_counts({"error-rate": RequestCounts(240.0, 0.0)}, good, policy(FAILING), T0 + 600.0)
    assert found == {"error-rate": RequestCounts(2240.0, 1.0)}


def test_a_comparison_is_with_the_time_just_before() -> None:
    worse = replace(FAILING, conditions=(Condition("error-rate", math.inf, worse_by=0.2),))
    good = {"error-rate": GoodCounts(T0, 2000.0, 1.0)}
    counted = {"error-rate": RequestCounts(240.0, 0.0)}
    assert with_good_counts(counted, good, policy(worse), T0 + 600.0) == counted
