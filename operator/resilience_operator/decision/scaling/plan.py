"""Plans one scaling step: up, down or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from resilience_operator.decision.model.commands import Command, Notice
from resilience_operator.decision.model.memory import RuleMemory, ScalingMemory, Verdict
from resilience_operator.decision.scaling.bounds import restore_minimum
from resilience_operator.decision.scaling.load import is_settling, observe_load, observe_replicas
from resilience_operator.decision.scaling.recommendation import ScalingContext, load_in_pods, scales_ahead
from resilience_operator.decision.scaling.scale_down import note_regression, plan_scale_down, reset_stabilization
from resilience_operator.decision.scaling.scale_up import plan_fallback, plan_scale_up


@dataclass(slots=True)
class ScalingPlan:
    """The new scaling memory and the step, if any. notes: by rule, why it does not scale. wake: next timer.

    rules: the memories of rules that scaling changed.
    """

    scaling: ScalingMemory
    command: Command | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    wake: float | None = None
    rules: Mapping[str, RuleMemory] = field(default_factory=dict)


def plan_scaling(context: ScalingContext) -> ScalingPlan:
    """Plan one step: up for rules in breach or for the forecast, up to the fallback, or down to the need."""
    if context.target.replicas == 0:
        breached = [r.rule.name for r in context.recommendations if r.verdict is Verdict.BREACH]
        scaling = reset_stabilization(context.scaling)
        return ScalingPlan(scaling, None, dict.fromkeys(breached, "the target is scaled to zero"))
    context.scaling = scaling = _observe(context)
    up = plan_scale_up(context)
    scaling = replace(scaling, load=replace(scaling.load, saturated=up.saturated))
    command = up.command
    restored = restore_minimum(context.policy, context.target)
    if restored is not None and (command is None or int(command.to or 0) < int(restored.to or 0)):
        command = restored
    fallback_due = None
    if command is None:
        command, fallback_due = plan_fallback(context)
    if command is not None:
        scaling = note_regression(reset_stabilization(scaling), context, command)
        asking = [r for r in context.recommendations if command is up.command and r.rule.name in command.rules]
        if any(r.memory.base_replicas is None for r in asking):
            required, _ = load_in_pods(context.recommendations, context.target.replicas)
            scaling = replace(scaling, required_at_scale_up=required)
        return ScalingPlan(scaling, command, up.notes, up.notices, up.wake, up.rules)
    context.scaling = scaling
    scaling, down, stable_at = plan_scale_down(context)
    wake = min((t for t in (up.wake, fallback_due, stable_at) if t is not None), default=None)
    return ScalingPlan(scaling, down, up.notes, up.notices, wake, up.rules)


def _observe(context: ScalingContext) -> ScalingMemory:
    """Return the scaling memory with the size and the load of the target."""
    target, scaling, now = context.target, context.scaling, context.now
    load = observe_replicas(scaling.load, target.replicas, target.ready, now)
    if not is_settling(load, now):
        ahead = [r for r in context.recommendations if scales_ahead(r)]
        pods, leading = load_in_pods(ahead, target.replicas)
        if pods is not None and leading is not None:
            load = observe_load(load, pods, leading.signal.window, now)
    return scaling if load is scaling.load else replace(scaling, load=load)
