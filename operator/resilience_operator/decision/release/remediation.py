"""What to do about a release: pause, roll back, hold, resume, or leave it to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import Phase, Quarantine, ReleaseMemory, Verdict
from resilience_operator.decision.model.policy import Policy, Rollback, Rule
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES

PROGRESS_DEADLINE = "progress-deadline"
"""The name under which a release that makes no progress is recorded; no rule may be in the way of it."""


@dataclass(frozen=True, slots=True)
class ReleaseFinding:
    """One rule that guards releases: its verdict on this release, since when guilty, and the sentence why.

    ok_since, unknown_since: since when it is Ok, or Unknown, if that is its verdict.
    """

    rule: Rule
    verdict: Verdict
    failing_since: float | None
    description: str
    ok_since: float | None = None
    unknown_since: float | None = None


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """The release after judging, with what to do, and when to look again (None: nothing is due)."""

    release: ReleaseMemory
    commands: tuple[Command, ...] = ()
    wake: float | None = None


def plan_remediation(
    release: ReleaseMemory,
    policy: Policy,
    target: TargetState,
    charges: Sequence[ReleaseFinding],
    quarantined: Mapping[str, Quarantine],
    now: float,
    notices: list[Notice],
) -> ReleasePlan:
    """Judge the release that is under way."""
    changed = target.revision is None or target.revision != release.revision
    if release.paused is not None and changed:
        return ReleasePlan(release, (_resume(release, "NewRelease", "a new template was applied under the pause"),))
    if (
        release.phase not in ANALYSED_PHASES
        or changed
        or release.manual_override
        or (target.paused and release.paused is None)
    ):
        # Nothing to judge; or another template came meanwhile, which must not pay for this one; or people decide.
        return ReleasePlan(release)
    before = quarantined.get(release.revision or "")
    if before is not None and (limit := _rollback_limit(policy, before)) is not None:
        return _handle_reapplied(release, target, before, limit, quarantined, now, notices)
    charges = [*charges, *_progress_finding(release, policy, target, now)]
    guilty = [c for c in charges if c.verdict is Verdict.BREACH and c.failing_since is not None]
    if not guilty:
        return _maybe_resume(release, policy, charges, now)
    return _remediate(release, target, guilty, quarantined, now, notices)


def _remediate(
    release: ReleaseMemory,
    target: TargetState,
    guilty: Sequence[ReleaseFinding],
    quarantined: Mapping[str, Quarantine],
    now: float,
    notices: list[Notice],
) -> ReleasePlan:
    due = [
        (c.failing_since + c.rule.rollback.after, c)
        for c in guilty
        if c.rule.rollback is not None and c.failing_since is not None
    ]
    wake = min((at for at, _ in due if at > now), default=None)
    ripe = [c for at, c in due if at <= now]
    if ripe:
        refusal = rollback_blocked(release, target, quarantined)
        if refusal is None:
            return ReleasePlan(release, (_rollback(release, _rule_names(ripe), "ReleaseFailing", _sentences(ripe)),))
        notices.append(
            Notice(f"no-rollback/{refusal.reason}/{release.revision}", refusal.reason, refusal.message, warning=True)
        )
    pausing = [c for c in guilty if c.rule.pause]
    if pausing and not target.paused:
        command = Command(
            Verb.PAUSE,
            "ReleaseFailing",
            f"{_sentences(pausing)}: rollout of revision {release.revision} paused",
            _rule_names(pausing),
            from_=release.revision,
            to=release.revision,
        )
        return ReleasePlan(release, (command,), wake)
    if pausing and not release.paused_rules:
        # A pause of the operator's own whose reason was lost has found it again.
        release = replace(release, paused_rules=_rule_names(pausing))
    return ReleasePlan(release, wake=wake)


@dataclass(frozen=True, slots=True)
class RollbackBlocked:
    """Why a rollback cannot be made."""

    reason: str
    message: str


def rollback_blocked(
    release: ReleaseMemory, target: TargetState, quarantined: Mapping[str, Quarantine]
) -> RollbackBlocked | None:
    """None when the last good revision can be restored, else why it cannot."""
    if release.good is None:
        return RollbackBlocked(
            "NoKnownGoodRevision",
            f"revision {release.revision} fails, but no earlier revision was ever watched and found good: roll back "
            f"by hand with `kubectl rollout undo` if you know better",
        )
    if release.good == release.revision and release.good_template == release.template:
        return RollbackBlocked("AlreadyLastGood", f"revision {release.good} fails, and it is the last good one itself")
    if release.good in quarantined:
        return RollbackBlocked("GoodRevisionQuarantined", f"revision {release.good} was itself rolled back")
    kept = target.find(release.good)
    if kept is None:
        return RollbackBlocked(
            "GoodRevisionGone",
            f"the last good revision {release.good} is no longer kept by the cluster: raise "
            "spec.revisionHistoryLimit of the workload",
        )
    if kept.template != release.good_template:
        return RollbackBlocked(
            "GoodRevisionChanged",
            f"the template kept as revision {release.good} is not the one that ran and was found good: find out who "
            f"changed {kept.kept_in or release.good}, and apply a good version by hand",
        )
    return None


def _rollback_limit(policy: Policy, before: Quarantine) -> int | None:
    """How often a re-applied revision may be rolled back again: as the rules say that found it bad.

    Where none of those is left, as the others say; None where no rule rolls back any more.
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
    now: float,
    notices: list[Notice],
) -> ReleasePlan:
    """A revision that was rolled back before came again. It is not tried a second time on users."""
    who = display_name(target.template_by)
    refusal = rollback_blocked(release, target, quarantined)
    if before.rollbacks <= limit and refusal is None and not release.rollback_limit_reached:
        message = f"{who} applied revision {release.revision} again, which was rolled back before ({before.message})"
        return ReleasePlan(release, (_rollback(release, before.rules, "QuarantinedReapplied", message),))
    why = refusal.message if refusal is not None else f"it was rolled back {before.rollbacks} times already"
    notices.append(
        Notice(
            f"held/{release.revision}",
            "HeldPaused",
            f"{who} keeps applying revision {release.revision}, which fails ({before.message}); {why}. The rollout "
            "is held paused: fix the version at its source, or resume it by hand",
            warning=True,
        )
    )
    if target.paused:
        return ReleasePlan(release if release.rollback_limit_reached else replace(release, rollback_limit_reached=True))
    command = Command(
        Verb.PAUSE,
        "HeldPaused",
        f"{who} applied the failing revision {release.revision} again; {why}",
        before.rules,
        from_=release.revision,
        to=release.revision,
    )
    return ReleasePlan(release, (command,))


def _maybe_resume(release: ReleaseMemory, policy: Policy, charges: Sequence[ReleaseFinding], now: float) -> ReleasePlan:
    """A paused release that recovered goes on when the policy allows, once a whole look-back was clean.

    So does one whose pause no rule asks for any more, or of which the reason was lost.
    """
    asking = {c.rule.name for c in charges if c.rule.pause}
    if policy.release.fail_on_progress_deadline:
        asking.add(PROGRESS_DEADLINE)
    orphaned = asking.isdisjoint(release.paused_rules)
    if release.paused is None or release.phase is not Phase.PAUSED or not (policy.release.resume or orphaned):
        return ReleasePlan(release)
    if any(c.verdict is not Verdict.OK or c.ok_since is None for c in charges):
        return ReleasePlan(release)
    at = max((c.ok_since or release.paused for c in charges), default=release.paused) + policy.window
    if now < at:
        return ReleasePlan(release, wake=at)
    why = "no rule asks for the pause any more" if orphaned else "its signals are back within their bounds"
    return ReleasePlan(release, (_resume(release, "ReleaseRecovered", why),))


def _progress_finding(release: ReleaseMemory, policy: Policy, target: TargetState, now: float) -> list[ReleaseFinding]:
    """A release without progress fails as one in breach does, and with the same consequences, at once."""
    # The condition may be the last release's for a moment, so it counts from the second look on.
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
    return [ReleaseFinding(rule, Verdict.BREACH, now, "the rollout exceeded its progress deadline")]


def _rollback(release: ReleaseMemory, rules: tuple[str, ...], reason: str, why: str) -> Command:
    return Command(
        Verb.ROLLBACK,
        reason,
        f"{why}: revision {release.revision} rolled back to {release.good}",
        rules,
        from_=release.revision,
        to=release.good,
    )


def _resume(release: ReleaseMemory, reason: str, why: str) -> Command:
    return Command(
        Verb.RESUME,
        reason,
        f"{why}: rollout resumed",
        release.paused_rules,
        from_=release.revision,
        to=release.revision,
    )


def _rule_names(findings: Sequence[ReleaseFinding]) -> tuple[str, ...]:
    return tuple(f.rule.name for f in findings)


def _sentences(charges: Sequence[ReleaseFinding]) -> str:
    return "; ".join(dict.fromkeys(c.description for c in charges))
