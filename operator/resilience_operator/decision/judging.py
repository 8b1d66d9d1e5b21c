"""What to do about a release: pause, roll back, hold, resume, or leave it to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from resilience_operator.decision.commands import Command, Notice, Verb
from resilience_operator.decision.lifecycle import UNDER_WATCH
from resilience_operator.decision.memory import Phase, Quarantine, ReleaseMemory, Verdict
from resilience_operator.decision.people import manager_name
from resilience_operator.decision.policy import Policy, Rollback, Rule
from resilience_operator.decision.target import TargetState

PROGRESS_DEADLINE = "progress-deadline"
"""The name under which a release that makes no progress is recorded; no rule may be in the way of it."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One rule that guards releases: its verdict on this release, since when guilty, and the sentence why."""

    rule: Rule
    verdict: Verdict
    guilty: float | None
    sentence: str
    ok_since: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The release after judging, with what to do, and when to look again (None: nothing is due)."""

    release: ReleaseMemory
    commands: tuple[Command, ...] = ()
    wake: float | None = None


def act(
    release: ReleaseMemory,
    policy: Policy,
    target: TargetState,
    charges: Sequence[Charge],
    quarantined: Mapping[str, Quarantine],
    now: float,
    notices: list[Notice],
) -> Plan:
    """Judge the release that is under way."""
    if release.paused is not None and target.revision != release.revision:
        return Plan(release, (_resume(release, "NewRelease", "a new template was applied under the pause"),))
    if release.phase not in UNDER_WATCH or release.hands_off or release.held:
        return Plan(release)
    if target.paused and release.paused is None:
        return Plan(release)
    charges = [*charges, *_progress_charge(policy, target, now)]
    if release.revision in quarantined:
        return _reapplied(release, policy, target, quarantined, now, notices)
    guilty = [c for c in charges if c.verdict is Verdict.BREACH and c.guilty is not None]
    if not guilty:
        return _maybe_resume(release, policy, charges, now)
    return _punish(release, target, guilty, quarantined, now, notices)


def _punish(
    release: ReleaseMemory,
    target: TargetState,
    guilty: Sequence[Charge],
    quarantined: Mapping[str, Quarantine],
    now: float,
    notices: list[Notice],
) -> Plan:
    due = [
        (c.guilty + c.rule.rollback.after, c) for c in guilty if c.rule.rollback is not None and c.guilty is not None
    ]
    wake = min((at for at, _ in due if at > now), default=None)
    ripe = [c for at, c in due if at <= now]
    if ripe:
        refusal = refuse_rollback(release, target, quarantined)
        if refusal is None:
            return Plan(release, (_rollback(release, target, ripe, "ReleaseFailing", _sentences(ripe)),))
        notices.append(Notice(f"no-rollback/{release.revision}/{refusal.reason}", *_pair(refusal), warning=True))
    pausing = [c for c in guilty if c.rule.pause]
    if pausing and not target.paused:
        command = Command(
            Verb.PAUSE,
            "ReleaseFailing",
            f"{_sentences(pausing)}: rollout of revision {release.revision} paused",
            tuple(c.rule.name for c in pausing),
            from_=release.revision,
            to=release.revision,
        )
        return Plan(release, (command,), wake)
    return Plan(release, wake=wake)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a rollback cannot be made."""

    reason: str
    message: str


def refuse_rollback(
    release: ReleaseMemory, target: TargetState, quarantined: Mapping[str, Quarantine]
) -> Refusal | None:
    """None when the last good revision can be restored, else why it cannot."""
    if release.good is None:
        return Refusal(
            "NoKnownGoodRevision",
            f"revision {release.revision} fails, but no earlier revision was ever watched and found good: roll back "
            f"by hand with `kubectl rollout undo` if you know better",
        )
    if release.good == release.revision:
        return Refusal("AlreadyLastGood", f"revision {release.good} fails, and it is the last good one itself")
    if release.good in quarantined:
        return Refusal("GoodRevisionQuarantined", f"revision {release.good} was itself rolled back")
    if target.find(release.good) is None:
        return Refusal(
            "GoodRevisionGone",
            f"the last good revision {release.good} is no longer kept by the cluster: raise "
            "spec.revisionHistoryLimit of the workload",
        )
    return None


def _reapplied(
    release: ReleaseMemory,
    policy: Policy,
    target: TargetState,
    quarantined: Mapping[str, Quarantine],
    now: float,
    notices: list[Notice],
) -> Plan:
    """A revision that was rolled back before came again. It is not tried a second time on users."""
    assert release.revision is not None
    before = quarantined[release.revision]
    rules = {rule.name: rule for rule in policy.rules}
    limit = max((rules[name].rollback or Rollback()).limit if name in rules else 0 for name in before.rule.split(", "))
    who = manager_name(target.template_by)
    refusal = refuse_rollback(release, target, quarantined)
    if before.rollbacks <= limit and refusal is None:
        message = f"{who} applied revision {release.revision} again, which was rolled back before ({before.message})"
        charge = Charge(Rule(before.rule, ()), Verdict.BREACH, now, message)
        return Plan(release, (_rollback(release, target, [charge], "QuarantinedReapplied", message),))
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
    commands: tuple[Command, ...] = ()
    if not target.paused:
        commands = (
            Command(
                Verb.PAUSE,
                "HeldPaused",
                f"{who} applied the failing revision {release.revision} again; {why}",
                (before.rule,),
                from_=release.revision,
                to=release.revision,
            ),
        )
    return Plan(replace(release, held=target.paused), commands)


def _maybe_resume(release: ReleaseMemory, policy: Policy, charges: Sequence[Charge], now: float) -> Plan:
    """A paused release that recovered goes on when the policy allows, once a whole look-back was clean."""
    forgotten = not release.paused_rule
    if release.paused is None or release.phase is not Phase.PAUSED or not (policy.release.resume or forgotten):
        return Plan(release)
    if any(c.verdict is not Verdict.OK or c.ok_since is None for c in charges):
        return Plan(release)
    at = max((c.ok_since or release.paused for c in charges), default=release.paused) + policy.window
    if now < at:
        return Plan(release, wake=at)
    return Plan(release, (_resume(release, "ReleaseRecovered", "its signals are back within their bounds"),))


def _progress_charge(policy: Policy, target: TargetState, now: float) -> list[Charge]:
    if not (policy.release.fail_on_progress_deadline and target.progress_deadline_exceeded):
        return []
    rollbacks = [r.rollback for r in policy.rules if r.rollback is not None]
    rule = Rule(PROGRESS_DEADLINE, (), pause=True, rollback=replace(rollbacks[0], after=0.0) if rollbacks else None)
    return [Charge(rule, Verdict.BREACH, now, "the rollout exceeded its progress deadline")]


def _rollback(release: ReleaseMemory, target: TargetState, charges: Sequence[Charge], reason: str, why: str) -> Command:
    return Command(
        Verb.ROLLBACK,
        reason,
        f"{why}: revision {release.revision} rolled back to {release.good}",
        tuple(c.rule.name for c in charges),
        from_=release.revision,
        to=release.good,
    )


def _resume(release: ReleaseMemory, reason: str, why: str) -> Command:
    return Command(
        Verb.RESUME,
        reason,
        f"{why}: rollout resumed",
        (release.paused_rule,) if release.paused_rule else (),
        from_=release.revision,
        to=release.revision,
    )


def _sentences(charges: Sequence[Charge]) -> str:
    return "; ".join(dict.fromkeys(c.sentence for c in charges))


def _pair(refusal: Refusal) -> tuple[str, str]:
    return refusal.reason, refusal.message
