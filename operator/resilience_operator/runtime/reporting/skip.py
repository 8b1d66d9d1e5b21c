"""Reasons why a policy is not evaluated, including a manual pause."""

from __future__ import annotations

from dataclasses import dataclass

from resilience_operator.api.conditions import ConditionStatus, ConditionType, find_condition
from resilience_operator.api.pause import IN_FORCE, UNREADABLE, Pause
from resilience_operator.decision.model.target import TargetState
from resilience_operator.runtime.cache.policy_entry import PolicyEntry

FAILED = "EvaluationFailed"
"""The reason of a policy whose evaluation failed with an unexpected error."""


@dataclass(frozen=True, slots=True)
class SkipReason:
    """Why a policy is not evaluated.

    pause: set if a person paused the policy; `target` is then its target.
    """

    status: ConditionStatus
    reason: str
    message: str
    pause: Pause | None = None
    target: TargetState | None = None

    @property
    def failed(self) -> bool:
        """Whether the evaluation failed with an unexpected error."""
        return self.reason == FAILED


def paused(entry: PolicyEntry, pause: Pause, target: TargetState) -> SkipReason:
    """Return the skip reason for a manually paused policy."""
    release = entry.memory.release
    held = (
        f"; revision {release.revision}, whose rollout the operator paused, stays paused meanwhile"
        if release is not None and release.paused is not None and target.paused
        else ""
    )
    if entry.memory.freeze is not None and entry.memory.freeze.held_since is not None and target.paused:
        held = "; its rollout, which the operator paused for a freeze, stays paused meanwhile"
    message = f"{pause}. Nothing is looked at and nothing is done{held}"
    if pause.problem:
        return SkipReason("False", UNREADABLE, message, pause, target)
    return SkipReason("True", IN_FORCE, message, pause, target)


def evaluation_failed(stage: str, error: Exception) -> SkipReason:
    """Return the skip reason for an unexpected error."""
    return SkipReason(
        "False",
        FAILED,
        f"the evaluation failed ({stage}: {type(error).__name__}). It is tried again at every interval; the log of "
        "the operator holds the details",
    )


def was_paused(entry: PolicyEntry) -> bool:
    """Return True if the status still shows a manual pause."""
    ready = find_condition(entry.status.conditions, ConditionType.READY)
    return ready is not None and ready.reason in (IN_FORCE, UNREADABLE)
