"""Explains each rule: its values and thresholds, when it acts, and why it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from resilience_operator.api.conditions import REASONS, ConditionType
from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.analysis.verdicts import MAX_UNKNOWN_INTERVALS, combine
from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.memory import ReleaseMemory, RuleMemory, Timer, Verdict
from resilience_operator.decision.model.policy import Condition, Mode, Rule, ScaleUp
from resilience_operator.decision.release.goal import RollbackBlocked, rollback_goal
from resilience_operator.decision.report import format_bound
from resilience_operator.decision.scaling.bounds import ceiling, current_size
from resilience_operator.decision.scaling.scale_up import AT_MAXIMUM
from resilience_operator.explain.context import ExplainContext
from resilience_operator.explain.evidence import TestEvidence, describe_evidence, release_evidence
from resilience_operator.explain.formatting import adds, does, needed, pods


@dataclass(frozen=True, slots=True)
class RuleExplained:
    """One rule in sentences. readings: measured values; then: the actions, or why there are none.

    evidence: the tests of the release that the rule guards, and `evidence_readings` the same in sentences.
    """

    name: str
    verdict: Verdict
    acts_when: str
    does: str
    readings: tuple[str, ...]
    then: tuple[str, ...]
    evidence: tuple[TestEvidence, ...] = ()
    evidence_readings: tuple[str, ...] = ()


def explain_rule(rule: Rule, facts: ExplainContext) -> RuleExplained:
    """Explain one rule."""
    memory = facts.rule(rule)
    wanted = needed(rule, facts.policy)
    if memory is None:
        why = "not evaluated: the policy is paused" if facts.paused_by_hand else "not evaluated yet"
        return RuleExplained(rule.name, Verdict.UNKNOWN, wanted, does(rule), (why,), ())
    timers = [memory.timers[i] if i < len(memory.timers) else Timer() for i in range(len(rule.conditions))]
    verdict = combine(rule, [t.verdict for t in timers])
    readings = tuple(_describe_condition(c, t, facts) for c, t in zip(rule.conditions, timers, strict=True))
    evidence = tuple(release_evidence(rule, facts))
    return RuleExplained(
        rule.name,
        verdict,
        wanted,
        does(rule),
        readings,
        tuple(_then(rule, memory, timers, verdict, facts)),
        evidence,
        tuple(describe_evidence(found, facts) for found in evidence),
    )


def _describe_condition(condition: Condition, timer: Timer, facts: ExplainContext) -> str:
    asked = facts.policy.signals[condition.signal]
    signal, limit = facts.signal(condition.signal), format_bound(condition, asked.unit)
    value = f"{condition.signal} is {signal.value}" if signal and signal.value else f"{condition.signal} has no value"
    if asked.written is not None:
        value += f" (over {format_duration(asked.window)}: {format_duration(asked.written)} is rounded up)"
    match timer.verdict:
        case Verdict.OK:
            return f"{value}, not {limit}"
        case Verdict.PENDING if timer.crossed is not None:
            due = facts.until(timer.crossed + condition.hold)
            return f"{value}, {limit} for {facts.ago(timer.crossed)}; it becomes a breach {due} unless it recovers"
        case Verdict.BREACH:
            since = timer.since if timer.crossed is None else timer.crossed
            return f"{value}, {limit} for {facts.ago(since)}"
        case _:
            reason = signal.reason if signal and signal.reason else "NotMeasuredYet"
            return f"{value}: {_meaning(reason)} ({reason})"


def _meaning(reason: str) -> str:
    known = REASONS[ConditionType.METRICS_AVAILABLE].get(reason, "")
    if not known:
        return "there are too few requests to decide" if reason == "Inconclusive" else "there is no measurement"
    return known[0].lower() + known[1:].rstrip(".")


def _then(
    rule: Rule, memory: RuleMemory, timers: list[Timer], verdict: Verdict, facts: ExplainContext
) -> Iterator[str]:
    if (
        verdict is not Verdict.BREACH
        and rule.guards_release
        and facts.watched
        and memory.release_breach_since is not None
    ):
        # A breach of one revision may be invisible in the whole target.
        yield from _releasing(rule, memory, facts)
        return
    if verdict is Verdict.OK:
        yield f"no action needed: it acts on {needed(rule, facts.policy)}"
        return
    if verdict is Verdict.PENDING:
        yield "no action yet: the time in `for` has not passed"
        return
    if verdict is Verdict.UNKNOWN:
        kept = [t for t in timers if t.crossed is not None and t.unknown is not None]
        yield "no action: the rule does not act on Unknown signals"
        for timer in kept:
            assert timer.unknown is not None and timer.crossed is not None
            ends = timer.unknown + MAX_UNKNOWN_INTERVALS * facts.policy.interval
            seen = facts.ago(timer.crossed)
            yield f"the crossing {seen} ago expires {facts.until(ends)} if the signal stays Unknown"
        return
    if facts.policy.mode is Mode.DRY_RUN:
        yield "its actions are only simulated: mode is DryRun"
    if facts.policy.mode is Mode.SUSPENDED:
        yield "no action: mode is Suspended"
        return
    if rule.alert:
        yield "it alerted: the policy and its target have a Warning event"
    if rule.scale_up is not None:
        yield _scaling(rule, rule.scale_up, memory, facts)
    if rule.guards_release:
        yield from _releasing(rule, memory, facts)


def _scaling(rule: Rule, scale_up: ScaleUp, memory: RuleMemory, facts: ExplainContext) -> str:
    target, release = facts.target, facts.release
    if target is not None:
        limit, size = ceiling(facts.policy, target), current_size(target)
        if target.replicas == 0:
            return "it adds no pods: the target is scaled to zero"
        if size >= limit:
            whose = "the HorizontalPodAutoscaler's" if target.hpa and target.hpa.max_replicas == limit else "the"
            return f"it adds no pods: there are {size}, {whose} maximum is {limit}"
    elif AT_MAXIMUM in facts.memory.announced:
        return "it adds no pods: the maximum is reached"
    if memory.scaled is not None and facts.now < memory.scaled + scale_up.cooldown:
        due = facts.until(memory.scaled + scale_up.cooldown)
        return f"it requested pods {facts.ago(memory.scaled)} ago and is in its cooldown: it may request more {due}"
    if facts.watched and release is not None and _is_attributed(rule, facts):
        return f"it adds no pods: only revision {release.revision} is in breach, so the release is the cause"
    if target is not None and (coming := target.replicas - target.ready) > 0:
        return f"it {adds(scale_up)} if the new pods are not enough: {pods(coming)} not ready yet"
    return f"it {adds(scale_up)} at the next evaluation"


def _is_attributed(rule: Rule, facts: ExplainContext) -> bool:
    """Return whether a breach of the same signals is attributed to the release."""
    signals = {c.signal for c in rule.conditions}
    for other in facts.policy.rules:
        memory = facts.rule(other)
        if (
            memory is not None
            and memory.release_breach_since is not None
            and signals <= {c.signal for c in other.conditions}
        ):
            return True
    return False


def _releasing(rule: Rule, memory: RuleMemory, facts: ExplainContext) -> Iterator[str]:
    release = facts.release
    if release is None or not facts.watched:
        phase = release.phase.value if release is not None else "not known yet"
        yield f"there is nothing to pause or roll back: no release is in progress (phase {phase})"
        return
    if release.manual_override:
        yield f"no action on revision {release.revision}: someone overrode the operator on it"
        return
    if facts.target is not None and facts.target.paused and release.paused is None:
        who = display_name(facts.target.paused_by)
        yield f"no action on the release: {who} paused the rollout"
        return
    verdict = combine(rule, [t.verdict for t in memory.release_timers]) if memory.release_timers else Verdict.UNKNOWN
    if verdict is Verdict.OK:
        yield (
            f"no action on the release: revision {release.revision} is not the cause; the other revisions are in "
            "breach too, or the breach began before the release"
        )
    elif memory.release_breach_since is None:
        yield f"no action on the release: it is not known whether revision {release.revision} is the cause ({verdict})"
    else:
        yield from _describe_failing(rule, memory.release_breach_since, release, facts)


def _describe_failing(rule: Rule, failing_since: float, release: ReleaseMemory, facts: ExplainContext) -> Iterator[str]:
    yield f"the breach has been attributed to revision {release.revision} for {facts.ago(failing_since)}"
    if rule.pause:
        when = (
            "is paused because of this rule" if release.paused is not None else "will be paused at the next evaluation"
        )
        yield f"the rollout {when}"
    if rule.rollback is None:
        return
    to = release.good
    if facts.target is not None:
        goal = rollback_goal(release, facts.target, {q.revision for q in facts.memory.quarantined}, facts.now)
        if isinstance(goal, RollbackBlocked):
            yield f"it cannot be rolled back: {goal.message} ({goal.reason})"
            return
        to = f"{goal.revision.name}{goal.description}"
    due = facts.until(failing_since + rule.rollback.after)
    yield f"it will be rolled back to {to} {due} ({format_duration(rule.rollback.after)} after the breach)"
