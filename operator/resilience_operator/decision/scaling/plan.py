"""Plans one scaling step: up, down or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from resilience_operator.decision.model.commands import Command, Notice
from resilience_operator.decision.model.memory import ScalingMemory, Verdict
from resilience_operator.decision.scaling.bounds import restore_minimum
from resilience_operator.decision.scaling.recommendation import ScalingContext, required_replicas, serving
from resilience_operator.decision.scaling.scale_down import plan_scale_down, reset_stabilization
from resilience_operator.decision.scaling.scale_up import plan_fallback, plan_scale_up


@dataclass(slots=True)
class ScalingPlan:
    """The new scaling memory and the step, if any. notes: by rule, why it does not scale. wake: next timer."""

    scaling: ScalingMemory
    command: Command | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    wake: float | None = None


def plan_scaling(context: ScalingContext) -> ScalingPlan:
    """Plan one step: up for rules in breach, up to the fallback, or down after a stable period."""
    scaling = context.scaling
    if context.target.replicas == 0:
        breached = [r.rule.name for r in context.recommendations if r.verdict is Verdict.BREACH]
        return ScalingPlan(reset_stabilization(scaling), None, dict.fromkeys(breached, "the target is scaled to zero"))
    up = plan_scale_up(context)
    restored = restore_minimum(context.policy, context.target)
    if restored is not None and (up.command is None or int(up.command.to or 0) < int(restored.to or 0)):
        return ScalingPlan(reset_stabilization(scaling), restored, up.notes, up.notices, up.wake)
    if up.command is not None:
        asking = [r for r in context.recommendations if r.rule.name in up.command.rules]
        if any(r.memory.base_replicas is None for r in asking):
            required = required_replicas(context.recommendations, serving(context.target))
            scaling = replace(scaling, required_at_scale_up=required)
        return ScalingPlan(reset_stabilization(scaling), up.command, up.notes, up.notices, up.wake)
    fallback, fallback_due = plan_fallback(context)
    if fallback is not None:
        return ScalingPlan(reset_stabilization(scaling), fallback, up.notes, up.notices, up.wake)
    scaling, down, stable_at = plan_scale_down(context)
    wake = min((t for t in (up.wake, fallback_due, stable_at) if t is not None), default=None)
    return ScalingPlan(scaling, down, up.notes, up.notices, wake)
