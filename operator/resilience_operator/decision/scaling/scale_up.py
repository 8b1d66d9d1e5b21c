"""Scale-up: for rules in breach, or to the fallback when metrics are missing."""

from __future__ import annotations

from dataclasses import dataclass, field

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.members import BREACH
from resilience_operator.decision.model.memory import LoadMemory, RuleMemory, Verdict
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.scaling.bounds import at_most_maximum, ceiling, current_size, via
from resilience_operator.decision.scaling.dependencies import suspects
from resilience_operator.decision.scaling.load import (
    DEFAULT_START_UP,
    SATURATED,
    SETTLE,
    covered_noise,
    current_rate,
    is_settling,
    needed,
    round_up,
    visible_after,
)
from resilience_operator.decision.scaling.lost import lost_pods
from resilience_operator.decision.scaling.recommendation import (
    TOLERANCE,
    Recommendation,
    ScalingContext,
    is_proportional,
    is_uncertain,
    load_in_pods,
    scales_ahead,
    serving,
    wanted_replicas,
)

AT_MAXIMUM = "at-maximum"
"""Key of the notice that a rule requests more pods than the maximum."""

DOES_NOT_HELP = "does-not-help"
"""Key, followed by `/` and the rule, of the notice that scaling does not help."""

MAX_INEFFECTIVE = 2
"""Scale-ups of one breach without an effect, after which the rule does not scale any more."""

EFFECT = 0.5
"""A latency that load causes falls at least as the load of a pod does. A fall by less than this share of that is noise:
a quantile is only known to its bucket."""

LEAST_FALL = 0.1
"""The fall by which a value must differ from the one at the last scale-up at least."""

SATURATED_EVERY = 60.0
"""Seconds between two doublings while pods are at their limit, without further evidence."""


@dataclass(slots=True)
class ScaleUpPlan:
    """The step up, if any. notes: by rule, why it does not scale. wake: when a cooldown ends.

    rules: memories that changed. saturated: when pods were last doubled because they were at their limit.
    """

    command: Command | None
    notes: dict[str, str]
    notices: tuple[Notice, ...] = ()
    wake: float | None = None
    rules: dict[str, RuleMemory] = field(default_factory=dict)
    saturated: float | None = None


@dataclass(slots=True)
class _Size:
    """The size of the target, its limit, and the pods that serve or soon will."""

    current: int
    limit: int
    lost: int

    @property
    def usable(self) -> int:
        return self.current - self.lost


def plan_scale_up(context: ScalingContext) -> ScaleUpPlan:
    """Plan one step up, to the largest number that a rule requests."""
    target, now, load = context.target, context.now, context.scaling.load
    if not context.ahead and not any(map(_is_open, context.recommendations)):
        return ScaleUpPlan(None, {}, saturated=load.saturated)
    lost = lost_pods(target, load, now)
    size = _Size(current_size(target), ceiling(context.policy, target), lost)
    plan = ScaleUpPlan(None, {}, saturated=load.saturated)
    notices: list[Notice] = []
    due: list[float] = []
    asking: list[tuple[int, Recommendation]] = []
    for recommendation in context.recommendations:
        wanted = _judge(recommendation, context, size, plan, notices, due)
        if wanted is not None:
            asking.append((wanted, recommendation))
    if asking:
        plan.command = _command(asking, target, size.current, size.limit)
        plan.rules.update(_with_values(asking, context))
    plan.notices, plan.wake = tuple(notices), min(due, default=None)
    return plan


def _is_open(recommendation: Recommendation) -> bool:
    """Return whether the rule is in breach, or was until now."""
    memory = recommendation.memory
    return memory.breach is not None or recommendation.verdict is BREACH or memory.ineffective > 0


def _judge(
    recommendation: Recommendation,
    context: ScalingContext,
    size: _Size,
    plan: ScaleUpPlan,
    notices: list[Notice],
    due: list[float],
) -> int | None:
    """Return the pods that one rule requests now, or None. Adds notes, notices and timers."""
    now, target = context.now, context.target
    memory, name = recommendation.memory, recommendation.rule.name
    in_breach = recommendation.verdict is Verdict.BREACH
    ahead = scales_ahead(recommendation) and recommendation.verdict is not Verdict.UNKNOWN
    if memory.breach is None and memory.ineffective:
        plan.rules[name] = replace(memory, scaled_value=None, ineffective=0)
    if not in_breach and memory.breach is None and not ahead:
        return None
    if recommendation.suppressed:
        plan.notes[name] = "only the new revision is in breach: the release is the cause, so no pods are added"
        return None
    end = now if memory.scaled is None else memory.scaled + recommendation.scale_up.cooldown
    cooling = memory.scaled is not None and memory.scaled <= now < end
    if ahead:
        wanted = _wanted_ahead(context, size, plan, cooling=cooling)
    else:
        wanted = wanted_replicas(recommendation, context)
        wanted += size.lost if wanted else 0
    if wanted > size.current >= size.limit:
        # Also while briefly Unknown or in cooldown, so that it is not announced again after each.
        plan.notes[name] = f"already at the maximum of {size.limit} pods"
        notices.append(_at_maximum(recommendation, target, size.limit))
        return None
    if not in_breach and not ahead:
        return None
    if cooling:
        if in_breach:
            due.append(end)
            plan.notes[name] = f"in cooldown for another {format_duration(end - now)}"
        return None
    if not ahead and not _takes_effect(recommendation, context, plan, notices, due):
        return None
    if wanted > size.current:
        return wanted
    if in_breach:
        coming = size.current - target.ready
        plan.notes[name] = (
            f"waiting for pods that are not ready yet: {coming}"
            if coming > 0
            else "the value is within the tolerance of its threshold"
        )
    return None


def _wanted_ahead(context: ScalingContext, size: _Size, plan: ScaleUpPlan, *, cooling: bool) -> int:
    """Return the pods that the forecast needs; 0 within the tolerance. cooling: no step is taken now."""
    load, now, ready = context.scaling.load, context.now, serving(context.target)
    pods, leading = load_in_pods(context.ahead, context)
    if pods is None or leading is None:
        return 0
    wanted = 0
    if load.limited is not None and now - load.limited < SATURATED_EVERY:
        # Pods at their limit do not show the load, but the requests may.
        offered = _offered_pods(context, leading)
        if offered > size.usable * (1 + TOLERANCE):
            wanted = offered + size.lost
    if not is_uncertain(leading, context):
        need = needed(load)
        if round(need, 6) > round(size.usable * (1 + TOLERANCE - covered_noise(load)), 6):
            wanted = max(wanted, round_up(need) + size.lost)
    full = size.current >= size.limit
    if load.limited == now and (full or (not cooling and _may_double(load, leading, now))):
        # A pod at its limit does not show how much load is missing: at least double.
        if not full:
            plan.saturated = now
        doubled = 2.0 * ready
        if not context.rates and (leading.judgement.value or 0.0) < SATURATED:
            doubled /= min(1.0, leading.condition.threshold)  # after a jump, nothing else will show the load
        wanted = max(wanted, round_up(doubled) + size.lost)
    return wanted


def _may_double(load: LoadMemory, leading: ConditionResult, now: float) -> bool:
    """Return whether pods at their limit may be doubled: not before the last doubling is seen in the usage."""
    served = load.served
    if served is not None and now - served < visible_after(leading.signal.window):
        return False
    if load.saturated is None or now - load.saturated >= SATURATED_EVERY:
        return True
    return served is not None and served > load.saturated


def _offered_pods(context: ScalingContext, leading: ConditionResult) -> int:
    """Return the pods that the requests of the last scrapes need, by what a request costs; 0 if that is not known.

    Requests that are counted before they reach the pods tell more than the usage of pods at their limit.
    """
    load, now, window = context.scaling.load, context.now, leading.signal.window
    rate = context.rates.get(window)
    if rate is None or load.cost is None or load.cost_of != context.target.revision:
        return 0
    pods = current_rate(load, rate, window, now) * load.cost / leading.condition.threshold
    return round_up(pods * (1 + max(load.margin, TOLERANCE)))  # more than the load, as requests wait already


def _takes_effect(
    recommendation: Recommendation,
    context: ScalingContext,
    plan: ScaleUpPlan,
    notices: list[Notice],
    due: list[float],
) -> bool:
    """Return whether a rule may take its next step: the last one is visible in the value, and it had an effect.

    The load over the pods that served meanwhile shows whether a proportional signal asks for more. The window of others
    holds the time before the step until it has passed; until then, a proportional one may show that pods are missing.
    """
    memory, name, now = recommendation.memory, recommendation.rule.name, context.now
    if memory.breach is None or memory.scaled is None or not memory.breach <= memory.scaled <= now:
        return True
    pods, _ = load_in_pods([recommendation], context)
    if pods is not None and pods <= context.target.replicas - lost_pods(context.target, context.scaling.load, now):
        plan.notes[name] = "the pods of the last step are enough for the load; the value follows within its window"
        return False
    if any(is_proportional(r) or r.judgement.replica_factor is not None for r in recommendation.results):
        return True
    if _lacks_pods(context):
        return True
    window = max(r.signal.window for r in recommendation.results)
    load = context.scaling.load
    served = memory.scaled + (load.start_up or DEFAULT_START_UP)
    end = max(served, load.served or 0.0) + window + SETTLE
    if now < end:
        due.append(end)
        plan.notes[name] = f"waits for {format_duration(end - now)} until the effect of the last step is visible"
        return False
    if memory.ineffective + _without_effect(recommendation, context) < MAX_INEFFECTIVE:
        return True
    if memory.ineffective < MAX_INEFFECTIVE:
        plan.rules[name] = replace(memory, ineffective=MAX_INEFFECTIVE)
    message = (
        f"{recommendation.description}; {MAX_INEFFECTIVE} scale-ups did not lower it, so {name} does not add more "
        f"pods. {suspects(context.dependencies)}"
    )
    plan.notes[name] = "more pods did not help"
    notices.append(Notice(f"{DOES_NOT_HELP}/{name}", "ScalingDoesNotHelp", message, warning=True))
    return False


def _lacks_pods(context: ScalingContext) -> bool:
    """Return whether a proportional signal shows that more pods are needed than there are, without those to come."""
    if not context.ahead:
        pods, _ = load_in_pods(context.recommendations, context)
        return pods is not None and pods > context.target.replicas - lost_pods(
            context.target, context.scaling.load, context.now
        )
    pods, leading = load_in_pods(context.ahead, context)
    load = context.scaling.load
    if pods is None or leading is None or load.starting is not None or is_settling(load, context.now):
        return False
    # Until then, the load that waited for the new pods is still in the metrics.
    visible = (load.served or 0.0) + SETTLE + visible_after(leading.signal.window)
    return context.now >= visible and load.limited == context.now


def _without_effect(recommendation: Recommendation, context: ScalingContext) -> int:
    """Return 1 if the value did not fall since the last scale-up."""
    value, before = recommendation.results[0].judgement.value, recommendation.memory.scaled_value
    if value is None or before is None:
        return 0
    pods, step = max(context.target.replicas, 1), recommendation.scale_up
    added = min(step.pods or 0, pods - 1) / pods if step.percent is None else step.percent / (100 + step.percent)
    return int(value > before * (1 - max(LEAST_FALL, EFFECT * added)))


def _with_values(asking: list[tuple[int, Recommendation]], context: ScalingContext) -> dict[str, RuleMemory]:
    """Return the memories of rules that scale up, with the value that the step should lower."""
    found = {}
    for _, recommendation in asking:
        result, memory = recommendation.results[0], recommendation.memory
        if is_proportional(result) or memory.breach is None or result.judgement.replica_factor is not None:
            continue
        again = memory.scaled is not None and memory.scaled >= memory.breach
        ineffective = (
            memory.ineffective + _without_effect(recommendation, context) if again and not _lacks_pods(context) else 0
        )
        found[recommendation.rule.name] = replace(memory, scaled_value=result.judgement.value, ineffective=ineffective)
    return found


def plan_fallback(context: ScalingContext) -> tuple[Command | None, float | None]:
    """Return the step to the fallback if metrics have been missing for long enough, and when that will be."""
    policy, target, missing_since = context.policy, context.target, context.metrics_missing_since
    wanted = policy.fallback.replicas
    if wanted is None or missing_since is None:
        return None, None
    due = missing_since + policy.fallback.after
    if context.now < due:
        return None, due
    size = current_size(target)
    to = at_most_maximum(wanted, policy, target)
    if to <= size:
        return None, None
    missing = format_duration(round(context.now - missing_since))
    message = f"no metrics for {missing}: fallback of {wanted} pods, {size} → {to} pods"
    return Command(Verb.SCALE_UP, "Fallback", message, from_=size, to=to, via=via(target)), None


def _command(asking: list[tuple[int, Recommendation]], target: TargetState, size: int, limit: int) -> Command:
    asking.sort(key=lambda ask: -ask[0])
    wanted = asking[0][0]
    to = min(wanted, limit)
    capped = f" (the maximum; {wanted} were requested)" if wanted > limit else ""
    return Command(
        Verb.SCALE_UP,
        "RuleBreached",
        f"{'; '.join(r.description for _, r in asking)}: {size} → {to} pods{capped}",
        tuple(r.rule.name for _, r in asking),
        from_=size,
        to=to,
        via=via(target),
    )


def _at_maximum(recommendation: Recommendation, target: TargetState, limit: int) -> Notice:
    message = f"{recommendation.description}, but {target.name} is already at its maximum of {limit} pods"
    return Notice(AT_MAXIMUM, "AtMaximum", message, warning=True)
