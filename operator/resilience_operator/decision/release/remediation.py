"""Remediation of a release: pause, roll back, hold, resume, or leave the decision to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import Phase, Quarantine, ReleaseMemory, Verdict
from resilience_operator.decision.model.policy import Policy, Rollback, Rule
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES
from resilience_operator.decision.report import describe

PROGRESS_DEADLINE = "progress-deadline"
"""Name under which an exceeded progress deadline is recorded. Rules cannot have this name."""


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


def plan_remediation(
    release: ReleaseMemory,
    policy: Policy,
    target: TargetState,
    findings: Sequence[ReleaseFinding],
    quarantined: Mapping[str, Quarantine],
    now: float,
) -> ReleasePlan:
    """Plan the remediation of the current release."""
    changed = target.revision is None or target.revision != release.revision
    if release.paused is not None and changed:
        return ReleasePlan(release, (_resume(release, "NewRelease", "a new template was applied during the pause"),))
    left_to_people = release.manual_override or (target.paused and release.paused is None)
    if release.phase not in ANALYSED_PHASES or changed or left_to_people:
        # `changed`: a newer template was applied, which must not be punished for this one.
        return ReleasePlan(release)
    before = quarantined.get(release.revision or "")
    if before is not None and (limit := _rollback_limit(policy, before)) is not None:
        return _handle_reapplied(release, target, before, limit, quarantined)
    findings = [*findings, *_progress_finding(release, policy, target, now)]
    failing = [f for f in findings if f.verdict is Verdict.BREACH and f.failing_since is not None]
    if not failing:
        if suspects := [f for f in findings if f.suspect]:
            return _pause_suspect(release, target, suspects)
        return _maybe_resume(release, policy, findings, now)
    return _remediate(release, target, failing, quarantined, now)


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
        blocked = rollback_blocked(release, target, quarantined)
        if blocked is None:
            rollback = _rollback(release, _rule_names(overdue), "ReleaseFailing", _descriptions(overdue))
            return ReleasePlan(release, (rollback,))
        key = f"no-rollback/{blocked.reason}/{release.revision}"
        notices = (Notice(key, blocked.reason, blocked.message, warning=True),)
    pausing = [f for f in failing if f.rule.pause]
    if pausing and not target.paused:
        why = f"{_descriptions(pausing)}: rollout of revision {release.revision} paused"
        return ReleasePlan(release, (_pause(release, _rule_names(pausing), "ReleaseFailing", why),), notices, wake)
    if pausing and not release.paused_rules:
        # The operator paused it but the reason was lost: record the current one.
        release = replace(release, paused_rules=_rule_names(pausing))
    return ReleasePlan(release, (), notices, wake)


def _pause_suspect(release: ReleaseMemory, target: TargetState, suspects: Sequence[ReleaseFinding]) -> ReleasePlan:
    """Pause, if a rule pauses, and report a breach since the release whose cause is not proven. Never roll back."""
    why = (
        f"{_descriptions(suspects)}: in breach since revision {release.revision} was released, but it is not proven "
        "that the release is the cause"
    )
    notice = Notice(f"suspect/{release.revision}", "BreachNotProven", why, warning=True)
    pausing = [f for f in suspects if f.rule.pause]
    if pausing and not target.paused and release.phase is Phase.PROGRESSING:
        pause = _pause(release, _rule_names(pausing), "BreachNotProven", f"{why}; rollout paused")
        return ReleasePlan(release, (pause,), (notice,))
    return ReleasePlan(release, (), (notice,))


@dataclass(frozen=True, slots=True)
class RollbackBlocked:
    """Why a rollback is not possible."""

    reason: str
    message: str


def rollback_blocked(
    release: ReleaseMemory, target: TargetState, quarantined: Mapping[str, Quarantine]
) -> RollbackBlocked | None:
    """Return why the last good revision cannot be restored, or None if it can."""
    if release.good is None:
        return RollbackBlocked(
            "NoKnownGoodRevision",
            f"revision {release.revision} fails, but no earlier revision has completed its bake: if you know a good "
            "one, roll back manually with `kubectl rollout undo`",
        )
    if release.good == release.revision and release.good_template == release.template:
        return RollbackBlocked("AlreadyLastGood", f"revision {release.good} fails but is itself the last good one")
    if release.good in quarantined:
        message = f"the last good revision {release.good} was itself rolled back"
        return RollbackBlocked("GoodRevisionQuarantined", message)
    kept = target.find(release.good)
    if kept is None:
        return RollbackBlocked(
            "GoodRevisionGone",
            f"the cluster no longer keeps the last good revision {release.good}: increase "
            "spec.revisionHistoryLimit of the workload",
        )
    if kept.template != release.good_template:
        return RollbackBlocked(
            "GoodRevisionChanged",
            f"the stored template of revision {release.good} is not the one that completed its bake: find out who "
            f"changed {kept.kept_in or release.good}, and apply a good version manually",
        )
    return None


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
) -> ReleasePlan:
    """Roll back a reapplied quarantined revision immediately, or keep it paused."""
    who = display_name(target.template_by)
    blocked = rollback_blocked(release, target, quarantined)
    if before.rollbacks <= limit and blocked is None and not release.rollback_limit_reached:
        message = f"{who} applied revision {release.revision} again, which was rolled back before ({before.message})"
        return ReleasePlan(release, (_rollback(release, before.rules, "QuarantinedReapplied", message),))
    why = blocked.message if blocked is not None else f"it has already been rolled back {_times(before.rollbacks)}"
    notice = Notice(
        f"held/{release.revision}",
        "HeldPaused",
        f"{who} keeps applying revision {release.revision}, which fails ({before.message}); {why}. The rollout "
        "stays paused: fix the version at its source, or resume the rollout manually",
        warning=True,
    )
    if target.paused:
        if not release.rollback_limit_reached:
            release = replace(release, rollback_limit_reached=True)
        return ReleasePlan(release, (), (notice,))
    message = f"{who} applied the failing revision {release.revision} again; {why}"
    return ReleasePlan(release, (_pause(release, before.rules, "HeldPaused", message),), (notice,))


def _maybe_resume(
    release: ReleaseMemory, policy: Policy, findings: Sequence[ReleaseFinding], now: float
) -> ReleasePlan:
    """Resume a paused release that recovered, if the policy allows it and a whole look-back window was clean.

    A pause that no rule requires any longer, or whose reason was lost, is lifted in the same way.
    """
    asking = {f.rule.name for f in findings if f.rule.pause}
    if policy.release.fail_on_progress_deadline:
        asking.add(PROGRESS_DEADLINE)
    orphaned = asking.isdisjoint(release.paused_rules)
    if release.paused is None or release.phase is not Phase.PAUSED or not (policy.release.resume or orphaned):
        return ReleasePlan(release)
    if any(f.verdict is not Verdict.OK or f.ok_since is None for f in findings):
        return ReleasePlan(release)
    at = max((f.ok_since or release.paused for f in findings), default=release.paused) + policy.window
    if now < at:
        return ReleasePlan(release, wake=at)
    why = "no rule requires the pause any longer" if orphaned else "its signals are within bounds again"
    return ReleasePlan(release, (_resume(release, "ReleaseRecovered", why),))


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


def _rollback(release: ReleaseMemory, rules: tuple[str, ...], reason: str, why: str) -> Command:
    return Command(
        Verb.ROLLBACK,
        reason,
        f"{why}: revision {release.revision} rolled back to {release.good}",
        rules,
        from_=release.revision,
        to=release.good,
    )


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
