"""The fast path and `decide` never come to different results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilience_operator.decision.decide import Decision, decide
from resilience_operator.decision.fast_path import SteadyState, detect_steady_state, report_fingerprint
from resilience_operator.decision.fast_path_bounds import ScalarSample, bounds_of, within
from resilience_operator.decision.model.commands import Outcome, Result
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Mode, Policy, Signal
from resilience_operator.decision.model.target import Revision, TargetState
from resilience_operator.decision.outcomes import apply_outcomes
from tests.bench.decide_speed import POLICY, observed
from tests.unit.decision.test_properties import observations, policies, targets

Step = tuple[TargetState | None, dict[str, Observation] | None, float]
"""The target and what is measured (None: as before), and seconds since the last step."""

T0 = 1_000_000_000.0
SIGNALS = st.one_of(
    observations(),
    st.builds(
        observed,
        st.just(0.0),
        st.sampled_from([0.001, 0.4, 0.7, 0.9]),
        st.sampled_from([0.001, 0.2, 1.2]),
        st.sampled_from([0.0, 6.0, 70.0, 600.0]),
    ),
)
STORIES = st.lists(
    st.tuples(
        st.none() | targets(),
        st.none() | SIGNALS,
        st.sampled_from([0.0, 1.0, 5.0, 15.0, 15.0, 60.0, 400.0]),
    ),
    min_size=2,
    max_size=14,
)
CALM = TargetState("Deployment", "ns", "t", "u", "1", 3, 3, True, "a", (Revision("a", "t-a", 1, T0 - 1e6, 3, 3),))


def bare(found: Mapping[str, Observation]) -> dict[str, ScalarSample]:
    """What of observations is a number and nothing else."""
    return {
        name: ScalarSample(o.at, o.measured.value, o.measured.samples)
        for name, o in found.items()
        if o.measured is not None and o.replica_factor is None
    }


def told(policy: Policy, story: Sequence[Step]) -> int:
    """Tell a story to all paths. Returns how often the fast one served."""
    memory, now, served = Memory(), T0, 0
    target: TargetState | None = None
    found: dict[str, Observation] = {}
    rest: SteadyState | None = None
    before: Decision | None = None
    for new_target, new_found, later in story:
        now += later
        target, found = new_target or target, found if new_found is None else new_found
        if target is None:
            continue
        fresh = {name: o._replace(at=now + o.at) for name, o in found.items()}
        decision = decide(policy, fresh, target, memory, now)
        holds = rest is not None and rest.still_valid(policy, fresh, target, memory, now)
        assert holds or rest is None or not rest.still_valid_for(policy, bare(fresh), target, memory, now)
        if holds:
            served += 1
            assert decision.memory == memory
            assert decision.commands == ()
            assert decision.notices == ()
            assert before is not None
            assert report_fingerprint(decision) == report_fingerprint(before)
            assert decision.wake is None or decision.wake > now
            continue
        result = Result.DRY_RUN if policy.mode is Mode.DRY_RUN else Result.SUPERSEDED
        rest, before = detect_steady_state(decision, fresh, target, memory), decision
        if rest is None:
            memory = apply_outcomes(decision.memory, [Outcome(c, result) for c in decision.commands], target, now)
    return served


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(policies(), STORIES)
def test_the_fast_path_says_the_same_as_the_slow_one(policy: Policy, story: list[Step]) -> None:
    told(policy, story)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    policies(),
    targets(),
    SIGNALS,
    st.lists(st.tuples(st.none(), st.none() | SIGNALS, st.sampled_from([1.0, 15.0, 60.0, 400.0])), max_size=8),
)
def test_also_after_a_long_rest(
    policy: Policy, target: TargetState, first: dict[str, Observation], later: list[Step]
) -> None:
    told(policy, [(target, first, policy.interval)] * 45 + later)


@pytest.mark.parametrize(
    ("found", "serves"),
    [
        (observed(0.0), True),
        (observed(0.0, cpu=0.69), True),
        (observed(0.0, cpu=0.71), False),
        (observed(0.0, errors=300.0), False),
        ({**observed(0.0), "error-rate": Observation.unknown(0.0, "NoTraffic", "")}, False),
        ({**observed(0.0), "cpu": Observation(-1000.0, Measured(0.4))}, False),
        ({}, False),
    ],
)
def test_what_it_takes_for_the_same(found: dict[str, Observation], serves: bool) -> None:
    rest: list[Step] = [(CALM, observed(0.0), 15.0)] * 3
    assert told(POLICY, rest) == 1
    assert told(POLICY, [*rest, (None, found, 15.0)]) == 1 + serves


def test_it_serves_a_target_without_traffic_too() -> None:
    idle = {**observed(0.0), "error-rate": Observation.unknown(0.0, "NoTraffic", "")}
    assert told(POLICY, [(CALM, idle, 15.0)] * 5) == 3


def test_it_serves_during_a_bake_up_to_its_end() -> None:
    young = replace(CALM, revisions=(Revision("a", "t-a", 1, T0, 3, 3),))
    # Two looks to begin with; at the end the one that calls it good, the one that ends the trial, and one to rest.
    # In each of the nine minutes between, one stores that the bake was looked at, and one more to rest.
    assert told(POLICY, [(young, observed(0.0), 15.0)] * 60) == 60 - 2 - 3 - 2 * 9


def test_not_for_another_target_or_another_policy() -> None:
    decision = decide(POLICY, observed(T0), CALM, Memory(), T0)
    again = decide(POLICY, observed(T0), CALM, decision.memory, T0)
    rest = detect_steady_state(again, observed(T0), CALM, decision.memory)
    assert rest is not None
    asked = observed(T0 + 15)
    assert rest.still_valid(POLICY, asked, replace(CALM), decision.memory, T0 + 15)
    assert not rest.still_valid(POLICY, asked, replace(CALM, replicas=4), decision.memory, T0 + 15)
    assert not rest.still_valid(replace(POLICY), asked, CALM, decision.memory, T0 + 15)
    assert not rest.still_valid(POLICY, asked, CALM, replace(decision.memory), T0 + 15)
    assert not rest.still_valid(POLICY, asked, CALM, decision.memory, T0 - 15)


def at_rest(target: TargetState = CALM) -> SteadyState:
    decision = decide(POLICY, observed(T0), target, Memory(), T0)
    rest = detect_steady_state(
        decide(POLICY, observed(T0), target, decision.memory, T0), observed(T0), target, decision.memory
    )
    assert rest is not None
    return rest


@pytest.mark.parametrize(
    ("found", "serves"),
    [
        (observed(15.0), True),
        (observed(15.0, cpu=0.7), True),
        (observed(15.0, cpu=0.7000001), False),
        (observed(15.0, cpu=float("nan")), False),
        (observed(15.0, cpu=float("-inf")), False),
        (observed(15.0, errors=300.0), False),
        ({**observed(15.0), "error-rate": Observation(15.0, Measured(0.0, 1.0, 0.0))}, False),
        ({**observed(15.0), "error-rate": Observation(15.0, Measured(0.0, float("nan"), 0.0))}, False),
        ({**observed(15.0), "cpu": Observation(-1000.0, Measured(0.4))}, False),
        ({**observed(15.0), "error-rate": Observation.unknown(15.0, "NoTraffic", "")}, False),
        ({}, False),
    ],
)
def test_numbers_serve_as_long_as_all_are_within_their_limits(found: dict[str, Observation], serves: bool) -> None:
    rest = at_rest()
    fresh = {name: o._replace(at=T0 + o.at) for name, o in found.items()}
    assert rest.still_valid_for(POLICY, bare(fresh), CALM, rest.memory, T0 + 15) is serves
    assert rest.still_valid(POLICY, fresh, CALM, rest.memory, T0 + 15) is serves


def test_numbers_do_not_serve_a_release_that_is_watched_or_a_target_without_traffic() -> None:
    assert at_rest(replace(CALM, revisions=(Revision("a", "t-a", 1, T0, 3, 3),))).bounds is None
    idle = {**observed(T0), "error-rate": Observation.unknown(T0, "NoTraffic", "")}
    memory = at_rest().memory
    decision = decide(POLICY, idle, CALM, memory, T0 + 15)
    again = decide(POLICY, idle, CALM, decision.memory, T0 + 15)
    rest = detect_steady_state(again, idle, CALM, decision.memory)
    assert rest is not None and rest.bounds is None


def test_numbers_do_not_serve_what_the_nodes_tell() -> None:
    zones = Signal("lost-zones", metered=False)
    assert bounds_of(replace(POLICY, signals={**POLICY.signals, "lost-zones": zones})) is None


def test_the_strictest_condition_of_a_signal_counts_on_either_side() -> None:
    rule = POLICY.rules[0]
    conditions = (
        Condition("cpu", 0.9), Condition("cpu", 0.8), Condition("cpu", 0.1, above=False),
        Condition("cpu", 0.2, above=False),
    )  # fmt: skip
    policy = replace(POLICY, rules=(replace(rule, conditions=conditions),), signals={"cpu": Signal("cpu")})
    limits = bounds_of(policy)
    assert limits is not None
    served = [within(limits, {"cpu": ScalarSample(T0, value, None)}, T0) for value in (0.19, 0.2, 0.5, 0.8, 0.81)]
    assert served == [False, True, True, True, False]
