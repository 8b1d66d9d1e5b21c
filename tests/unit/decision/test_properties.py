"""What holds for every policy, target and series of observations."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilience_operator.decision.analysis.rules import RuleEvaluation, evaluate_rule
from resilience_operator.decision.context import prepare
from resilience_operator.decision.decide import Decision, decide
from resilience_operator.decision.model.commands import Outcome, Result, Verb
from resilience_operator.decision.model.memory import Intent, Memory, Verdict
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import (
    Condition,
    Fallback,
    Mode,
    Policy,
    Release,
    Rollback,
    Rule,
    ScaleDown,
    ScaleUp,
    Signal,
)
from resilience_operator.decision.model.target import HorizontalPodAutoscaler, Revision, TargetState
from resilience_operator.decision.outcomes import apply_outcomes, recover_intent
from resilience_operator.decision.release.remediation import PROGRESS_DEADLINE
from resilience_operator.decision.release_step import advance_in_full, advance_release, is_settled
from resilience_operator.decision.scaling.recommendation import QUIET

NAMES = ("cpu", "latency-p99", "error-rate")
REVISIONS = ("a", "b", "c")
MANAGERS = ("", "resilience-operator", "kubectl-rollout", "argocd-controller", "kubectl-scale")
T0 = 1_000_000_000.0

durations = st.sampled_from([0.0, 15.0, 30.0, 60.0, 300.0])
values = st.one_of(
    st.floats(min_value=0, max_value=10, allow_nan=False),
    st.sampled_from([0.0, 0.7, 1.0, 1e12, float("nan"), float("inf"), float("-inf"), -1.0]),
)
counts = st.sampled_from([0.0, 1e-300, 0.4, 1.0, 19.9, 20.0, 100.0, 3000.0, 1e9])


@st.composite
def measurements(draw: st.DrawFn) -> Measured:
    if draw(st.booleans()):
        return Measured(draw(values), draw(st.none() | counts))
    samples = draw(counts)
    events = samples * draw(st.sampled_from([0.0, 0.001, 0.02, 0.5, 1.0]))
    return Measured(events / samples if samples else float("nan"), samples, events)


@st.composite
def observations(draw: st.DrawFn) -> dict[str, Observation]:
    found = {}
    for name in NAMES:
        kind = draw(st.sampled_from(["none", "unknown", "stale", "whole", "split", "split"]))
        if kind == "none":
            continue
        if kind == "unknown":
            found[name] = Observation.unknown(0.0, "NoData", "nothing")
            continue
        parts = draw(st.dictionaries(st.sampled_from(REVISIONS), measurements())) if kind == "split" else {}
        found[name] = Observation(
            -1000.0 if kind == "stale" else 0.0, draw(measurements()), by_revision=parts, splittable=kind == "split"
        )
    return found


@st.composite
def rules(draw: st.DrawFn, name: str) -> Rule:
    one = st.builds(
        Condition,
        st.sampled_from(NAMES),
        st.sampled_from([0.0, 0.01, 0.7, 1.0]),
        above=st.booleans(),
        hold=durations,
    )
    conditions = tuple(draw(st.lists(one, min_size=1, max_size=3)))
    scale_up = draw(
        st.none()
        | st.builds(ScaleUp, pods=st.integers(1, 5), cooldown=durations)
        | st.builds(ScaleUp, percent=st.integers(1, 200), cooldown=durations)
    )
    if len(conditions) == 1 and conditions[0].above and draw(st.booleans()):
        scale_up = ScaleUp(to_target=True)
    return Rule(
        name,
        conditions,
        any_of=draw(st.booleans()) and len(conditions) > 1,
        scale_up=scale_up,
        alert=draw(st.booleans()),
        pause=draw(st.booleans()),
        rollback=draw(st.none() | st.builds(Rollback, after=durations, limit=st.integers(1, 3))),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    found = tuple(draw(rules(f"rule-{i}")) for i in range(draw(st.integers(1, 3))))
    scales = any(r.scale_up for r in found)
    return Policy(
        uid="uid",
        namespace="ns",
        name="p",
        generation=1,
        rules=found,
        signals={
            n: Signal(n, draw(st.sampled_from([15.0, 60.0])), draw(st.sampled_from([0.0, 20.0])), "ratio")
            for n in NAMES
        },
        mode=draw(st.sampled_from([Mode.ENFORCE, Mode.ENFORCE, Mode.DRY_RUN])),
        interval=draw(st.sampled_from([5.0, 15.0])),
        min_replicas=draw(st.none() | st.integers(1, 4)),
        max_replicas=draw(st.integers(4, 12) if scales else st.none() | st.integers(4, 12)),
        scale_down=draw(
            st.sampled_from(
                [ScaleDown(after=0.0), ScaleDown(after=60.0, pods=None, percent=50.0), ScaleDown(enabled=False)]
            )
        ),
        release=Release(draw(durations), draw(st.booleans()), draw(st.booleans())),
        fallback=draw(st.sampled_from([Fallback(), Fallback(after=30.0, replicas=6)])),
    )


@st.composite
def targets(draw: st.DrawFn) -> TargetState:
    replicas = draw(st.integers(0, 14))
    paused = draw(st.sampled_from([False, False, True]))
    kept = draw(st.sets(st.sampled_from(REVISIONS)))
    ages = st.sampled_from([0.0, 100.0, 1e6])
    hpa = None
    if draw(st.sampled_from([False, False, True])):
        low = draw(st.integers(1, 5))
        hpa = HorizontalPodAutoscaler("h", "1", low, draw(st.integers(low, 10)), draw(st.none() | st.integers(1, low)))
    return TargetState(
        kind="Deployment",
        namespace="ns",
        name="t",
        uid=draw(st.sampled_from(["u", "u", "u", "u", "v"])),
        resource_version="1",
        replicas=replicas,
        ready=draw(st.integers(0, 14)),
        rolled_out=draw(st.booleans()),
        revision=draw(st.none() | st.sampled_from(REVISIONS)),
        revisions=tuple(Revision(n, f"t-{n}", i, T0 - draw(ages), 1, 1) for i, n in enumerate(sorted(kept))),
        paused=paused,
        paused_by=draw(st.sampled_from(MANAGERS)) if paused else "",
        template_by=draw(st.sampled_from(MANAGERS)),
        scaled_by=draw(st.sampled_from(MANAGERS)),
        progress_deadline_exceeded=draw(st.booleans()),
        hpa=hpa,
    )


looks = st.lists(
    st.tuples(
        st.none() | targets(),
        st.none() | observations(),
        st.sampled_from([1.0, 5.0, 15.0, 60.0, 400.0]),
        st.sampled_from([Result.DONE, Result.DONE, Result.FAILED, Result.SUPERSEDED]),
    ),
    min_size=1,
    max_size=12,
)


def quiet(report: RuleEvaluation) -> bool:
    """Whether a rule is Unknown only because there are too few requests."""
    return report.verdict is Verdict.UNKNOWN and all(
        r.judgement.crossed is False or r.judgement.reason in QUIET for r in report.results
    )


def may_scale_up(report: RuleEvaluation) -> bool:
    """Whether a rule is in breach, or scales ahead of the load on a measured value."""
    return report.verdict is Verdict.BREACH or (report.rule.follows_load and report.verdict is Verdict.OK)


def check(policy: Policy, decision: Decision, memory: Memory, target: TargetState) -> None:
    """One decision."""
    seen = decision.target
    assert decision.memory.release is not None
    assert len({c.verb for c in decision.commands}) == len(decision.commands) <= 2
    assert decision.wake is None or decision.wake > decision.at
    verdicts = {r.rule.name: r for r in decision.rules}
    for command in decision.commands:
        asking = [verdicts[name] for name in command.rules if name in verdicts]
        if command.verb in (Verb.SCALE_UP, Verb.SCALE_DOWN):
            assert isinstance(command.to, int)
            assert isinstance(command.from_, int)
            assert command.to > 0
            highest = seen.hpa.max_replicas if seen.hpa else 10**9
            if command.verb is Verb.SCALE_UP:
                assert command.from_ < command.to <= min(highest, policy.max_replicas or 10**9)
                assert seen.replicas > 0
                # A rule that scales ahead does so before its value crosses the threshold.
                assert command.reason == "Fallback" or all(may_scale_up(r) for r in asking)
            else:
                assert command.to < command.from_
                assert all(r.verdict is Verdict.OK or quiet(r) for r in decision.rules if r.rule.scale_up)
        elif command.verb is Verb.ROLLBACK:
            assert command.to in {r.name for r in seen.revisions}
            assert command.to not in {q.revision for q in memory.quarantined}
            assert command.to != command.from_ == seen.revision
            assert not seen.paused or decision.memory.release.paused is not None
            if command.reason == "ReleaseFailing" and PROGRESS_DEADLINE not in command.rules:
                for report in asking:
                    assert report.release_verdict is Verdict.BREACH
                    guilty = decision.memory.rules[report.rule.name].release_breach_since
                    assert report.rule.rollback is not None
                    assert guilty is not None
                    assert guilty + report.rule.rollback.after <= decision.at
        elif command.verb is Verb.PAUSE:
            assert not seen.paused
            if command.reason == "ReleaseFailing" and PROGRESS_DEADLINE not in command.rules:
                assert all(r.release_verdict is Verdict.BREACH for r in asking)
        elif command.verb is Verb.RESUME:
            assert seen.paused
    if all(r.verdict is Verdict.UNKNOWN and r.release_verdict in (None, Verdict.UNKNOWN) for r in decision.rules):
        allowed = {"Fallback", "QuarantinedReapplied", "HeldPaused", "NewRelease", "MinimumChanged"}
        allowed |= {"BelowMinimum", "ReplicasReset"}
        allowed.add("PauseLifted")  # a machine lifted a pause: without metrics nothing has recovered
        if not any(rule.guards_release for rule in policy.rules):
            allowed.add("ReleaseRecovered")  # a pause that no rule asks for is lifted whatever is measured
        if any(quiet(r) for r in decision.rules):
            allowed.add("Calm")
        acted = [c for c in decision.commands if c.reason not in allowed and PROGRESS_DEADLINE not in c.rules]
        assert acted == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(policies(), looks)
def test_whatever_comes(policy: Policy, story: list[object]) -> None:
    memory, now = Memory(), T0
    target, found = None, {}
    for step in story:
        new_target, new_found, later, result = step  # type: ignore[misc]
        now += later
        target = new_target or target
        found = found if new_found is None else new_found
        if target is None:
            continue
        fresh = {name: o._replace(at=now + o.at) for name, o in found.items()}
        if memory.intent is not None:
            memory, _ = recover_intent(memory, target)
        decision = decide(policy, fresh, target, memory, now)
        assert decide(policy, fresh, target, memory, now) == decision, "deciding is pure"
        context = prepare(policy, fresh, target, memory, now)
        if is_settled(context):
            evaluations = [evaluate_rule(rule, context) for rule in policy.rules]
            assert advance_release(context, evaluations) == advance_in_full(context, evaluations)
        check(policy, decision, memory, target)
        intent = replace(decision.memory, intent=Intent(now, decision.commands, "t") if decision.commands else None)
        for kept in (decision.memory, intent):
            assert load_memory(json.loads(json.dumps(dump_memory(kept)))) == kept
        result = Result.DRY_RUN if policy.mode is Mode.DRY_RUN else result
        memory = apply_outcomes(decision.memory, [Outcome(c, result) for c in decision.commands], target, now)
        assert load_memory(json.loads(json.dumps(dump_memory(memory)))) == memory


def without_counts(memory: Memory) -> Memory:
    """Without what is counted of a release that is watched: it grows with the requests, at coarse steps."""
    return memory if memory.release is None else replace(memory, release=replace(memory.release, scores={}))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(policies(), targets(), observations())
def test_while_nothing_happens_it_comes_to_rest(
    policy: Policy, target: TargetState, found: dict[str, Observation]
) -> None:
    """The same target and the same observations for long: in the end nothing is told and nothing changes."""
    memory, now = Memory(), T0
    for i in range(240):
        now += policy.interval
        fresh = {name: o._replace(at=now + o.at) for name, o in found.items()}
        decision = decide(policy, fresh, target, memory, now)
        outcomes = [Outcome(c, Result.SUPERSEDED) for c in decision.commands]
        after = apply_outcomes(decision.memory, outcomes, target, now)
        if i > 200 and not decision.commands:
            assert without_counts(after) == without_counts(memory)
            assert decision.notices == ()
        memory = after
