"""Why a policy is not evaluated, among it a pause by hand."""

from __future__ import annotations

from dataclasses import dataclass

from resilience_operator.api.conditions import ConditionStatus, ConditionType, find_condition
from resilience_operator.api.pause import IN_FORCE, UNREADABLE, Pause
from resilience_operator.decision.model.target import TargetState
from resilience_operator.runtime.cache.policy_entry import PolicyEntry


@dataclass(frozen=True, slots=True)
class SkipReason:
    """Why a policy is not evaluated.

    pause: where somebody paused the policy; target is then what it guards.
    """

    status: ConditionStatus
    reason: str
    message: str
    pause: Pause | None = None
    target: TargetState | None = None


def paused(entry: PolicyEntry, pause: Pause, target: TargetState) -> SkipReason:
    """The refusal while somebody wants nothing to be done."""
    release = entry.memory.release
    held = (
        f"; revision {release.revision}, whose rollout the operator paused, stays paused meanwhile"
        if release is not None and release.paused is not None and target.paused
        else ""
    )
    message = f"{pause}. Nothing is looked at and nothing is done{held}"
    if pause.problem:
        return SkipReason("False", UNREADABLE, message, pause, target)
    return SkipReason("True", IN_FORCE, message, pause, target)


def was_paused(entry: PolicyEntry) -> bool:
    """Whether the status still tells of a pause by hand."""
    ready = find_condition(entry.status.conditions, ConditionType.READY)
    return ready is not None and ready.reason in (IN_FORCE, UNREADABLE)
