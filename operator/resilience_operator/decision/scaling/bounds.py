"""Bounds of scaling, and the number that is changed: the target's replicas, or its HPA's `minReplicas`."""

from __future__ import annotations

from resilience_operator.decision.model.memory import ScalingMemory
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import HorizontalPodAutoscaler, TargetState


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

    An HPA returns to its original `minReplicas`, regardless of the policy's minimum.
    """
    if hpa is not None:
        return hpa.original_min if hpa.original_min is not None else hpa.min_replicas
    lowest = policy.min_replicas if policy.min_replicas is not None else scaling.baseline
    return max(lowest or 0, scaling.manual_floor or 0, 1)


def can_scale_down(policy: Policy, scaling: ScalingMemory, target: TargetState) -> bool:
    """Return whether a stable period would lead to a scale-down."""
    scales = any(rule.scale_up is not None for rule in policy.rules)
    return scales and policy.scale_down.enabled and scale_down_size(target) > floor(policy, scaling, target.hpa)


def via(target: TargetState) -> str:
    """Return the HPA through which the target is scaled, as `Command.via` names it; empty when there is none."""
    return f"HorizontalPodAutoscaler/{target.hpa.name}" if target.hpa is not None else ""
