"""Bounds of scaling, and the number that is changed: the target's replicas, or its HPA's `minReplicas`."""

from __future__ import annotations

from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.memory import ScalingMemory
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import MANAGER, HorizontalPodAutoscaler, TargetState


def current_size(target: TargetState) -> int:
    """Return the number that a scale-up starts from: `spec.replicas`, or at least the HPA's `minReplicas`."""
    return target.replicas if target.hpa is None else max(target.replicas, target.hpa.min_replicas)


def ceiling(policy: Policy, target: TargetState) -> int:
    """Return the maximum number of pods that may be requested."""
    return at_most_maximum(policy.max_replicas if policy.max_replicas is not None else target.replicas, policy, target)


def at_most_maximum(replicas: int, policy: Policy, target: TargetState) -> int:
    """Return `replicas`, or the lowest maximum below it: the policy's or the HPA's."""
    if policy.max_replicas is not None:
        replicas = min(replicas, policy.max_replicas)
    return replicas if target.hpa is None else min(replicas, target.hpa.max_replicas)


def scale_down_size(target: TargetState) -> int:
    """Return the number that a scale-down lowers: `spec.replicas`, or the HPA's `minReplicas`."""
    return target.replicas if target.hpa is None else target.hpa.min_replicas


def floor(policy: Policy, scaling: ScalingMemory, hpa: HorizontalPodAutoscaler | None) -> int:
    """Return the lower bound of scaling down, for the target's replicas or its HPA's `minReplicas`.

    An HPA returns to its original `minReplicas`, or to the policy's minimum if that is higher.
    """
    if hpa is not None:
        original = hpa.raised_from if hpa.raised_from is not None else hpa.min_replicas
        return max(original, min(policy.min_replicas or 0, hpa.min_replicas))
    lowest = policy.min_replicas if policy.min_replicas is not None else scaling.baseline
    return max(lowest or 0, scaling.manual_floor or 0, 1)


def restore_minimum(policy: Policy, target: TargetState) -> Command | None:
    """Return the step back to the policy's minimum if the target is below it, whoever scaled it down; else None.

    Zero replicas is off, as it is for an HPA: the operator never starts what is switched off. A DaemonSet has no
    replicas of its own.
    """
    lowest, size = policy.min_replicas, current_size(target)
    if lowest is None or target.replicas == 0 or target.kind == "DaemonSet":
        return None
    to = at_most_maximum(lowest, policy, target)
    if target.replicas >= to or size >= to:
        return None
    by = "" if target.hpa is not None or target.scaled_by in ("", MANAGER) else display_name(target.scaled_by)
    who = f" (last scaled by {by})" if by else ""
    message = (
        f"{target.kind} {target.name} is below replicas.min {lowest}{who}: {size} → {to} pods. To run fewer, change "
        "replicas.min"
    )
    return Command(Verb.SCALE_UP, "BelowMinimum", message, from_=size, to=to, via=via(target))


RESET_TIME = 60.0
"""Seconds after a manifest reset the replicas within which the size from before is still what the load needs."""


def restore_size(policy: Policy, scaling: ScalingMemory, target: TargetState, now: float) -> Command | None:
    """Return the step back to the operator's size after a manifest was applied with fewer replicas; else None.

    A deployment in a peak would otherwise take pods away until the rules are in breach again, or until a cooldown ends.
    Where the operator does not scale down, applying the manifest is the way to do so: then nothing is restored.
    """
    size, at = scaling.reset_from, scaling.reset_at
    if size is None or at is None or not 0 <= now - at <= RESET_TIME or not policy.scale_down.enabled:
        return None
    if target.hpa is not None or target.replicas == 0 or not any(rule.scale_up is not None for rule in policy.rules):
        return None
    to = at_most_maximum(size, policy, target)
    if to <= target.replicas:
        return None
    message = (
        f"{display_name(target.scaled_by)} applied {target.kind} {target.name} with {target.replicas} replicas while "
        f"it was scaled to {size}: {target.replicas} → {to} pods"
    )
    return Command(Verb.SCALE_UP, "ReplicasReset", message, from_=target.replicas, to=to)


def can_scale_down(policy: Policy, scaling: ScalingMemory, target: TargetState) -> bool:
    """Return whether a stable period would lead to a scale-down."""
    scales = any(rule.scale_up is not None for rule in policy.rules)
    return scales and policy.scale_down.enabled and scale_down_size(target) > floor(policy, scaling, target.hpa)


def via(target: TargetState) -> str:
    """Return the HPA through which the target is scaled, as `Command.via` names it; empty when there is none."""
    return f"HorizontalPodAutoscaler/{target.hpa.name}" if target.hpa is not None else ""
