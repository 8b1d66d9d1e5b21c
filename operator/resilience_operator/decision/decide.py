"""The one decision: policy + observations + target + memory + now → Decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from resilience_operator.api.spec import Mode
from resilience_operator.decision.analysis.proof import proof_times
from resilience_operator.decision.analysis.rules import RuleEvaluation, evaluate_rule
from resilience_operator.decision.analysis.warm_up import learned
from resilience_operator.decision.configuration.keep import SYNC
from resilience_operator.decision.context import EvaluationContext, prepare
from resilience_operator.decision.model.commands import Command, Notice
from resilience_operator.decision.model.members import BAKING, OK, PENDING, PROGRESSING, ROLLED_BACK, STABLE
from resilience_operator.decision.model.memory import GoodCounts, Memory, Phase, ReleaseMemory, RuleMemory
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import record
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.plugin_calls import pending_calls
from resilience_operator.decision.release import good_counts, lifecycle
from resilience_operator.decision.release.attribution import request_counts
from resilience_operator.decision.release.bake import next_look
from resilience_operator.decision.release.gitops_hold import NO_HOLD, HoldPlan, plan_hold
from resilience_operator.decision.release.health import learn_startup
from resilience_operator.decision.release_step import ReleaseStep, advance_release, silent_breaches
from resilience_operator.decision.report import SignalReport, describe, signal_reports
from resilience_operator.decision.reverts import retry_at
from resilience_operator.decision.scaling.manual import adopt_minimum
from resilience_operator.decision.scaling_step import ScalingStep, scale


@record(frozen=True, slots=True)
class Decision:
    """The commands and notices of one evaluation, and the memory to keep.

    memory: without the effect of the commands, which `outcomes.apply_outcomes` adds.
    target: the evaluated state, with the dry-run overlay. wake: when the next timer is due, or None.
    notices: to send now. active: all notices that apply, by key. signal_notes: of the observations, by signal.
    """

    at: float
    policy: Policy
    target: TargetState
    memory: Memory
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()
    rules: tuple[RuleEvaluation, ...] = ()
    signal_notes: Mapping[str, str] = field(default_factory=dict)
    wake: float | None = None
    active: Mapping[str, Notice] = field(default_factory=dict)
    _signals: tuple[SignalReport, ...] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def signals(self) -> tuple[SignalReport, ...]:
        """Each signal with its strongest verdict in any rule. Created on demand: most decisions change nothing."""
        found = self._signals
        if found is None:
            found = signal_reports([r for rule in self.rules for r in rule.results], self.signal_notes)
            object.__setattr__(self, "_signals", found)
        return found

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
    release = advance_release(context, evaluations)
    scaling = scale(context, evaluations, release)
    return _assemble(context, evaluations, release, scaling)


def _assemble(
    context: EvaluationContext, evaluations: Sequence[RuleEvaluation], step: ReleaseStep, scaling: ScalingStep
) -> Decision:
    policy, memory, now, plan = context.policy, context.memory, context.now, scaling.plan
    hold = NO_HOLD if memory.hold is None and not context.target.hold_marked else _plan_hold(context, step)
    commands = step.commands + hold.commands
    if plan.command is not None:
        commands += (plan.command,)
    if context.target.hpa is not None:
        commands += _adoption(context, plan.command)
    alerts: Iterable[Notice] = ()
    silent: Iterable[Notice] = ()
    rules: dict[str, RuleMemory] = {}
    breaches: list[RuleEvaluation] = []
    for e in evaluations:
        rules[e.rule.name] = after = e.memory
        if after.breach is not None or after.release_breach_since is not None:
            breaches.append(e)
    if plan.rules:
        rules.update(plan.rules)
    if plan.notes:
        for e in evaluations:
            e.note = plan.notes.get(e.rule.name, "")
    if breaches:
        commands += tuple(_plugin_calls(context, breaches))
        alerts, silent = _alerts(breaches), silent_breaches(breaches, step, context.target)
    notices = (*context.notices, *alerts, *step.notices, *hold.notices, *silent, *plan.notices)
    active = {n.key: n for n in notices} if notices else {}
    retry = retry_at(context.reverts, now) if context.reverts else None
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
        notices=tuple([n for n in notices if n.transient or n.key not in memory.announced]) if notices else (),
        rules=tuple(evaluations),
        signal_notes={name: o.note for name, (_, o) in context.signals.items() if o.note},
        wake=_next_wake(policy, evaluations, step.release, (step.wake, plan.wake, retry), now),
        active=active,
    )


def _plan_hold(context: EvaluationContext, step: ReleaseStep) -> HoldPlan:
    hold = context.memory.hold
    return plan_hold(context.policy, context.target, hold, step.quarantined, step.commands, context.now)


def _warm_up(context: EvaluationContext, release: ReleaseMemory) -> float | None:
    """Return the warm-up of the target's pods, learned at the end of a bake."""
    before = context.memory.warm_up_seconds
    ended = context.release.phase is BAKING and release.phase is STABLE and release.good == release.revision
    return learned(before, release.live) if ended else before


def _good_counts(
    context: EvaluationContext, evaluations: Sequence[RuleEvaluation], release: ReleaseMemory
) -> Mapping[str, GoodCounts]:
    """Return the counts of the last good state, recorded anew if the current one is good and they are old."""
    before = context.memory.good_counts
    if not good_counts.are_due(before, release, context.target, context.now):
        return before
    guards = [e for e in evaluations if e.rule.guards_release]
    if not guards or any(e.verdict is not OK for e in guards):
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
        both_ok = evaluation.verdict is OK and (evaluation.release_verdict is None or evaluation.release_verdict is OK)
        if both_ok and len(evaluation.results) == 1:
            continue
        for results in (evaluation.results, evaluation.release_results):
            for result in results:
                timer = result.timer
                if timer.crossed is not None and timer.verdict is PENDING:
                    due.append(timer.crossed + result.condition.hold)
    phase = release.phase
    if phase is BAKING and release.bake_started is not None:
        due.append(release.bake_started + policy.release.bake)
        if (look := next_look(release, policy)) is not None:
            due.append(look)
    if release.live is not None and release.live.scores:
        windowed = (found for found in release.live.scores.items() if found[1].windowed and found[1].since is not None)
        due += [(found.since or now) + policy.window for _, found in windowed]
        due += proof_times(release, policy)
    if release.configuration is not None and phase is PROGRESSING:
        due.append(release.configuration.since + min(SYNC, policy.release.bake))
    if phase is ROLLED_BACK:
        due.append(release.since + policy.release.bake)
    return min([t for t in due if t > now], default=None) if due else None
