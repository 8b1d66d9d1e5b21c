"""Ends the hold of a rolled-back target by its GitOps tool, and reminds of it.

After a rollback, git still has the bad template. With `release.gitOps: Hold` the patch that restores the good template
also tells Flux to leave the target as it is. The tool then does not write, so what it would apply cannot be observed on
the target. The hold ends when the version of its source changes. If the new version has the same template, the
quarantine rolls it back at once, and the target is held for that version. So the template flips at most once per
version of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import HoldMemory, Quarantine
from resilience_operator.decision.model.policy import Mode, Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState

HELD = "ReconciliationHeld"
"""Reason of the reminder."""

SOURCE_CHANGED = "SourceChanged"
"""Reason for lifting a hold: there is a new version to apply."""

REMINDER = 86400.0
"""Seconds between reminders."""


@dataclass(frozen=True, slots=True)
class HoldPlan:
    """The memory of the hold, the command that lifts it, and the reminder."""

    memory: HoldMemory | None = None
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()


NO_HOLD = HoldPlan()


def plan_hold(
    policy: Policy,
    target: TargetState,
    hold: HoldMemory | None,
    quarantined: Sequence[Quarantine],
    commands: Sequence[Command],
    now: float,
) -> HoldPlan:
    """Plan whether the hold goes on. commands: those of the release; a rollback decides on the hold itself."""
    in_quarantine = hold is not None and any(q.revision == hold.revision and not q.dry_run for q in quarantined)
    if not target.hold_marked:
        # Never marked, lifted, or ended by somebody who removed the mark.
        if hold is None or not in_quarantine:
            return NO_HOLD
        return HoldPlan(hold if hold.since is None else replace(hold, since=None))
    if policy.mode is not Mode.ENFORCE or any(c.verb is Verb.ROLLBACK for c in commands):
        return HoldPlan(hold)
    if hold is None or hold.since is None:
        return HoldPlan(hold, (_lift(target, hold, "HoldUnknown", "the policy has no record of it"),))
    if ended := _why_ended(policy, target, hold, in_quarantine=in_quarantine):
        return HoldPlan(hold, (_lift(target, hold, *ended),))
    return HoldPlan(hold, (), _reminder(target, hold, now))


def _why_ended(policy: Policy, target: TargetState, hold: HoldMemory, *, in_quarantine: bool) -> tuple[str, str] | None:
    """Return why the hold ends, as a reason and a message; None if it does not."""
    source = target.source
    if not policy.release.hold_delivery:
        return "HoldTurnedOff", "release.gitOps is not Hold any more"
    if not in_quarantine:
        return "QuarantineEnded", f"revision {hold.revision} is no longer quarantined"
    if str(target.delivered_by) != hold.owner:
        return "OwnerChanged", f"{hold.owner} does not apply it any more"
    if source is None:
        return None
    if not source.identity:
        return "OwnerChanged", f"{hold.owner} does not exist any more"
    if source.identity != hold.source or (source.settled and hold.uncertain):
        return SOURCE_CHANGED, f"its source has a new version ({source.identity}; it was held for {hold.source})"
    return None


def _lift(target: TargetState, hold: HoldMemory | None, reason: str, why: str) -> Command:
    owner = str(target.delivered_by) if hold is None else hold.owner
    arguments: dict[str, object] = {}
    if reason == SOURCE_CHANGED and target.source is not None:
        arguments["source"] = target.source.identity
    revision = None if hold is None else hold.revision
    message = f"{owner} reconciles {target.kind} {target.name} again: {why}"
    return Command(Verb.LIFT_HOLD, reason, message, from_=revision, to=target.revision, arguments=arguments)


def _reminder(target: TargetState, hold: HoldMemory, now: float) -> tuple[Notice, ...]:
    """Return a notice for each full day that it has lasted."""
    seconds = now - (hold.since or now)
    days = int(seconds // REMINDER)
    if days < 1:
        return ()
    message = (
        f"{hold.owner} has not reconciled {target.kind} {target.name} for {format_duration(days * REMINDER)}: its "
        f"source still has revision {hold.revision}, which was rolled back. Revert or fix it there, and the hold ends"
    )
    return (Notice(f"gitops-held/{days}/{hold.revision}", HELD, message, warning=True),)
