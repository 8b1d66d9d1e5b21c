"""Formats rules and counts for `explain`."""

from __future__ import annotations

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.model.policy import Policy, Rule, ScaleUp
from resilience_operator.decision.report import format_condition


def needed(rule: Rule, policy: Policy) -> str:
    """Format the conditions of a rule: `cpu above 70% for 2m`."""
    joint = " or " if rule.any_of else " and "
    return joint.join(f"{c.signal} {format_condition(c, policy.signals[c.signal].unit)}" for c in rule.conditions)


def does(rule: Rule) -> str:
    """Format the actions of a rule: `adds 2 pods; alerts`."""
    parts = []
    if rule.scale_up is not None:
        parts.append(adds(rule.scale_up))
    if rule.pause:
        parts.append("pauses the rollout of a release that causes it")
    if rule.rollback is not None:
        parts.append(f"rolls back such a release after {format_duration(rule.rollback.after)}")
    if rule.alert:
        parts.append("alerts")
    parts += (f"runs the plugin {plugin.name}" for plugin in rule.plugins)
    return "; ".join(parts)


def adds(scale_up: ScaleUp) -> str:
    """Format a scale-up: `adds 2 pods`."""
    if scale_up.pods is not None:
        return f"adds {pods(scale_up.pods)}"
    if scale_up.percent is not None:
        return f"adds {scale_up.percent:g}% more pods"
    return "adds enough pods to bring the signal back to its threshold"


def pods(count: int) -> str:
    """Format a number of pods: `1 pod`, `2 pods`."""
    return f"{count} pod" if count == 1 else f"{count} pods"
