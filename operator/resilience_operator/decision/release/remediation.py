"""Remediation of a release: pause, roll back, hold, resume, or leave the decision to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.analysis.judgement import OTHER_CAUSES
from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.configuration.rollback import UNKNOWN
from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import Phase, Quarantine, ReleaseMemory, Verdict
from resilience_operator.decision.model.policy import Policy, Rollback, Rule
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release.goal import RollbackBlocked, RollbackGoal, format_age, rollback_goal
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES
from resilience_operator.decision.release.manual_steps import release_command, resume_command, undo_command
from resilience_operator.decision.report import describe

MAX_RESUMES = 2
"""How often the operator resumes a release that recovered. After that it flaps, and a person decides."""

PROGRESS_DEADLINE = "progress-deadline"
"""Name under which an exceeded progress deadline is recorded. Rules cannot have this name."""

PAUSABLE_KINDS = ("Deployment", "StatefulSet")

STILL_PAUSED = "StillPaused"
"""Reason of the notice of a pause that a person may have to end."""

REMIND_AFTER = 3600.0
"""Seconds after which a pause is reported again, whatever its cause."""

NOT_PROVEN = "BreachNotProven"
"""Reason of a pause, its notice and the condition: a breach since the release, which may not be its cause."""


@dataclass(slots=True)
class ReleaseFinding:
    """One rule that guards releases: its verdict on this release, and since when the release breaches it.

    ok_since, unknown_since: since when the verdict is Ok or Unknown, if it is.
    suspect: the rule is in breach since the release began, without proof that the release is the cause.
    results: of its conditions, for what counts against the release. message: replaces them in the description.
    """

    rule: Rule
    verdict: Verdict
    failing_since: float | None
    results: tuple[ConditionResult, ...] = ()
    message: str = ""
    ok_since: float | None = None
    unknown_since: float | None = None
    suspect: bool = False

    @property
    def description(self) -> str:
        """The cause, with values."""
        return self.message or describe(self.rule, self.results)


@dataclass(slots=True)
class ReleasePlan:
    """The release after the plan, the commands, and when the next timer is due (None: no timer)."""

    release: ReleaseMemory
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()
    wake: float | None = None

    def without_pause(self) -> ReleasePlan:
        """Return the plan without the command that pauses."""
        return replace(self, commands=tuple(c for c in self.commands if c.verb is not Verb.PAUSE))


def plan_remediation(
    release: ReleaseMemory,
    policy: Policy,
    target: TargetState,
    findings: Sequence[ReleaseFinding],
    quarantined: Mapping[str, Quarantine],
    now: float,
    *,
    measured: bool = True,
    clean_since: float | None = 0.0,
) -> ReleasePlan:
    """Plan the remediation of the current release.

    measured: a rule that guards releases has a measurement of the target. clean_since: since when no such rule is in
    breach for the whole target, or None.
    """
    changed = target.revision is None or target.revision != release.revision
    if release.paused is not None and changed:
        return ReleasePlan(release, (_resume(release, "NewRelease", "a new template was applied during the pause"),))
    left_to_people = release.manual_override or (target.paused and release.paused is None)
    if release.phase not in ANALYSED_PHASES or changed or left_to_people:
        # `changed`: a newer template was applied, which must not be punished for this one.
        return ReleasePlan(release)
    before = quarantined.get(release.revision or "")
    if before is not None and (limit := _rollback_limit(policy, before)) is not None:
        if before.rollbacks > limit or (measured and not release.held_unmeasured):
            return _handle_reapplied(release, target, before, limit, quarantined, policy=policy, now=now)
        if not measured and not release.held_unmeasured:
            return _hold_unmeasured(release, policy, target, before, now)
    if before is None and release.paused is not None and (release.rollback_limit_reached or release.held_unmeasured):
        why = f"revision {release.revision} is no longer quarantined and is judged again"
        return ReleasePlan(release, (_resume(release, "QuarantineEnded", why),))
    findings = [*findings, *_progress_finding(release, policy, target, now)]
    failing = [f for f in findings if f.verdict is Verdict.BREACH and f.failing_since is not None]
    if failing:
        return _remediate(release, target, failing, quarantined, now)
    if release.lifted_rules and not target.paused:
        return _after_lift(release, findings)
    if suspects := [f for f in findings if f.suspect]:
        return _hold_suspect(release, target, suspects)
    return _maybe_resume(release, policy, target, findings, clean_since, now)


def _after_lift(release: ReleaseMemory, findings: Sequence[ReleaseFinding]) -> ReleasePlan:
    """Pause a release again whose pause a machine lifted, unless what it was paused for is Ok."""
    open_rules = [f for f in findings if f.rule.name in release.lifted_rules and f.verdict is not Verdict.OK]
    if not open_rules:
        return ReleasePlan(replace(release, lifted_rules=()))
    message = (
        f"a machine lifted the pause of revision {release.revision} before it recovered ({_descriptions(open_rules)}): "
        "paused again"
    )
    return ReleasePlan(release, (_pause(release, release.lifted_rules, "PauseLifted", message),))


def _remediate(
    release: ReleaseMemory,
    target: TargetState,
    failing: Sequence[ReleaseFinding],
    quarantined: Mapping[str, Quarantine],
    now: float,
) -> ReleasePlan:
    """Roll back if a rule's `after` has passed and a rollback is possible; otherwise pause if a rule requires it."""
    due = [
        (f.failing_since + f.rule.rollback.after, f)
        for f in failing
        if f.rule.rollback is not None and f.failing_since is not None
    ]
    wake = min((at for at, _ in due if at > now), default=None)
    overdue = [f for at, f in due if at <= now]
    notices: tuple[Notice, ...] = ()
    if overdue:
        goal = rollback_goal(release, target, quarantined, now)
        if isinstance(goal, RollbackGoal):
            allowed = [f for f in overdue if _reaches(f.rule, goal)]
            if allowed:
                rollback = _rollback(release, goal, _rule_names(allowed), "ReleaseFailing", _descriptions(allowed))
                return ReleasePlan(release, (rollback,))
        blocked = goal if isinstance(goal, RollbackBlocked) else _too_far(release, target, goal)
        key = f"no-rollback/{blocked.reason}/{release.revision}"
        notices = (Notice(key, blocked.reason, blocked.message, warning=True),)
    pausing = [f for f in failing if f.rule.pause]
    if any(n.reason == UNKNOWN for n in notices) and target.can_pause and target.kind in PAUSABLE_KINDS:
        pausing = list(failing)  # held paused, although no rule pauses
    if pausing and not target.paused:
        why = f"{_descriptions(pausing)}: rollout of revision {release.revision} paused"
        if target.rolled_out and not due:
            paused = replace(target, paused=True)
            why += f". All pods run it already, and no rule rolls back. To restore another: {undo_command(paused)}"
        return ReleasePlan(release, (_pause(release, _rule_names(pausing), "ReleaseFailing", why),), notices, wake)
    if pausing and not _still_asked(release, [f.rule for f in failing]):
        # The reason was lost, or its rule is gone: record the current one.
        release = replace(release, paused_rules=_rule_names(pausing))
    return ReleasePlan(release, (), notices, wake)


def _hold_suspect(release: ReleaseMemory, target: TargetState, suspects: Sequence[ReleaseFinding]) -> ReleasePlan:
    """Pause, if a rule pauses, and report a breach since the release whose cause is not proven. Never roll back."""
    why = (
        f"{_descriptions(suspects)}: in breach since revision {release.revision} was released, but it is not proven "
        "that the release is the cause"
    )
    notice = Notice(f"suspect/{release.revision}", NOT_PROVEN, why, warning=True)
    pausing = [f for f in suspects if f.rule.pause and not (release.phase is Phase.BAKING and _has_other_cause(f))]
    if pausing and not target.paused and release.phase in (Phase.PROGRESSING, Phase.BAKING):
        pause = _pause(release, _rule_names(pausing), NOT_PROVEN, f"{why}; rollout paused")
        return ReleasePlan(release, (pause,), (notice,))
    return ReleasePlan(release, (), (notice,))


def _has_other_cause(finding: ReleaseFinding) -> bool:
    """Return whether the breach began after the revision had served well, or together with that of other workloads.

    Once all pods run the revision, a pause prevents nothing but the next release. So it is made only for a breach that
    began with the revision.
    """
    return any(r.judgement.suspect and r.judgement.reason in OTHER_CAUSES for r in finding.results)


def _still_asked(release: ReleaseMemory, rules: Sequence[Rule]) -> bool:
    return any(rule.name in release.paused_rules for rule in rules)


def _reaches(rule: Rule, goal: RollbackGoal) -> bool:
    most = rule.rollback.max_revisions if rule.rollback is not None else None
    return most is None or goal.distance <= most


def _too_far(release: ReleaseMemory, target: TargetState, goal: RollbackGoal) -> RollbackBlocked:
    return RollbackBlocked(
        "RollbackTooFar",
        f"revision {release.revision} fails, but the newest revision that may be restored is {goal.revision.name}, "
        f"{goal.distance} revisions back and {format_age(goal.age)} old: rollback.maxRevisions forbids that. Roll "
        f"back manually with `{undo_command(target, goal.revision.number)}`, or apply a fix",
    )


def _rollback_limit(policy: Policy, before: Quarantine) -> int | None:
    """Return how often a reapplied revision may be rolled back again, from the rules that rolled it back.

    If none of these rules exists any longer, the other rules apply. None if no rule rolls back.
    """
    limits = {r.name: r.rollback.limit for r in policy.rules if r.rollback is not None}
    asked = [limits[name] for name in before.rules if name in limits]
    return max(asked or limits.values(), default=None)


def _handle_reapplied(
    release: ReleaseMemory,
    target: TargetState,
    before: Quarantine,
    limit: int,
    quarantined: Mapping[str, Quarantine],
    *,
    policy: Policy,
    now: float,
) -> ReleasePlan:
    """Roll back a reapplied quarantined revision immediately, or keep it paused."""
    who = _applied_by(release, target)
    goal = rollback_goal(release, target, quarantined, now)
    blocked = goal if isinstance(goal, RollbackBlocked) else None
    if before.rollbacks <= limit and isinstance(goal, RollbackGoal) and not release.rollback_limit_reached:
        message = f"{who} applied revision {release.revision} again, which was rolled back {_then(before, now)}"
        return ReleasePlan(release, (_rollback(release, goal, before.rules, "QuarantinedReapplied", message),))
    why = blocked.message if blocked is not None else f"it has already been rolled back {_times(before.rollbacks)}"
    notice = Notice(
        f"held/{release.revision}",
        "HeldPaused",
        f"{who} keeps applying revision {release.revision}, which fails ({before.message}); {why}. The rollout "
        "stays paused: fix the version at its source. If it is right, have it judged like any other release: "
        f"{release_command(policy, release.revision)}",
        warning=True,
    )
    if target.paused:
        if not release.rollback_limit_reached:
            release = replace(release, rollback_limit_reached=True)
        return ReleasePlan(release, (), (notice,))
    message = f"{who} applied the failing revision {release.revision} again; {why}"
    return ReleasePlan(release, (_pause(release, before.rules, "HeldPaused", message),), (notice,))


def _hold_unmeasured(
    release: ReleaseMemory, policy: Policy, target: TargetState, before: Quarantine, now: float
) -> ReleasePlan:
    """Hold a reapplied revision paused until it can be judged: the numbers that convicted it are old."""
    message = (
        f"{_applied_by(release, target)} applied revision {release.revision} again, which was rolled back "
        f"{_then(before, now)}. There are no measurements now, so it is held paused until there are. To have it judged "
        f"like any other release: {release_command(policy, release.revision)}"
    )
    if target.paused:
        return ReleasePlan(replace(release, held_unmeasured=True), (), (_held_notice(release, message),))
    return ReleasePlan(release, (_pause(release, before.rules, "HeldUnmeasured", message),))


def _applied_by(release: ReleaseMemory, target: TargetState) -> str:
    """Return who applied the revision. Who changed content alone is not known: the template was not written."""
    return display_name(target.template_by if release.configuration is None else "")


def _held_notice(release: ReleaseMemory, message: str) -> Notice:
    return Notice(f"held-unmeasured/{release.revision}", "HeldUnmeasured", message, warning=True)


def _maybe_resume(
    release: ReleaseMemory,
    policy: Policy,
    target: TargetState,
    findings: Sequence[ReleaseFinding],
    clean_since: float | None,
    now: float,
) -> ReleasePlan:
    """Resume a paused release that recovered: every rule was Ok for a whole look-back window, for the target too.

    Without the rule that paused it, nothing can tell that it recovered: it stays paused. It is also left to a person if
    the policy says so, or after it recovered and failed again.
    """
    paused = release.paused
    if paused is None or release.phase is not Phase.PAUSED:
        return ReleasePlan(release)
    asking = {f.rule.name for f in findings if f.rule.pause}
    if policy.release.fail_on_progress_deadline:
        asking.add(PROGRESS_DEADLINE)
    if not asking or (release.paused_rules and asking.isdisjoint(release.paused_rules) and not release.held_unmeasured):
        rules = ", ".join(release.paused_rules) or "a rule"
        why = f"{rules} paused it and no longer exists, so nothing can tell whether it recovered"
        return ReleasePlan(release, (), (_still_paused(release, target, why, now),))
    if clean_since is None or any(f.verdict is not Verdict.OK or f.ok_since is None for f in findings):
        return ReleasePlan(release)
    at = max(min(clean_since, now), *(min(f.ok_since or paused, now) for f in findings)) + policy.window
    if now < at:
        return ReleasePlan(release, wake=at)
    if policy.release.resume and release.resumes < MAX_RESUMES:
        resumed = replace(release, resumes=release.resumes + 1)
        return ReleasePlan(resumed, (_resume(release, "ReleaseRecovered", "its signals are within bounds again"),))
    why = "its signals are within bounds again"
    if policy.release.resume:
        why += f", but it failed again after each of {release.resumes} resumptions"
    return ReleasePlan(release, (), (_still_paused(release, target, why, now),))


def _still_paused(release: ReleaseMemory, target: TargetState, why: str, now: float) -> Notice:
    """Return the notice of a pause that only a person ends. It is repeated after 1, 2, 4, 8 … hours."""
    seconds = max(0.0, now - (release.paused or now))
    hours = seconds / 3600
    return Notice(
        f"still-paused/{int(log2(hours)) + 1 if hours >= 1 else 0}/{release.revision}",
        STILL_PAUSED,
        f"revision {release.revision} has been paused for {format_duration(round(seconds))}: {why}. To go on with it: "
        f"{resume_command(target)}. To restore the revision before: {undo_command(target)}",
        warning=True,
    )


def with_reminder(
    plan: ReleasePlan, target: TargetState, findings: Sequence[ReleaseFinding], now: float
) -> ReleasePlan:
    """Return the plan with a reminder of a pause that continues for hours: its rules are in breach or Unknown."""
    paused = plan.release.paused
    if paused is None or now - paused < REMIND_AFTER or plan.commands or plan.release.phase is not Phase.PAUSED:
        return plan
    if any(n.reason == STILL_PAUSED for n in plan.notices):
        return plan
    open_findings = [f for f in findings if f.verdict is not Verdict.OK]
    why = _descriptions(open_findings) if open_findings else "its signals are not yet within bounds for long enough"
    return replace(plan, notices=(*plan.notices, _still_paused(plan.release, target, why, now)))


def _progress_finding(release: ReleaseMemory, policy: Policy, target: TargetState, now: float) -> list[ReleaseFinding]:
    """Return a finding if the release exceeded its progress deadline: it fails like a breach, without delay."""
    # The condition may briefly be that of the previous release, so it counts from the second evaluation on.
    late = target.progress_deadline_exceeded and now - release.since >= policy.interval
    if not (policy.release.fail_on_progress_deadline and late and release.phase is Phase.PROGRESSING):
        return []
    limit = max((r.rollback.limit for r in policy.rules if r.rollback is not None), default=None)
    rule = Rule(
        PROGRESS_DEADLINE,
        (),
        pause=any(r.pause for r in policy.rules),
        rollback=None if limit is None else Rollback(after=0.0, limit=limit),
    )
    return [ReleaseFinding(rule, Verdict.BREACH, now, message="the rollout exceeded its progress deadline")]


def _rollback(release: ReleaseMemory, goal: RollbackGoal, rules: tuple[str, ...], reason: str, why: str) -> Command:
    return Command(
        Verb.ROLLBACK,
        reason,
        f"{why}: revision {release.revision} rolled back to {goal.revision.name}{goal.description}",
        rules,
        from_=release.revision,
        to=goal.revision.name,
    )


def _then(before: Quarantine, now: float) -> str:
    """Describe when and why a revision was rolled back: its numbers are of that time."""
    return f"{format_age(max(0.0, now - before.at))} ago ({before.message}, at that time)"


def _pause(release: ReleaseMemory, rules: tuple[str, ...], reason: str, message: str) -> Command:
    return Command(Verb.PAUSE, reason, message, rules, from_=release.revision, to=release.revision)


def _resume(release: ReleaseMemory, reason: str, why: str) -> Command:
    return Command(
        Verb.RESUME,
        reason,
        f"{why}: rollout resumed",
        release.paused_rules,
        from_=release.revision,
        to=release.revision,
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _rule_names(findings: Sequence[ReleaseFinding]) -> tuple[str, ...]:
    return tuple(f.rule.name for f in findings)


def _descriptions(findings: Sequence[ReleaseFinding]) -> str:
    return "; ".join(dict.fromkeys(f.description for f in findings))
