"""Who is to blame: the release, or the load."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from resilience_operator.decision.analysis.evidence import breach_is_canary_only, judge_release
from resilience_operator.decision.analysis.judgement import CanaryContext
from resilience_operator.decision.model.memory import Phase, RequestCounts, Verdict
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Rollback, Rule, ScaleUp
from tests.unit.decision.builders import (
    BAD_B,
    BOTH_BAD,
    GOOD_B,
    SIGNALS,
    T0,
    Run,
    note,
    policy,
    ratio,
    reasons,
    releasing,
    rolled_out,
    seen,
    split,
    unknown,
    verbs,
    whole,
)

ERRORS, LATENCY = Condition("error-rate", 0.01), Condition("latency-p99", 1.0)


def slow(value: float, samples: float = 1000.0) -> Measured:
    return Measured(value, samples)


@pytest.mark.parametrize(
    ("condition", "observation", "ok_before", "crossed", "reason"),
    [
        pytest.param(ERRORS, BAD_B, True, True, "Crossed", id="only the new is bad"),
        pytest.param(ERRORS, BAD_B, False, True, "Crossed", id="whatever was before"),
        pytest.param(ERRORS, GOOD_B, True, False, "WithinBounds", id="both are good"),
        pytest.param(ERRORS, BOTH_BAD, True, False, "SharedByRevisions", id="both are bad"),
        pytest.param(
            ERRORS, split(a=ratio(150, 3000), b=ratio(900, 3000)), True, True, "Crossed", id="much worse under load"
        ),
        pytest.param(
            ERRORS, split(a=ratio(600, 3000), b=ratio(3, 3000)), True, False, "WithinBounds", id="only the old is bad"
        ),
        pytest.param(ERRORS, split(a=ratio(3, 3000)), True, None, "NoTraffic", id="no data of the new"),
        pytest.param(ERRORS, split(a=ratio(0, 9), b=ratio(2, 3)), True, None, "TooFewSamples", id="3 requests in all"),
        pytest.param(
            ERRORS, split(a=ratio(3, 3000), b=ratio(1, 20)), True, None, "Inconclusive", id="one failure of 20"
        ),
        pytest.param(ERRORS, split(b=ratio(600, 3000)), True, True, "Crossed", id="the old is gone, Ok before"),
        pytest.param(
            ERRORS, split(b=ratio(600, 3000)), False, False, "CrossedBefore", id="the old is gone, bad before"
        ),
        pytest.param(
            ERRORS, split(a=ratio(2, 5), b=ratio(600, 3000)), False, False, "CrossedBefore", id="too little of the old"
        ),
        pytest.param(
            ERRORS, split(b=ratio(45, 3000)), True, None, "Inconclusive", id="alone it must be surer: 1.5% of 3000"
        ),
        pytest.param(ERRORS, whole(ratio(600, 3000)), True, True, "Crossed", id="cannot be split, Ok before"),
        pytest.param(ERRORS, whole(ratio(600, 3000)), False, False, "CrossedBefore", id="cannot be split, bad before"),
        pytest.param(ERRORS, unknown(reason="SourceTimedOut"), True, None, "SourceTimedOut", id="no measurement"),
        pytest.param(LATENCY, split(a=slow(0.2), b=slow(1.4)), True, True, "Crossed", id="only the new is slow"),
        pytest.param(LATENCY, split(a=slow(1.4), b=slow(1.5)), True, False, "SharedByRevisions", id="both are slow"),
        pytest.param(
            LATENCY, split(a=slow(0.99), b=slow(1.01)), True, None, "Inconclusive", id="a threshold in between"
        ),
        pytest.param(LATENCY, split(a=slow(1.2), b=slow(3.0)), True, True, "Crossed", id="far slower under load"),
        pytest.param(
            LATENCY, split(a=slow(0.2), b=slow(1.4, 50)), True, None, "TooFewSamples", id="a quantile of 50 requests"
        ),
    ],
)
def test_what_counts_against_the_release(
    condition: Condition, observation: Observation, ok_before: bool, crossed: bool | None, reason: str
) -> None:
    found = judge_release(condition, SIGNALS[condition.signal], observation, CanaryContext("b"), ok_before=ok_before)
    assert (found.crossed, found.reason) == (crossed, reason)


def test_a_quarantined_revision_is_no_measure() -> None:
    observation = split(a=ratio(3, 3000), bad=ratio(900, 3000), b=ratio(300, 3000))
    signal = SIGNALS["error-rate"]
    assert judge_release(ERRORS, signal, observation, CanaryContext("b"), ok_before=True).crossed is False
    assert judge_release(ERRORS, signal, observation, CanaryContext("b", {"bad"}), ok_before=True).crossed is True


@pytest.mark.parametrize(
    ("before", "crossed", "reason"),
    [
        (RequestCounts(3000, 3), True, "Crossed"),
        (RequestCounts(3000, 250), None, "Inconclusive"),
    ],
)
def test_without_peers_it_must_be_worse_than_before(before: RequestCounts, crossed: bool | None, reason: str) -> None:
    observation = split(b=ratio(300, 3000))
    trial = CanaryContext("b", baseline={"error-rate": before})
    found = judge_release(ERRORS, SIGNALS["error-rate"], observation, trial, ok_before=True)
    assert (found.crossed, found.reason) == (crossed, reason)


def test_availability_below_is_compared_too() -> None:
    condition = Condition("error-rate", 0.99, above=False)
    signal = SIGNALS["error-rate"]
    observation = split(a=ratio(2997, 3000), b=ratio(2400, 3000))
    assert judge_release(condition, signal, observation, CanaryContext("b"), ok_before=True).crossed is True
    observation = split(a=ratio(2400, 3000), b=ratio(2400, 3000))
    assert judge_release(condition, signal, observation, CanaryContext("b"), ok_before=True).crossed is False


@pytest.mark.parametrize(
    ("began", "old", "crossed"),
    [
        # 60 s of look-back; the new revision serves since 15 s, with 5% errors, and so do the others since then.
        pytest.param(T0 - 15, ratio(38 + 3, 3000), False, id="a spike just as the release began"),
        pytest.param(T0 - 15, ratio(3, 3000), True, id="no spike"),
        pytest.param(None, ratio(38 + 3, 3000), True, id="without knowing since when, it looks guilty"),
        pytest.param(T0 - 60, ratio(3, 3000), True, id="the whole look-back is common"),
    ],
)
def test_both_are_compared_over_the_same_time(began: float | None, old: Measured, crossed: bool) -> None:
    observation = split(a=old, b=ratio(50, 1000))
    trial = CanaryContext("b", baseline={"error-rate": RequestCounts(3000, 3)}, measured_since=began)
    assert judge_release(ERRORS, SIGNALS["error-rate"], observation, trial, ok_before=True).crossed is crossed


@pytest.mark.parametrize(
    ("observation", "accused", "only"),
    [
        pytest.param(BAD_B, False, True, id="only the new"),
        pytest.param(BOTH_BAD, False, False, id="both"),
        pytest.param(BOTH_BAD, True, False, id="both, and the new accused"),
        pytest.param(GOOD_B, False, False, id="neither"),
        pytest.param(split(b=ratio(600, 3000)), False, False, id="alone"),
        pytest.param(split(b=ratio(600, 3000)), True, True, id="alone and accused"),
        pytest.param(split(a=ratio(3, 3000)), True, False, id="nothing of the new"),
        pytest.param(whole(ratio(600, 3000)), True, False, id="cannot be split"),
    ],
)
def test_whose_breach_it_is(observation: Observation, accused: bool, only: bool) -> None:
    assert (
        breach_is_canary_only(ERRORS, SIGNALS["error-rate"], observation, CanaryContext("b"), attributed=accused)
        is only
    )


LOAD = Rule("load", (Condition("cpu", 0.7),), scale_up=ScaleUp(pods=2))
ERRORS_SCALE = Rule("errors-scale", (Condition("error-rate", 0.01),), scale_up=ScaleUp(pods=2))
GUARD = Rule("guard", (Condition("error-rate", 0.01),), pause=True, rollback=Rollback(after=30.0))


def begun(*rules: Rule) -> Run:
    """A release of `b` under way from the good `a`."""
    run = Run(policy(*rules))
    run.look()
    run.target = releasing()
    run.look(seen(error_rate=GOOD_B))
    assert run.release.phase is Phase.PROGRESSING
    assert run.release.ok_before == tuple(sorted(r.name for r in rules))
    return run


def test_a_bad_release_under_a_spike_is_rolled_back_not_scaled_through() -> None:
    run = begun(ERRORS_SCALE, GUARD)
    decision = run.look(seen(error_rate=BAD_B))
    assert verbs(decision) == ["pauseRollout"]
    assert "the release is the cause, so no pods are added" in note(decision, "errors-scale")
    run.look(seen(error_rate=BAD_B))
    assert verbs(run.look(seen(error_rate=BAD_B))) == ["rollback"]


def test_a_spike_during_a_good_release_is_scaled_not_rolled_back() -> None:
    run = begun(LOAD, ERRORS_SCALE, GUARD)
    hot = seen(error_rate=BOTH_BAD, cpu=split(a=Measured(0.95), b=Measured(0.93)))
    decision = run.look(hot)
    assert verbs(decision) == ["pauseRollout", "scaleUp"], "pausing is cheap; only proof rolls back"
    assert "not proven that the release is the cause" in decision.commands[0].message
    assert decision.commands[1].rules == ("load", "errors-scale")
    for _ in range(10):
        assert "rollback" not in verbs(run.look(hot))
    assert run.release.phase is Phase.PAUSED


def test_a_spike_outlives_the_old_pods() -> None:
    run = begun(GUARD)
    assert reasons(run.look(seen(error_rate=BOTH_BAD))) == ["BreachNotProven"]
    run.target = rolled_out(paused=True, paused_by="resilience-operator")
    for _ in range(6):
        assert verbs(run.look(seen(error_rate=split(b=ratio(300, 6000))))) == [], "the witness is gone, not the load"
    run.look(seen(error_rate=split(b=ratio(3, 6000))))
    done = [verbs(run.look(seen(error_rate=split(b=ratio(300, 6000))))) for _ in range(4)]
    assert ["rollback"] in done, "but a new breach counts"


def test_cpu_of_the_new_a_little_higher_still_scales() -> None:
    run = begun(LOAD, GUARD)
    decision = run.look(seen(error_rate=GOOD_B, cpu=split(a=Measured(0.69), b=Measured(0.74))))
    assert verbs(decision) == ["scaleUp"]


def test_cpu_of_the_new_alone_does_not_scale() -> None:
    run = begun(LOAD, GUARD)
    assert verbs(run.look(seen(error_rate=GOOD_B, cpu=split(a=Measured(0.3), b=Measured(0.9))))) == []


def test_blame_is_not_carried_over_to_the_next_revision() -> None:
    run = begun(replace(GUARD, rollback=None, pause=False, alert=True, scale_up=None), GUARD)
    run.look(seen(error_rate=BAD_B))
    run.look(seen(error_rate=BAD_B))
    run.target = releasing("c", "a")  # a fix is applied in time, and the pause lifted with it
    decision = run.look(seen(error_rate=split(a=ratio(3, 3000), c=ratio(600, 3000))))
    assert verbs(decision) == ["pauseRollout"]
    assert run.release.revision == "c"
    assert run.memory.rules["guard"].release_breach_since == decision.at


def test_a_release_that_cannot_be_judged_is_left_alone_and_told_once() -> None:
    run = begun(GUARD)
    few = seen(error_rate=split(a=ratio(0, 9), b=ratio(2, 3)))
    told = [reasons(run.look(few)) for _ in range(20)]
    assert [reason for one in told for reason in one] == ["ReleaseNotJudged"]
    assert told.index(["ReleaseNotJudged"]) * 15 >= 60, "not before a whole look-back"
    assert not run.target.paused


def test_no_traffic_before_the_first_pod_is_ready_is_not_told() -> None:
    run = begun(GUARD)
    b = replace(run.target.revisions[1], ready=0)
    run.target = replace(run.target, revisions=(run.target.revisions[0], b))
    for _ in range(20):
        assert reasons(run.look(seen(error_rate=split(a=ratio(3, 3000))))) == []


GONE = {name: unknown() for name in SIGNALS}


def test_a_gap_in_the_metrics_is_no_acquittal() -> None:
    """Convicted beside the old pods, measured again when none of those is left: it still is to blame."""
    run = Run(policy(replace(GUARD, rollback=Rollback(after=600.0))))
    run.look(GONE)  # what it was like before this release is not known
    run.target = releasing()
    assert verbs(run.look(seen(error_rate=BAD_B))) == ["pauseRollout"]
    run.target = replace(rolled_out(), paused=True, paused_by="resilience-operator")
    for _ in range(20):
        assert verbs(run.look(GONE)) == []
    alone = seen(error_rate=split(b=ratio(600, 3000)))
    assert verbs(run.look(alone)) == [], "it is charged anew, and `after` counts from here"
    assert verbs(run.look(alone, after=600.0)) == ["rollback"]


HOT = Rule("hot-release", (Condition("cpu", 0.7),), pause=True)
ON_ERRORS = seen(error_rate=split(b=ratio(600, 3000)))
ON_CPU = seen(cpu=split(b=Measured(0.9)))


@pytest.mark.parametrize(
    ("rule", "breach", "gap", "blamed"),
    [
        pytest.param(GUARD, ON_ERRORS, 30.0, True, id="counted, short gap"),
        pytest.param(GUARD, ON_ERRORS, 600.0, True, id="counted: compared with the counts of the last good state"),
        pytest.param(GUARD, ON_ERRORS, 2400.0, False, id="counted, gap over half an hour"),
        pytest.param(HOT, ON_CPU, 30.0, True, id="not counted, short gap"),
        pytest.param(HOT, ON_CPU, 600.0, False, id="not counted, longer than the look-back"),
    ],
)
def test_a_gap_as_a_release_begins(rule: Rule, breach: Mapping[str, Observation], gap: float, blamed: bool) -> None:
    run = Run(policy(rule))
    run.look()
    run.look(GONE)
    run.look(GONE, after=gap)
    run.target = rolled_out()
    run.look(GONE)
    decision = run.look(breach)
    assert verbs(decision) == (["pauseRollout"] if blamed else [])


def test_unknown_never_acts() -> None:
    run = begun(LOAD, GUARD)
    for _ in range(40):
        decision = run.look(GONE)
        assert verbs(decision) == []
        assert all(r.verdict is Verdict.UNKNOWN for r in decision.rules)
