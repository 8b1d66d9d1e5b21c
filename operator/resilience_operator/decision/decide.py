"""The one decision: policy + observations + target + memory + now → Decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from resilience_operator.api.spec import Mode
from resilience_operator.decision.analysis.rules import RuleEvaluation, evaluate_rule
from resilience_operator.decision.analysis.warm_up import learned
from resilience_operator.decision.configuration.keep import SYNC, plan_keep, waiting
from resilience_operator.decision.configuration.rollback import unfinished_rollback, with_content
from resilience_operator.decision.context import EvaluationContext, prepare
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import (
    FreezeMemory,
    GoodCounts,
    Memory,
    Phase,
    Quarantine,
    ReleaseMemory,
    Revert,
    RollbackRequest,
    RollbackResult,
    Verdict,
)
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.plugin_calls import pending_calls
from resilience_operator.decision.release import freeze, good_counts, lifecycle
from resilience_operator.decision.release.aftermath import watch_rollback
from resilience_operator.decision.release.analysis import analyse
from resilience_operator.decision.release.approval import approval_of, ask, kept_request, without_rollback
from resilience_operator.decision.release.attribution import inconclusive_notice, request_counts, suppress
from resilience_operator.decision.release.bake import advance_bake, next_look
from resilience_operator.decision.release.gitops_hold import NO_HOLD, HoldPlan, plan_hold
from resilience_operator.decision.release.goal import mark_failed, with_service
from resilience_operator.decision.release.health import assess_pods, learn_startup
from resilience_operator.decision.release.non_inferiority import is_not_worse
from resilience_operator.decision.release.outage import without_outage
from resilience_operator.decision.release.quarantine import discharge
from resilience_operator.decision.release.remediation import NOT_PROVEN, ReleaseFinding, ReleasePlan, plan_remediation
from resilience_operator.decision.report import RuleReport, SignalReport, describe, signal_reports
from resilience_operator.decision.reverts import PAUSED, blocked, retry_at
from resilience_operator.decision.scaling.dependencies import dependency_states
from resilience_operator.decision.scaling.manual import adopt_minimum
from resilience_operator.decision.scaling.plan import ScalingPlan, earliest, plan_scaling
from resilience_operator.decision.scaling.recommendation import QUIET, Recommendation, ScalingContext
from resilience_operator.decision.scaling.withhold import withhold


@dataclass(frozen=True, slots=True)
class Decision:
    """The commands and notices of one evaluation, and the memory to keep.

    memory: without the effect of the commands, which `outcomes.apply_outcomes` adds.
    target: the evaluated state, with the dry-run overlay. wake: when the next timer is due, or None.
    notices: to send now. active: all notices that apply, by key.
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
        """The phase of the release."""
        assert self.memory.release is not None
        return self.memory.release.phase


def decide(
    policy: Policy,
    observations: Mapping[str, Observation],
    target: TargetState,
    memory: Memory,
    now: float,
    *,
    shared_incident: bool = False,
) -> Decision:
    """Evaluate one policy. A signal without an observation counts as Unknown.

    shared_incident: other workloads came into breach at the same time, so a breach without old pods to compare with
    is not held against a release.
    """
    context = prepare(policy, observations, target, memory, now, shared_incident=shared_incident)
    evaluations = [evaluate_rule(rule, context) for rule in policy.rules]
    release = _advance_release(context, evaluations)
    scaling = _plan_scaling(context, evaluations, release)
    return _assemble(context, evaluations, release, scaling)


@dataclass(slots=True)
class _ReleaseStep:
    """The release after the evaluation, the commands for it, and the signals attributed to it."""

    release: ReleaseMemory
    quarantined: tuple[Quarantine, ...]
    attributed_signals: frozenset[str]
    commands: tuple[Command, ...]
    notices: tuple[Notice, ...]
    wake: float | None
    reverts: tuple[Revert, ...]
    request: RollbackRequest | None = None
    freeze: FreezeMemory | None = None
    unfinished: Command | None = None


@dataclass(slots=True)
class _ScalingStep:
    plan: ScalingPlan
    metrics_missing_since: float | None


def _advance_release(context: EvaluationContext, evaluations: Sequence[RuleEvaluation]) -> _ReleaseStep:
    policy, target, now = context.policy, context.target, context.now
    found = analyse(context.release, evaluations)
    release = found.release
    pods = assess_pods(release, policy, target, context.memory.startup_seconds, now)
    if pods.memory != release.health:
        release = replace(release, health=pods.memory)
    serving = pods.serving and target.replicas > 0  # no pods prove nothing
    release, baked = advance_bake(
        release,
        policy,
        measured=found.measured,
        serving=serving,
        clean=found.clean,
        proven=release.phase is Phase.BAKING and is_not_worse(release, policy),
        guarded=any(e.rule.guards_release for e in evaluations),
        now=now,
        patience=context.patience,
        lookback=context.lookback,
    )
    findings = [*without_outage(found.findings, release, policy, now), *pods.findings]
    if any(f.verdict is Verdict.BREACH and f.failing_since is not None for f in findings):
        release = mark_failed(release)
    suspect = any(f.suspect for f in findings)
    release = with_service(release, policy, serving=serving and target.rolled_out, suspect=suspect, now=now)
    quarantined = tuple(context.quarantined.values())
    before = context.memory.release
    if release.good in context.quarantined and release.good != (before.good if before is not None else None):
        # Someone reapplied a quarantined revision, and it completed its bake.
        quarantined = tuple(q for q in quarantined if q.revision != release.good)
    release, aftermath = watch_rollback(release, policy, target, evaluations, context.quarantined, now)
    if release.rollback_result is RollbackResult.DID_NOT_HELP:
        # The restored revision fails alike: the other one is not the cause.
        quarantined = tuple(q for q in quarantined if q.revision != release.rolled_from)
        release = discharge(release, (release.rolled_from,))
    if quarantined == context.memory.quarantined:
        quarantined = context.memory.quarantined
    interrupted = unfinished_rollback(context.memory, release, target)
    plan, request = _plan_release(context, release, findings, evaluations, interrupted)
    if context.reverts and blocked(context.reverts, PAUSED, now) is not None:
        plan = plan.without_pause()  # another writer keeps lifting the operator's pause
    if release.held_unmeasured and any(c.reason == "ReleaseRecovered" for c in plan.commands):
        quarantined = tuple(q for q in quarantined if q.revision != release.revision)
    plan = _with_configuration(context, plan)
    notices = baked + pods.notices + aftermath + plan.notices
    if not found.measured:
        notices += inconclusive_notice(plan.release, target, found.findings, now - context.lookback)
    wake = earliest(plan.wake, pods.wake)
    signals, reverts = found.attributed_signals, context.reverts
    step = _ReleaseStep(
        plan.release, quarantined, signals, plan.commands, notices, wake, reverts, request, unfinished=interrupted
    )
    return _with_freeze(context, step) if freeze.applies(policy, context.memory.freeze) else step


def _plan_release(
    context: EvaluationContext,
    release: ReleaseMemory,
    findings: Sequence[ReleaseFinding],
    evaluations: Sequence[RuleEvaluation],
    interrupted: Command | None,
) -> tuple[ReleasePlan, RollbackRequest | None]:
    """Plan the remediation, and return the rollback that waits for approval. An interrupted rollback is continued."""
    if interrupted is not None:
        return ReleasePlan(release, (interrupted,)), context.memory.request
    plan, request = _remediate(context, release, findings, evaluations), context.memory.request
    if plan.commands or request is not None:
        again = partial(_remediate, context, release, evaluations=evaluations)
        plan, request = _with_approval(context, plan, findings, again)
    return plan, request


def _with_configuration(context: EvaluationContext, plan: ReleasePlan) -> ReleasePlan:
    """Return the plan with the content that a rollback restores, or with the command that keeps a good one."""
    policy, target, now = context.policy, context.target, context.now
    if target.configuration is None:
        return plan
    release, keep, notices = plan_keep(plan.release, policy, target)
    commands = tuple(with_content(command, policy, target, now) for command in plan.commands)
    if keep is not None and not commands:
        commands = (keep,)
    notices = (*plan.notices, *notices, *waiting(release, policy, target, now))
    return replace(plan, release=release, commands=commands, notices=notices)


def _remediate(
    context: EvaluationContext,
    release: ReleaseMemory,
    findings: Sequence[ReleaseFinding],
    evaluations: Sequence[RuleEvaluation],
) -> ReleasePlan:
    analysed = release.phase in lifecycle.ANALYSED_PHASES  # otherwise these two are not read
    return plan_remediation(
        release,
        context.policy,
        context.target,
        findings,
        context.quarantined,
        context.now,
        measured=analysed and _measured_at_all(evaluations),
        clean_since=_clean_since(evaluations) if analysed else None,
    )


def _with_approval(
    context: EvaluationContext,
    plan: ReleasePlan,
    findings: Sequence[ReleaseFinding],
    again: Callable[[Sequence[ReleaseFinding]], ReleasePlan],
) -> tuple[ReleasePlan, RollbackRequest | None]:
    """Return the plan, and the rollback that waits for a person's approval. again: plans for other findings."""
    before = context.memory.request
    rollback = next((c for c in plan.commands if c.verb is Verb.ROLLBACK), None)
    if rollback is None:
        return plan, before if before is None else kept_request(before, plan.release, findings)
    policy, target = context.policy, context.target
    approval = approval_of(policy, rollback)
    if approval is None:
        return plan, None
    asked = ask(policy, rollback, approval, before, f"{target.kind} {target.name}", context.now)
    if asked.command is not None and asked.command.verb is Verb.ROLLBACK:
        return replace(plan, commands=(asked.command,)), asked.request
    plan = again(list(without_rollback(findings)))
    commands = plan.commands if asked.command is None else (*plan.commands, asked.command)
    wake = earliest(plan.wake, asked.wake)
    return replace(plan, commands=commands, notices=plan.notices + asked.notices, wake=wake), asked.request


def _with_freeze(context: EvaluationContext, step: _ReleaseStep) -> _ReleaseStep:
    """Return the step with what a freeze requires: the rollout is paused, or resumed at its end."""
    plan = freeze.plan_freeze(
        context.policy,
        context.actual,
        context.memory,
        step.release,
        reverts=step.reverts,
        commands=step.commands,
        now=context.now,
    )
    commands = step.commands
    if plan.resume_held:
        commands = tuple(c for c in commands if (c.verb, c.reason) != (Verb.RESUME, "NewRelease"))
    wake = earliest(step.wake, plan.wake)
    return replace(
        step,
        commands=commands + plan.commands,
        notices=step.notices + plan.notices,
        wake=wake,
        reverts=plan.reverts,
        freeze=plan.memory,
    )


def _measured_at_all(evaluations: Sequence[RuleEvaluation]) -> bool:
    """Return whether a rule that guards releases has a measurement of the target; without such rules, True.

    A measurement near the threshold decides nothing, but it is one. Too few requests are none.
    """
    guards = [e for e in evaluations if e.rule.guards_release]
    judgements = [r.judgement for e in guards for r in e.results]
    return not guards or any(j.value is not None and j.reason != "TooFewSamples" for j in judgements)


def _clean_since(evaluations: Sequence[RuleEvaluation]) -> float | None:
    """Return since when no rule that guards releases is in breach for the whole target, whatever the cause."""
    guards = [e for e in evaluations if e.rule.guards_release]
    if any(e.verdict in (Verdict.PENDING, Verdict.BREACH) for e in guards):
        return None
    return max((r.timer.since for e in guards if e.verdict is Verdict.OK for r in e.results), default=0.0)


def _silent_breaches(evaluations: Sequence[RuleEvaluation], step: _ReleaseStep, target: TargetState) -> list[Notice]:
    """Return a notice for each guarding rule in breach that leads to no action: no breach stays silent."""
    release = step.release
    if release.phase is Phase.ROLLING_BACK:
        return []  # the rollback is the action; what it does not mend is in breach afterwards
    guards = [e for e in evaluations if e.rule.guards_release and _in_breach(e)]
    if not guards:
        return []
    acting = release.phase in lifecycle.ANALYSED_PHASES and not release.manual_override
    acting = acting and not (target.paused and release.paused is None)
    suspected = any(n.reason == NOT_PROVEN for n in step.notices)
    found = []
    for e in guards:
        if (e.memory.release_breach_since is not None and acting) or e.rule.alert or suspected:
            continue
        results = e.results if e.memory.breach is not None else e.release_results
        message = (
            f"{e.rule.name}: {describe(e.rule, results)}. Nothing is paused or rolled back: {_why_not(release, target)}"
        )
        found.append(Notice(f"guard/{e.rule.name}", "GuardBreached", message, warning=True))
    return found


def _in_breach(evaluation: RuleEvaluation) -> bool:
    return evaluation.memory.breach is not None or evaluation.memory.release_breach_since is not None


def _why_not(release: ReleaseMemory, target: TargetState) -> str:
    if release.manual_override:
        return f"someone overrode the operator on revision {release.revision}"
    if target.paused and release.paused is None:
        return "someone paused the rollout"
    if release.phase in lifecycle.ANALYSED_PHASES:
        return f"it is not known to be caused by revision {release.revision}"
    return f"no release is in progress (phase {release.phase})"


def _plan_scaling(
    context: EvaluationContext, evaluations: Sequence[RuleEvaluation], step: _ReleaseStep
) -> _ScalingStep:
    recommendations = [
        Recommendation(e.rule, e.rule.scale_up, e.memory, e.verdict, e.results)
        for e in evaluations
        if e.rule.scale_up is not None
    ]
    if context.canary.revision is not None:
        recommendations = [
            suppress(r, context.signals, context.canary, step.attributed_signals) for r in recommendations
        ]
    missing_since = _metrics_missing_since(context.memory.metrics_missing_since, evaluations, context.now)
    scaling = ScalingContext(
        context.policy, context.target, context.scaling, step.release, recommendations, missing_since, context.now
    )
    if recommendations:
        scaling.overall = {name: o.overall for name, (_, o) in context.signals.items() if o.overall is not None}
    if context.policy.dependencies:
        scaling.dependencies = dependency_states(context.policy.dependencies, context.signals)
    if any(r.rule.follows_load for r in recommendations):
        scaling.rates = _request_rates(context)
    return _ScalingStep(withhold(plan_scaling(scaling), context.target, context.reverts, context.now), missing_since)


def _request_rates(context: EvaluationContext) -> dict[float, float]:
    """Return the requests/s of the target by the window over which they were counted."""
    found: dict[float, float] = {}
    for signal, observation in context.signals.values():
        measured = observation.measured
        if signal.counts_requests and measured is not None and measured.samples is not None:
            found.setdefault(signal.window, measured.samples / signal.window)
    return found


def _assemble(
    context: EvaluationContext, evaluations: Sequence[RuleEvaluation], step: _ReleaseStep, scaling: _ScalingStep
) -> Decision:
    policy, memory, now, plan = context.policy, context.memory, context.now, scaling.plan
    hold = _plan_hold(context, step)
    commands = step.commands + hold.commands
    if plan.command is not None:
        commands += (plan.command,)
    if context.target.hpa is not None:
        commands += _adoption(context, plan.command)
    if any(e.rule.plugins for e in evaluations):
        commands += tuple(_plugin_calls(context, evaluations))
    notices = (
        *context.notices,
        *_alerts(evaluations),
        *step.notices,
        *hold.notices,
        *_silent_breaches(evaluations, step, context.target),
        *plan.notices,
    )
    active = {n.key: n for n in notices}
    rules = {e.rule.name: plan.rules.get(e.rule.name, e.memory) for e in evaluations}
    notes = plan.notes
    retry = retry_at(context.reverts, now) if context.reverts else None
    reports = tuple(
        [RuleReport(e.rule, e.verdict, e.results, e.release_verdict, notes.get(e.rule.name, "")) for e in evaluations]
    )
    return Decision(
        at=now,
        policy=policy,
        target=context.target,
        memory=Memory(
            target_uid=memory.target_uid,
            rules=rules,
            scaling=plan.scaling,
            release=step.release,
            quarantined=step.quarantined,
            overlay=context.overlay,
            intent=None,
            reverts=step.reverts,
            freeze=step.freeze,
            request=step.request,
            unfinished=step.unfinished,
            hold=hold.memory,
            announced=_announced(memory.announced, active, step.release),
            metrics_missing_since=scaling.metrics_missing_since,
            startup_seconds=learn_startup(memory.startup_seconds, context.target.pods),
            good_counts=_good_counts(context, evaluations, step.release),
            warm_up_seconds=_warm_up(context, step.release),
        ),
        commands=commands,
        notices=tuple([n for n in notices if n.transient or n.key not in memory.announced]),
        rules=reports,
        signals=signal_reports(reports, context.signals),
        wake=_next_wake(policy, evaluations, step.release, (step.wake, plan.wake, retry), now),
        active=active,
    )


def _plan_hold(context: EvaluationContext, step: _ReleaseStep) -> HoldPlan:
    hold = context.memory.hold
    if hold is None and not context.target.hold_marked:
        return NO_HOLD
    return plan_hold(context.policy, context.target, hold, step.quarantined, step.commands, context.now)


def _warm_up(context: EvaluationContext, release: ReleaseMemory) -> float | None:
    """Return the warm-up of the target's pods, learned at the end of a bake."""
    before = context.memory.warm_up_seconds
    ended = context.release.phase is Phase.BAKING and release.phase is Phase.STABLE and release.good == release.revision
    return learned(before, release.live) if ended else before


def _good_counts(
    context: EvaluationContext, evaluations: Sequence[RuleEvaluation], release: ReleaseMemory
) -> Mapping[str, GoodCounts]:
    """Return the counts of the last good state, recorded anew if the current one is good and they are old."""
    before = context.memory.good_counts
    if not good_counts.are_due(before, release, context.target, context.now):
        return before
    guards = [e for e in evaluations if e.rule.guards_release]
    if not guards or any(e.verdict is not Verdict.OK for e in guards):
        return before
    counted = request_counts(context.policy, context.signals, None)
    return good_counts.recorded(before, counted, context.policy, context.now)


def _alerts(evaluations: Iterable[RuleEvaluation]) -> list[Notice]:
    return [
        Notice(f"alert/{e.rule.name}", "Alert", f"{e.rule.name}: {describe(e.rule, e.results)}", warning=True)
        for e in evaluations
        if e.rule.alert and e.memory.breach is not None
    ]


def _adoption(context: EvaluationContext, step: Command | None) -> tuple[Command, ...]:
    """Return the command that forgets an outdated minimum, unless a step writes the HPA anyway."""
    found = adopt_minimum(context.target) if step is None else None
    return (found,) if found is not None else ()


def _plugin_calls(context: EvaluationContext, evaluations: Iterable[RuleEvaluation]) -> list[Command]:
    dry_run = context.policy.mode is Mode.DRY_RUN
    return [
        call
        for e in evaluations
        if e.rule.plugins
        for call in pending_calls(context.policy, e.rule, e.memory, describe(e.rule, e.results), dry_run=dry_run)
    ]


def _announced(before: frozenset[str], active: Mapping[str, Notice], release: ReleaseMemory) -> frozenset[str]:
    """Return the keys not to announce again: active notices, and those of this release while it is analysed."""
    if not active and not before:
        return before
    keys = {key for key, notice in active.items() if not notice.transient}
    if before and release.phase in lifecycle.ANALYSED_PHASES:
        keys.update(key for key in before if key.endswith(f"/{release.revision}") and not key.startswith("alert/"))
    return before if keys == before else frozenset(keys)


def _metrics_missing_since(before: float | None, evaluations: Sequence[RuleEvaluation], now: float) -> float | None:
    """Return since when no rule that scales has had a measurement. If no rule scales, all rules count.

    Signals from the API server do not count: they are available even when metrics are missing. No requests, or too few,
    are a measurement: the source answers.
    """
    scaling = [e for e in evaluations if e.rule.scale_up is not None]
    for some in (scaling, evaluations):
        missing = False
        for evaluation in some:
            for result in evaluation.results:
                if not result.signal.metered:
                    continue
                if result.judgement.value is not None or result.judgement.reason in QUIET:
                    return None
                missing = True
        if missing:
            return now if before is None else before
    return None


def _next_wake(
    policy: Policy,
    evaluations: Sequence[RuleEvaluation],
    release: ReleaseMemory,
    others: Iterable[float | None],
    now: float,
) -> float | None:
    """Return when the next timer is due: a `for`, an `after`, a bake, a cooldown, a stable period."""
    due = [t for t in others if t is not None and t > now]
    for evaluation in evaluations:
        for results in (evaluation.results, evaluation.release_results):
            for result in results:
                timer = result.timer
                if timer.crossed is not None and timer.verdict is Verdict.PENDING:
                    due.append(timer.crossed + result.condition.hold)
    if release.phase is Phase.BAKING and release.bake_started is not None:
        due.append(release.bake_started + policy.release.bake)
        if (look := next_look(release, policy)) is not None:
            due.append(look)
    if release.live is not None:
        windowed = (found for found in release.live.scores.items() if found[1].windowed and found[1].since is not None)
        due += [(found.since or now) + policy.window for _, found in windowed]
    if release.configuration is not None and release.phase is Phase.PROGRESSING:
        due.append(release.configuration.since + min(SYNC, policy.release.bake))
    if release.phase is Phase.ROLLED_BACK:
        due.append(release.since + policy.release.bake)
    return min([t for t in due if t > now], default=None) if due else None
