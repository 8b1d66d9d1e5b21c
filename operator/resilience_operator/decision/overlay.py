"""The target as it would be, had rehearsed commands been real.

Dry-run goes through the very same decision as the live loop. What it only rehearsed is laid over what the API server
tells, until the real thing changes: so a rehearsed pause is not rehearsed again every interval, and a rehearsed
rollback is followed by a rehearsed recovery.
"""

from __future__ import annotations

from dataclasses import replace

from resilience_operator.decision.commands import Command, Verb
from resilience_operator.decision.memory import Shadow
from resilience_operator.decision.target import MANAGER, TargetState


def overlay(target: TargetState, shadow: Shadow | None) -> TargetState:
    """`target` with the rehearsed changes laid over it; `target` itself when there are none."""
    if shadow is None:
        return target
    if shadow.replicas is not None:
        target = replace(target, replicas=shadow.replicas, ready=target.ready + shadow.replicas - target.replicas)
    if shadow.minimum is not None and target.hpa is not None:
        target = replace(target, hpa=replace(target.hpa, min_replicas=shadow.minimum))
    if shadow.paused:
        target = replace(target, paused=True, paused_by=MANAGER)
    if shadow.revision is not None:
        target = replace(target, revision=shadow.revision, rolled_out=True, paused=False, paused_by="")
    return target


def still_holds(shadow: Shadow | None, target: TargetState) -> Shadow | None:
    """What is left of a rehearsal, given the real target: what was really changed since is dropped."""
    if shadow is None:
        return None
    if shadow.replicas is not None and target.replicas != shadow.real_replicas:
        shadow = replace(shadow, replicas=None, real_replicas=None)
    if shadow.real_revision is not None and target.revision != shadow.real_revision:
        shadow = replace(shadow, paused=False, revision=None, real_revision=None)
    empty = shadow.replicas is None and not shadow.paused and shadow.revision is None and shadow.minimum is None
    return None if empty else shadow


def rehearse(shadow: Shadow | None, command: Command, target: TargetState) -> Shadow | None:
    """The rehearsal after one more command; `target` is the real one."""
    shadow = shadow or Shadow()
    match command.verb:
        case Verb.SCALE_UP | Verb.SCALE_DOWN if command.via:
            return replace(shadow, minimum=_as_int(command.to))
        case Verb.SCALE_UP | Verb.SCALE_DOWN:
            to = _as_int(command.to)
            if to == target.replicas:
                return replace(shadow, replicas=None, real_replicas=None)
            return replace(shadow, replicas=to, real_replicas=target.replicas)
        case Verb.PAUSE:
            return replace(shadow, paused=True, real_revision=target.revision)
        case Verb.RESUME:
            return replace(shadow, paused=False)
        case Verb.ROLLBACK:
            return replace(shadow, paused=False, revision=str(command.to), real_revision=target.revision)
        case _:
            return shadow


def _as_int(value: int | str | None) -> int:
    assert isinstance(value, int)
    return value
