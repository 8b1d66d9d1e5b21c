"""The one decision: policy + observations + target + memory + now → Decision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from resilience_operator.api.spec import Mode
from resilience_operator.decision import plugin_calls, scaling
from resilience_operator.decision.analysis.evidence import CanaryContext, judge_all, judge_release
from resilience_operator.decision.analysis.verdicts import (
    MAX_UNKNOWN_INTERVALS,
    ConditionResult,
    breach_since,
    combine,
    evaluate_conditions,
    last_known,
    verdict_of,
)
from resilience_operator.decision.dry_run import apply_overlay, leave_dry_run, prune
from resilience_operator.decision.model.commands import Command, Notice
from resilience_operator.decision.model.memory import (
    DryRunOverlay,
    Memory,
    Phase,
    ReleaseMemory,
    RuleMemory,
    ScalingMemory,
    Verdict,
)
from resilience_operator.decision.model.observation import Observation, signal_views
from resilience_operator.decision.model.policy import Policy, Rule
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release import lifecycle, remediation
from resilience_operator.decision.release.attribution import (
    inconclusive_notice,
    mark_attributed,
    mark_shared,
    regressed_since_release,
    suppress,
    update_baseline,
)
from resilience_operator.decision.report import RuleReport, SignalReport, describe, signal_reports, with_notes


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and why, and what to remember if it is done.

    memory holds everything but the effect of the commands, which `outcomes.apply_outcomes` adds when they happened.
    target is the state that was judged (with rehearsed changes laid over it). wake: when a timer is due, or None.
    """

    at: float
    policy: Policy
    target: TargetState
    memory: Memory
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()
    rules: tuple[RuleReport, ...] = ()
    signals: tuple[SignalReport, ...] = ()
    wake: float | None = None
    active: Mapping[str, Notice] = field(default_factory=dict)

    @property
    def phase(self) -> Phase:
        """Where the release stands."""
        assert self.memory.release is not None
        return self.memory.release.phase


def decide(
    policy: Policy,
    observations: Mapping[str, Observation],
    target: TargetState,
    memory: Memory,
    now: float,
) -> Decision:
    """Judge one target. A signal without an observation counts as Unknown."""
    if memory.target_uid != target.uid:
        # Another object under the same name: what was remembered of the old one is not true of it.
        memory = Memory(target_uid=target.uid)
    if policy.mode is not Mode.DRY_RUN:
        memory = leave_dry_run(memory, target, now)
    notices: list[Notice] = []
    patience = MAX_UNKNOWN_INTERVALS * policy.interval
    signals = signal_views(policy, observations, now, patience)
    shadow = prune(memory.overlay, target)
    seen = apply_overlay(target, shadow)
    quarantined = {q.revision: q for q in memory.quarantined}
    lookback = max(patience, policy.window)
    ok_rules = _ok_rules(policy, memory, now - lookback)
    release = lifecycle.advance(memory.release, policy, seen, quarantined, ok_rules, now, notices)
    hands = scaling.detect_manual_scaling(_as_really_seen(memory, shadow), seen, notices)
    watched = release.phase in lifecycle.ANALYSED_PHASES
    # What was held against one revision is not held against the next.
    same = memory.release is not None and release.continues(memory.release)
    if watched:
        release = update_baseline(release, policy, signals, now, anew=not same)
    trial = CanaryContext(
        release.revision if watched else release.rolled_from,
        quarantined,
        release.baseline,
        release.canary_measured_since,
    )

    rules: dict[str, RuleMemory] = {}
    reports: list[RuleReport] = []
    charges: list[remediation.ReleaseFinding] = []
    demands: list[scaling.Recommendation] = []
    calls: list[Command] = []
    measured = clean = True
    accused: set[str] = set()
    for rule in policy.rules:
        before = _before(memory, rule, same_release=same)
        readings = evaluate_conditions(rule, before.timers, signals, judge_all, now, patience)
        verdict = verdict_of(rule, readings)
        breach = breach_since(before.breach, verdict, readings, now)
        base = scaling.base_of(before, breach, readings, seen)
        timers = tuple([r.timer for r in readings])
        # The same object when nothing changed, which is nearly always.
        after = before
        if timers != before.timers or breach != before.breach or base != before.base_replicas:
            after = replace(before, timers=timers, breach=breach, base_replicas=base)
        blame: Verdict | None = None
        if rule.guards_release and watched:
            turned = regressed_since_release(release, rule)
            on_trial = partial(judge_release, trial=trial, ok_before=turned)
            against = evaluate_conditions(rule, before.release_timers, signals, on_trial, now, patience)
            blame = verdict_of(rule, against)
            guilty = breach_since(before.release_breach_since, blame, against, now)
            release = mark_shared(release, rule, verdict, against)
            if guilty is not None:
                release = mark_attributed(release, rule)
            blamed = tuple([r.timer for r in against])
            if blamed != before.release_timers or guilty != before.release_breach_since:
                after = replace(after, release_timers=blamed, release_breach_since=guilty)
            measured = measured and blame is not Verdict.UNKNOWN
            clean = clean and blame is Verdict.OK and verdict not in (Verdict.PENDING, Verdict.BREACH)
            if blame in (Verdict.PENDING, Verdict.BREACH):
                accused.update(r.condition.signal for r in against if r.judgement.crossed)
            charges.append(
                remediation.ReleaseFinding(
                    rule,
                    blame,
                    guilty,
                    describe(rule, against),
                    ok_since=max(r.timer.since for r in against) if blame is Verdict.OK else None,
                    unknown_since=_unknown_since(against) if blame is Verdict.UNKNOWN else None,
                )
            )
        elif before.release_timers or before.release_breach_since is not None:
            after = replace(after, release_timers=(), release_breach_since=None)
        rules[rule.name] = after
        if rule.scale_up is not None:
            demands.append(scaling.Recommendation(rule, rule.scale_up, verdict, readings, base=base))
        if rule.plugins:
            calls += plugin_calls.pending_calls(
                policy, rule, after, describe(rule, readings), rehearsed=policy.mode is Mode.DRY_RUN
            )
        if rule.alert and breach is not None:
            notices.append(
                Notice(f"alert/{rule.name}", "Alert", f"{rule.name}: {describe(rule, readings)}", warning=True)
            )
        reports.append(RuleReport(rule, verdict, readings, blame))

    release = lifecycle.advance_bake(
        release,
        policy,
        measured=measured,
        clean=clean,
        now=now,
        patience=lookback,
        notices=notices,
    )
    quarantined_after = memory.quarantined
    if release.good in quarantined and release.good != (memory.release.good if memory.release else None):
        # People insisted on it, and it got through its bake.
        quarantined_after = tuple(q for q in quarantined_after if q.revision != release.good)
    judged = remediation.plan_remediation(release, policy, seen, charges, quarantined, now, notices)
    release = judged.release
    if not measured and (left_alone := inconclusive_notice(release, seen, charges, now - lookback)):
        notices.append(left_alone)
    if trial.revision is not None:
        demands = [suppress(d, signals, trial, accused) for d in demands]
    metrics_gone = _metrics_gone(memory.metrics_missing_since, reports, now)
    sized = scaling.plan(policy, hands, seen, demands, rules, release, metrics_gone, now, notices)

    commands = (*judged.commands, *((sized.command,) if sized.command is not None else ()), *calls)
    active = {n.key: n for n in notices}
    told = _told(memory.announced, active, release)
    fresh = tuple(n for n in notices if n.transient or n.key not in memory.announced)
    after_all = Memory(
        target_uid=target.uid,
        rules=rules,
        scaling=sized.scaling,
        release=release,
        quarantined=quarantined_after,
        overlay=shadow,
        intent=None,
        announced=memory.announced if told == memory.announced else told,
        metrics_missing_since=metrics_gone,
    )
    return Decision(
        at=now,
        policy=policy,
        target=seen,
        memory=after_all,
        commands=commands,
        notices=fresh,
        rules=tuple(with_notes(reports, sized.notes)),
        signals=signal_reports(reports),
        wake=_next_wake(policy, rules, release, (judged.wake, sized.wake), now),
        active=active,
    )


def _unknown_since(readings: Iterable[ConditionResult]) -> float | None:
    return min((r.timer.unknown for r in readings if r.timer.unknown is not None), default=None)


def _ok_rules(policy: Policy, memory: Memory, since: float) -> Iterator[str]:
    """The rules that were Ok when last measured, at `since` or later. Only a new release asks for them.

    So a gap in the metrics just as a release begins does not make it immune.
    """
    for rule in policy.rules:
        last = memory.rules.get(rule.name)
        if last and last.timers and combine(rule, [last_known(t, since) for t in last.timers]) is Verdict.OK:
            yield rule.name


def _before(memory: Memory, rule: Rule, *, same_release: bool) -> RuleMemory:
    """A rule's past, without what was about something else: other conditions, another revision."""
    before = memory.rules.get(rule.name) or RuleMemory()
    if before.signature != rule.signature:
        return RuleMemory(signature=rule.signature, scaled=before.scaled)
    if not same_release and (before.release_timers or before.release_breach_since is not None):
        return replace(before, release_timers=(), release_breach_since=None)
    return before


def _as_really_seen(memory: Memory, shadow: DryRunOverlay | None) -> ScalingMemory:
    """Once a rehearsed size was overtaken by a real change, the change is one from the real size."""
    was = memory.overlay
    if was is None or was.replicas is None or (shadow is not None and shadow.replicas is not None):
        return memory.scaling
    return replace(memory.scaling, last_replicas=was.real_replicas)


def _told(before: frozenset[str], active: Mapping[str, Notice], release: ReleaseMemory) -> frozenset[str]:
    """What need not be told again: all that holds, and what was told of this release while it is watched."""
    told = {key for key, notice in active.items() if not notice.transient}
    if release.phase in lifecycle.ANALYSED_PHASES:
        told.update(key for key in before if key.endswith(f"/{release.revision}") and not key.startswith("alert/"))
    return before if told == before else frozenset(told)


def _metrics_gone(before: float | None, reports: list[RuleReport], now: float) -> float | None:
    """Since when every rule that scales (every rule at all, where none does) has been without a measurement.

    What the API server tells is no measurement: it is there when the metrics are gone.
    """
    measured = [(r, x) for r in reports for x in r.results if x.signal.metered]
    asked = [(r, x) for r, x in measured if r.rule.scale_up is not None] or measured
    if not asked or any(reading.judgement.value is not None for _, reading in asked):
        return None
    return now if before is None else before


def _next_wake(
    policy: Policy,
    rules: Mapping[str, RuleMemory],
    release: ReleaseMemory,
    others: Iterable[float | None],
    now: float,
) -> float | None:
    """When the next timer is due: a `for`, an `after`, a bake, a cooldown, a calm."""
    due = [t for t in others if t is not None]
    for rule in policy.rules:
        memory = rules[rule.name]
        for timers in (memory.timers, memory.release_timers):
            for index, timer in enumerate(timers):
                if timer.verdict is Verdict.PENDING and timer.crossed is not None:
                    due.append(timer.crossed + rule.conditions[index].hold)
    if release.phase is Phase.BAKING and release.bake_started is not None:
        due.append(release.bake_started + policy.release.bake)
    if release.phase is Phase.ROLLED_BACK:
        due.append(release.since + policy.release.bake)
    return min((t for t in due if t > now), default=None)
