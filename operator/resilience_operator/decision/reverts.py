"""Detects that another writer reverts the operator's changes, and stops the operator from repeating them.

Two writers of one field undo each other for ever. After the second revert the operator leaves the field alone, says who
writes it and how to stop that, and tries again when the policy or the writer changes, or when the hold expires.
"""

from __future__ import annotations

from collections.abc import Sequence

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.field_managers import display_name, how_to_stop
from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.memory import Revert
from resilience_operator.decision.model.target import MANAGER, TargetState

REPLICAS = "spec.replicas"
MIN_REPLICAS = "spec.minReplicas"
PAUSED = "spec.paused"

TOLERATED = 1
"""Reverts after which the operator still repeats its change."""

TOGETHER = 3600.0
"""Seconds within which reverts of one field belong together. GitOps tools correct drift within minutes."""

FIRST_HOLD = 3600.0
"""Seconds for which the operator stops after the second revert. It doubles with each further one."""

LONGEST_HOLD = 86400.0


def hold_of(revert: Revert) -> float:
    """Return the seconds for which the operator leaves the field alone; 0 while reverts are tolerated."""
    if revert.count <= TOLERATED:
        return 0.0
    return float(min(FIRST_HOLD * 2.0 ** min(revert.count - TOLERATED - 1, 10), LONGEST_HOLD))


def record_revert(
    reverts: Sequence[Revert], field: str, by: str, now: float, generation: int
) -> tuple[tuple[Revert, ...], Revert]:
    """Return the reverts with one more, and that one."""
    before = next((r for r in reverts if r.field == field), None)
    count = 1
    if before is not None and _continues(before, by, now, generation):
        count = before.count + 1
    found = Revert(field, by, count, now, generation)
    return (*(r for r in reverts if r.field != field), found), found


def _continues(before: Revert, by: str, now: float, generation: int) -> bool:
    return before.by == by and before.generation == generation and now - before.at <= hold_of(before) + TOGETHER


def current_reverts(
    reverts: tuple[Revert, ...], target: TargetState, generation: int, now: float
) -> tuple[Revert, ...]:
    """Return the reverts that still count; the same object if all do.

    One ends when the policy changed, when another manager wrote the field since, or when it is old.
    """
    if not reverts:
        return reverts
    kept = tuple(r for r in reverts if _continues(r, r.by, now, generation) and _still_writes(r, target))
    return reverts if len(kept) == len(reverts) else kept


def _still_writes(revert: Revert, target: TargetState) -> bool:
    """Return whether the manager that reverted the field still owns it, as far as that is recorded."""
    owner = ""
    if revert.field == REPLICAS:
        owner = target.scaled_by
    elif revert.field == MIN_REPLICAS:
        owner = target.hpa.min_by if target.hpa is not None else ""
    return owner in ("", MANAGER, revert.by)


def blocked(reverts: Sequence[Revert], field: str, now: float) -> Revert | None:
    """Return the revert because of which the operator must not change `field` now, or None."""
    for revert in reverts:
        if revert.field == field and now < revert.at + hold_of(revert):
            return revert
    return None


def retry_at(reverts: Sequence[Revert], now: float) -> float | None:
    """Return when the next hold ends, or None."""
    return min((at for r in reverts if (at := r.at + hold_of(r)) > now and hold_of(r)), default=None)


def stopped_notices(reverts: Sequence[Revert], target: TargetState, now: float) -> tuple[Notice, ...]:
    """Return a notice for each field that the operator leaves alone now."""
    return tuple(
        Notice(f"reverted/{r.field}", "ChangeReverted", describe_stop(r, target), warning=True)
        for r in reverts
        if blocked((r,), r.field, now) is not None
    )


def describe_stop(revert: Revert, target: TargetState) -> str:
    """Describe who reverts a field, and how to end that."""
    return (
        f"{display_name(revert.by)} has reverted {revert.field} of {_object(revert.field, target)} "
        f"{revert.count} times, so the operator does not change it for {format_duration(hold_of(revert))}: "
        f"{how_to_stop(revert.by, revert.field)}. A change of the policy's spec makes it try again at once"
    )


def describe_revert(revert: Revert, target: TargetState, before: object, after: object) -> str:
    """Describe the first revert of a field."""
    return (
        f"{display_name(revert.by)} changed {revert.field} of {_object(revert.field, target)} from {before} to {after} "
        f"and so reverted the operator's change. If that happens again, the operator stops changing it: "
        f"{how_to_stop(revert.by, revert.field)}"
    )


def _object(field: str, target: TargetState) -> str:
    if field == MIN_REPLICAS and target.hpa is not None:
        return f"HorizontalPodAutoscaler {target.hpa.name}"
    return f"{target.kind} {target.name}"
