"""Freezes: no new release begins. The operator pauses the rollout before a template arrives, so that it waits.

To the rest of the decision, a target that is paused for a freeze is not paused, and a template that waits does not
exist yet (`without_freeze`). So scaling, the bake and rollbacks go on as usual. A release that is under way when a
freeze begins is completed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resilience_operator.api.cron import next_start, previous_start
from resilience_operator.api.orders import FREEZE_UNTIL
from resilience_operator.api.pause import moment_text
from resilience_operator.decision.field_managers import display_name, how_to_stop
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import FreezeMemory, Memory, Phase, ReleaseMemory, Revert
from resilience_operator.decision.model.policy import FreezeWindow, Mode, Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import MANAGER, TargetState
from resilience_operator.decision.release.lifecycle import machine_that_resumed
from resilience_operator.decision.reverts import PAUSED, blocked, record_revert

FROZEN = "Frozen"
"""Reason of the pause of a rollout for a freeze."""

FREEZE_ENDED = "FreezeEnded"
"""Reason of its end."""

_KINDS = ("Deployment", "StatefulSet")
_SETTLED = (Phase.STABLE, Phase.BAKING, Phase.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class ActiveFreeze:
    """A freeze that is in effect. until: None for no end. cause: which one, for messages."""

    since: float
    until: float | None
    cause: str

    @property
    def end(self) -> str:
        """The end, for messages."""
        return "it is ended" if self.until is None else moment_text(self.until)


@dataclass(slots=True)
class FreezePlan:
    """The memory of the freeze, the commands and notices for it, and when it next begins or ends.

    resume_held: a pause of the operator must not be lifted for a new template.
    """

    memory: FreezeMemory | None = None
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()
    reverts: tuple[Revert, ...] = ()
    resume_held: bool = False
    wake: float | None = None


def applies(policy: Policy, memory: FreezeMemory | None) -> bool:
    """Return whether there is anything to do about freezes."""
    return memory is not None or bool(policy.release.freezes) or policy.orders.freezes


def active_freeze(policy: Policy, now: float) -> tuple[ActiveFreeze | None, float | None]:
    """Return the freeze in effect that ends last, and when that can next change."""
    found: list[ActiveFreeze] = []
    changes: list[float] = []
    for window in policy.release.freezes:
        active, change = _in_window(window, now)
        changes.append(change)
        if active is not None:
            found.append(active)
    orders = policy.orders
    if orders.freeze_problem:
        found.append(ActiveFreeze(0.0, None, orders.freeze_problem))
    elif orders.freeze_until is not None and now < orders.freeze_until:
        found.append(ActiveFreeze(0.0, orders.freeze_until, f"annotation {FREEZE_UNTIL}"))
        changes.append(orders.freeze_until)
    last = max(found, key=lambda f: (f.until is None, f.until or 0.0), default=None)
    return last, min(changes, default=None)


def _in_window(window: FreezeWindow, now: float) -> tuple[ActiveFreeze | None, float]:
    minute = int(now // 60)
    begins = next_start(window.cron, window.zone, minute)
    start = previous_start(window.cron, window.zone, minute, int(window.duration // 86400) + 1)
    if start is None or now >= start + window.duration:
        return None, begins
    end = start + window.duration
    return ActiveFreeze(start, end, f"{window.cron.text} in {window.zone}"), min(begins, end)


def without_freeze(target: TargetState, memory: FreezeMemory | None, release: ReleaseMemory | None) -> TargetState:
    """Return the target as it is apart from the freeze; the same object if it is not paused for one.

    A template that arrived since then has no revision yet.
    """
    if memory is None or memory.held_since is None or not _is_held(target):
        return target
    if release is not None and release.paused is not None:
        return target
    known = release is None or target.revision == release.revision
    return replace(target, paused=False, paused_by="", pause_marked=False, revision=target.revision if known else None)


def _is_held(target: TargetState) -> bool:
    return target.paused and target.paused_by in ("", MANAGER)


def plan_freeze(
    policy: Policy,
    target: TargetState,
    last: Memory,
    release: ReleaseMemory,
    *,
    reverts: tuple[Revert, ...],
    commands: Sequence[Command],
    now: float,
) -> FreezePlan:
    """Plan what a freeze requires. target: as it is, with its pause. last: the memory of the last evaluation.

    commands: those of the release in this evaluation; one that pauses or rolls back goes first.
    """
    active, wake = active_freeze(policy, now)
    before = last.release
    memory, notices, reverts = _follow(policy, target, last, release, active=active, reverts=reverts, now=now)
    plan = FreezePlan(memory, (), notices, reverts, wake=wake)
    if active is None:
        if memory.held_since is not None:
            plan.commands = (_command(Verb.UNFREEZE, FREEZE_ENDED, "the freeze is over: rollout resumed", release),)
        else:
            plan.memory = None
        return plan
    if memory.lifted_at is not None:
        return plan
    if _why_ignored(policy, target):
        plan.notices += _only_reported(policy, target, before, release, active)
        return plan
    arrived = release.phase is Phase.PROGRESSING and (memory.arrived or _arrived(target, before, release, active))
    plan.memory = memory = memory if arrived is memory.arrived else replace(memory, arrived=arrived)
    paused = memory.held_since is not None or (release.paused is not None and target.paused)
    if paused and (arrived or target.revision != release.revision):
        plan.notices += (_waits(target, release, active),)
        plan.resume_held = True
    acts = any(c.verb in (Verb.PAUSE, Verb.ROLLBACK) for c in commands)
    due = release.phase in _SETTLED or (arrived and release.phase is Phase.PROGRESSING)
    if due and not acts and not target.paused and blocked(reverts, PAUSED, now) is None:
        why = f"a freeze is in effect until {active.end} ({active.cause}): rollout paused, so that a new template waits"
        plan.commands = (_command(Verb.FREEZE, FROZEN, why, release),)
    return plan


def _follow(
    policy: Policy,
    target: TargetState,
    last: Memory,
    release: ReleaseMemory,
    *,
    active: ActiveFreeze | None,
    reverts: tuple[Revert, ...],
    now: float,
) -> tuple[FreezeMemory, tuple[Notice, ...], tuple[Revert, ...]]:
    """Return the memory after what others did to the pause: a person ends the freeze, a machine does not."""
    memory, before = last.freeze or FreezeMemory(), last.release
    held, marked = memory.held_since is not None, memory.marked
    if held and _is_held(target):
        return (memory if marked is target.pause_marked else replace(memory, marked=True)), (), reverts
    resumed = before is not None and before.paused is not None and release.paused is None and not target.paused
    if resumed and before is not None:
        marked = before.pause_marked
    if not (held or resumed) or active is None or memory.lifted_at is not None:
        return (memory.not_held() if held else memory), (), reverts
    memory = memory.not_held()
    if target.resumed_by == MANAGER:
        return memory, (), reverts
    by = machine_that_resumed(target, marked=marked)
    if by is None:
        who = display_name(target.resumed_by or target.paused_by)
        return replace(memory, lifted_at=now, arrived=False), (_lifted(target, who, active),), reverts
    if not held:
        return memory, (), reverts  # the release has followed it (`PauseLifted`)
    reverts, _ = record_revert(reverts, PAUSED, by, now, policy.generation)
    return memory, (_lifted_by_machine(target, by),), reverts


def _arrived(target: TargetState, before: ReleaseMemory | None, release: ReleaseMemory, active: ActiveFreeze) -> bool:
    """Return whether the release began in the freeze, while the rollout was not paused.

    A revision that served before is a rollback by somebody else, which a freeze does not hold.
    """
    if release.revision == release.good or any(s.revision == release.revision for s in release.served):
        return False
    if before is not None:
        return not release.continues(before)
    found = target.find(release.revision)
    return active.since > 0 and found is not None and found.created >= active.since


def _command(verb: Verb, reason: str, message: str, release: ReleaseMemory) -> Command:
    return Command(verb, reason, message, from_=release.revision, to=release.revision)


def _waits(target: TargetState, release: ReleaseMemory, active: ActiveFreeze) -> Notice:
    return Notice(
        f"freeze-waits/{target.template or release.revision}",
        "FreezeHolds",
        f"{display_name(target.template_by)} applied a new template of {target.kind} {target.name} during a freeze "
        f"({active.cause}): it waits until {active.end}. {_how_to_release(target)}",
    )


def _how_to_release(target: TargetState) -> str:
    if target.kind == "Deployment":
        return f"To release it now: `kubectl rollout resume deployment/{target.name} -n {target.namespace}`"
    return "To release it now, lower spec.updateStrategy.rollingUpdate.partition to its former value"


def _only_reported(
    policy: Policy, target: TargetState, before: ReleaseMemory | None, release: ReleaseMemory, active: ActiveFreeze
) -> tuple[Notice, ...]:
    """Return a notice of a release that begins in a freeze, where it cannot or must not be held."""
    if before is None or release.continues(before) or release.phase is not Phase.PROGRESSING:
        return ()
    why = _why_ignored(policy, target)
    return (
        Notice(
            f"freeze-ignored/{release.revision}",
            "FreezeIgnored",
            f"revision {release.revision} of {target.kind} {target.name} begins during a freeze ({active.cause}) and "
            f"does not wait: {why}",
            warning=True,
            transient=True,
        ),
    )


def _why_ignored(policy: Policy, target: TargetState) -> str:
    """Return why the rollout is not paused for a freeze, or an empty text."""
    if target.kind not in _KINDS:
        return f"a {target.kind} cannot be paused"
    if not target.can_pause:
        return "its update strategy is OnDelete, so its pods are replaced by hand"
    return "" if policy.mode is Mode.ENFORCE else f"the mode is {policy.mode}"


def _lifted(target: TargetState, who: str, active: ActiveFreeze) -> Notice:
    did = "took over the pause of" if target.paused else "resumed"
    return Notice(
        f"freeze-lifted/{target.uid}",
        "FreezeLifted",
        f"{who} {did} the rollout of {target.kind} {target.name} during a freeze ({active.cause}): the operator does "
        f"not pause it again for this freeze, which lasts until {active.end}",
        transient=True,
    )


def _lifted_by_machine(target: TargetState, by: str) -> Notice:
    who = display_name(by) if by else "A writer that replaced the whole object"
    return Notice(
        f"freeze-reverted/{target.uid}",
        "PauseLifted",
        f"{who} lifted the operator's pause of {target.kind} {target.name} during a freeze: it is paused again. To "
        f"prevent this: {how_to_stop(by, PAUSED)}",
        warning=True,
        transient=True,
    )
