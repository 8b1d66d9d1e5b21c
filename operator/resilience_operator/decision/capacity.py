"""Pods that a target should have and does not: starting, lost, or not coming. Facts for scaling and for the status."""

from __future__ import annotations

from typing import NamedTuple

from resilience_operator.decision.model.target import Pod, TargetState

UNSCHEDULED = 60.0
"""Seconds for which an unschedulable pod may still come: a cluster autoscaler may add a node, or other pods end."""

LATE = 2.0
"""A pod is late once it takes this multiple of the learned start-up time."""


class MissingCapacity(NamedTuple):
    """Why pods are not coming. reason: for a condition. message: with the controller's or the scheduler's own words."""

    reason: str
    message: str


def missing_capacity(target: TargetState, now: float) -> MissingCapacity | None:
    """Return why pods of the target cannot come, or None if nothing says so."""
    if target.create_failure and target.ready < target.replicas:
        missing = f"{target.ready} of {target.replicas} pods are ready; pods cannot be created"
        return MissingCapacity("PodsNotCreated", f"{missing}: {target.create_failure}")
    waiting = [p for p in target.pods or () if is_unschedulable(p, now)]
    if not waiting:
        return None
    pods = "1 pod is" if len(waiting) == 1 else f"{len(waiting)} pods are"
    return MissingCapacity("PodsUnschedulable", f"{pods} unschedulable: {waiting[0].unschedulable}")


def is_unschedulable(pod: Pod, now: float) -> bool:
    """Whether the scheduler has found no node for it, for longer than a node takes to come."""
    return bool(pod.unschedulable) and not pod.terminating and now - pod.created >= UNSCHEDULED


def starting_pods(target: TargetState, startup_seconds: float | None, now: float) -> int:
    """Return how many pods are on their way: they never were ready, fail in no way and are not late.

    startup_seconds: the learned start-up time (`Memory.startup_seconds`). Without it, or without a list of the pods, a
    pod may take until the progress deadline.
    """
    limit = target.progress_deadline
    if startup_seconds is not None:
        limit = min(limit, LATE * startup_seconds + target.min_ready_seconds)
    if target.pods is None:
        return max(0, target.replicas - target.ready)
    return sum(
        not p.ready
        and not p.terminating
        and p.started_serving is None
        and not p.waiting
        and not is_unschedulable(p, now)
        and now - p.created <= limit
        for p in target.pods
    )


def lost_pods(target: TargetState) -> int:
    """Return how many pods were ready before and are not any more."""
    return sum(not p.ready and not p.terminating and p.started_serving is not None for p in target.pods or ())
