"""Advances the release by one evaluation: what its rules, pods, bake, freezes and approvals lead to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from resilience_operator.decision.analysis.rules import RuleEvaluation
from resilience_operator.decision.configuration.keep import plan_keep, waiting
from resilience_operator.decision.configuration.rollback import unfinished_rollback, with_content
from resilience_operator.decision.context import EvaluationContext
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.members import BAKING, BREACH, STABLE
from resilience_operator.decision.model.memory import (
    FreezeMemory,
    Phase,
    Quarantine,
    ReleaseMemory,
    Revert,
    RollbackRequest,
    RollbackResult,
    Verdict,
)
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release import freeze, lifecycle
from resilience_operator.decision.release.aftermath import watch_rollback
from resilience_operator.decision.release.analysis import analyse
from resilience_operator.decision.release.approval import approval_of, ask, keep_asking, without_rollback
from resilience_operator.decision.release.attribution import inconclusive_notice
from resilience_operator.decision.release.bake import advance_bake, begin_anew
from resilience_operator.decision.release.goal import mark_failed, with_service
from resilience_operator.decision.release.health import assess_pods
from resilience_operator.decision.release.non_inferiority import is_not_worse
from resilience_operator.decision.release.outage import without_outage
from resilience_operator.decision.release.quarantine import discharge
from resilience_operator.decision.release.remediation import (
    NOT_PROVEN,
    ReleaseFinding,
    ReleasePlan,
    plan_remediation,
    with_reminder,
)
from resilience_operator.decision.report import describe
from resilience_operator.decision.reverts import PAUSED, blocked
from resilience_operator.decision.scaling.plan import earliest


@dataclass(slots=True)
class ReleaseStep:
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


def is_settled(context: EvaluationContext) -> bool:
    """Return whether no release is under way and nothing is left of the last one: then there is nothing to do.

    That is so in nearly every evaluation. `advance_in_full` returns the same.
    """
    release, memory, target = context.release, context.memory, context.target
    return (
        release.phase is STABLE
        and release.rolled_from is None
        and release.health is None
        and release.ready_since is None
        and release.paused is None
        and not (context.quarantined or memory.quarantined or context.reverts)
        and memory.request is None
        and memory.unfinished is None
        and target.configuration is None
        and not freeze.applies(context.policy, memory.freeze)
    )


def advance_release(context: EvaluationContext, evaluations: Sequence[RuleEvaluation]) -> ReleaseStep:
    """Advance the release by one evaluation."""
    if is_settled(context):
        return ReleaseStep(context.release, context.memory.quarantined, frozenset(), (), (), None, ())
    return advance_in_full(context, evaluations)


def advance_in_full(context: EvaluationContext, evaluations: Sequence[RuleEvaluation]) -> ReleaseStep:
    """Analyse the release, follow its pods and its bake, and plan what its findings require."""
    policy, target, now = context.policy, context.target, context.now
    found = analyse(context.release, evaluations)
    release = found.release
    pods = assess_pods(release, policy, target, context.memory.startup_seconds, now)
    if pods.memory != release.health:
        release = replace(release, health=pods.memory)
    release = begin_anew(release, pods.crashed_at, now)
    serving = pods.serving and target.replicas > 0  # no pods prove nothing
    release, baked = advance_bake(
        release,
        policy,
        measured=found.measured,
        serving=serving,
        clean=found.clean,
        proven=release.phase is BAKING and is_not_worse(release, policy),
        guarded=any(e.rule.guards_release for e in evaluations),
        now=now,
        patience=context.patience,
        lookback=context.lookback,
    )
    findings = [*without_outage(found.findings, release, policy, now), *pods.findings]
    if any(f.verdict is BREACH and f.failing_since is not None for f in findings):
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
    step = ReleaseStep(
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
    # `measured` is read only of a quarantined revision, and `clean_since` only of a paused one.
    quarantined, paused = release.revision in context.quarantined, release.paused is not None
    plan = plan_remediation(
        release,
        context.policy,
        context.target,
        findings,
        context.quarantined,
        context.now,
        measured=quarantined and _measured_at_all(evaluations),
        clean_since=_clean_since(evaluations) if paused else None,
    )
    if not paused or context.memory.request is not None:  # a request for approval has its own notices
        return plan
    return with_reminder(plan, context.target, findings, context.now)


def _with_approval(
    context: EvaluationContext,
    plan: ReleasePlan,
    findings: Sequence[ReleaseFinding],
    again: Callable[[Sequence[ReleaseFinding]], ReleasePlan],
) -> tuple[ReleasePlan, RollbackRequest | None]:
    """Return the plan, and the rollback that waits for a person's approval. again: plans for other findings."""
    before = context.memory.request
    rollback = next((c for c in plan.commands if c.verb is Verb.ROLLBACK), None)
    policy, target = context.policy, context.target
    if rollback is None:
        if before is None:
            return plan, None
        kept = keep_asking(policy, before, plan.release, findings)
        commands = plan.commands if kept.command is None else (*plan.commands, kept.command)
        return replace(plan, commands=commands), kept.request
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


def _with_freeze(context: EvaluationContext, step: ReleaseStep) -> ReleaseStep:
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


def silent_breaches(breaches: Sequence[RuleEvaluation], step: ReleaseStep, target: TargetState) -> list[Notice]:
    """Return a notice for each guarding rule in breach that leads to no action: no breach stays silent."""
    release = step.release
    if release.phase is Phase.ROLLING_BACK:
        return []  # the rollback is the action; what it does not mend is in breach afterwards
    guards = [e for e in breaches if e.rule.guards_release]
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


def _why_not(release: ReleaseMemory, target: TargetState) -> str:
    if release.manual_override:
        return f"someone overrode the operator on revision {release.revision}"
    if target.paused and release.paused is None:
        return "someone paused the rollout"
    if release.phase in lifecycle.ANALYSED_PHASES:
        return f"it is not known to be caused by revision {release.revision}"
    return f"no release is in progress (phase {release.phase})"
