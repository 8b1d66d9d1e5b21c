"""Plans one scaling step: up, down or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.model.commands import Command, Notice
from resilience_operator.decision.model.memory import LoadMemory, RuleMemory, ScalingMemory, Verdict
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.scaling.bounds import restore_minimum, restore_size
from resilience_operator.decision.scaling.load import (
    MIN_REQUESTS,
    SATURATED,
    learn_cost,
    observe_load,
    observe_mean,
    observe_ready,
    observe_replicas,
)
from resilience_operator.decision.scaling.recommendation import (
    ScalingContext,
    is_at_limit,
    is_uncertain,
    load_in_pods,
    serving,
    started,
)
from resilience_operator.decision.scaling.scale_down import (
    note_regression,
    note_undone,
    plan_scale_down,
    reset_stabilization,
)
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
    context.scaling = _without_future(context.scaling, context.now)
    context.scaling = scaling = _observe(context)
    up = plan_scale_up(context)
    if up.saturated != scaling.load.saturated:
        scaling = replace(scaling, load=replace(scaling.load, saturated=up.saturated))
    command = up.command
    for restored in (
        restore_minimum(context.policy, context.target),
        restore_size(context.policy, scaling, context.target, context.now) if scaling.reset_from is not None else None,
    ):
        if restored is not None and (command is None or int(command.to or 0) < int(restored.to or 0)):
            command = restored
    fallback_due = None
    if command is None:
        command, fallback_due = plan_fallback(context)
    if command is not None:
        scaling = note_undone(note_regression(reset_stabilization(scaling), context, command), context)
        asking = [r for r in context.recommendations if command is up.command and r.rule.name in command.rules]
        if any(r.memory.base_replicas is None for r in asking):
            required, _ = load_in_pods(context.recommendations, context)
            scaling = replace(scaling, required_at_scale_up=required)
        return ScalingPlan(scaling, command, up.notes, up.notices, up.wake, up.rules)
    context.scaling = scaling
    scaling, down, stable_at = plan_scale_down(context)
    return ScalingPlan(scaling, down, up.notes, up.notices, earliest(up.wake, fallback_due, stable_at), up.rules)


def earliest(*times: float | None) -> float | None:
    """Return the earliest of the times that are set, or None."""
    due = [t for t in times if t is not None]
    return min(due) if due else None


def _without_future(scaling: ScalingMemory, now: float) -> ScalingMemory:
    """Return the memory without moments in the future: the clock was set back. What was learned is kept."""
    load, needs, down, regressed = scaling.load, scaling.needs, scaling.scaled_down, scaling.regressed
    if (
        (load.changed is None or load.changed <= now)
        and (not needs or needs[-1][0] <= now)
        and (not load.means or load.means[-1].at <= now)
        and (down is None or down <= now)
        and (regressed is None or regressed <= now)
    ):
        return scaling
    kept = LoadMemory(load.margin, load.start_up, replicas=load.replicas, ready=load.ready, cost=load.cost)
    return replace(
        scaling.stable(None, ()),
        load=replace(kept, cost_of=load.cost_of),
        scaled_down=None if down is None else min(down, now),
        regressed=None if regressed is None else min(regressed, now),
    )


def _observe(context: ScalingContext) -> ScalingMemory:
    """Return the scaling memory with the size and the load of the target."""
    target, scaling, now = context.target, context.scaling, context.now
    load = observe_replicas(scaling.load, target.replicas, target.ready, now)
    if load is not scaling.load:
        context.scaling = scaling = replace(scaling, load=load)
    load = observe_ready(load, started(context), now)
    if load is not scaling.load:
        context.scaling = scaling = replace(scaling, load=load)
    if not context.ahead:
        return scaling
    pods, leading = load_in_pods(context.ahead, context)
    if pods is None or leading is None:
        return scaling
    window = leading.signal.window
    rate = context.rates.get(window)
    load = observe_mean(load, leading.judgement.value or 0.0, rate, window, now)
    if is_at_limit(leading, context):
        load = replace(load, limited=now)
    if not is_uncertain(leading, context):
        load = observe_load(load, pods, window, now)
        used = pods * leading.condition.threshold
        if rate is not None and _shows_cost(context, leading, used, rate * window):
            load = learn_cost(load, used, rate, target.revision)
    return scaling if load is scaling.load else replace(scaling, load=load)


def _shows_cost(context: ScalingContext, leading: ConditionResult, used: float, requests: float) -> bool:
    """Return whether the usage is that of the requests: pods have neither just started nor reached their limit."""
    return (
        leading.signal.unit == "ratio"
        and requests >= MIN_REQUESTS
        and leading.signal.name not in context.overall
        and used < SATURATED * serving(context.target)
        and not any(
            r.judgement.crossed for o in context.recommendations for r in o.results if r.signal.unit == "seconds"
        )
    )
