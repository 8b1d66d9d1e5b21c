"""The pods that each rule requests: the input of scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.model.memory import ReleaseMemory, RuleMemory, ScalingMemory, Verdict
from resilience_operator.decision.model.policy import Condition, Policy, Rule, ScaleUp, Signal
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.report import describe
from resilience_operator.decision.scaling.bounds import current_size
from resilience_operator.decision.scaling.dependencies import DependencyState
from resilience_operator.decision.scaling.load import (
    BUSY,
    SATURATED,
    current_value,
    is_settling,
    mean_size,
    visible_after,
)
from resilience_operator.decision.scaling.lost import lost_pods

TOLERANCE = 0.1
"""`toTarget` does not scale while the value is within ±10% of the threshold, like the HorizontalPodAutoscaler
by default (kubernetes.io, Horizontal Pod Autoscaling, algorithm details)."""


JUMP = 2 * TOLERANCE
"""Share by which the current usage exceeds the mean of the window in a jump: noise stays within the tolerance."""


@dataclass(slots=True)
class Recommendation:
    """One rule that may scale: its memory, its verdict and the results of its conditions.

    suppressed: the breach is attributed to the release, so it does not scale.
    """

    rule: Rule
    scale_up: ScaleUp
    memory: RuleMemory
    verdict: Verdict
    results: Sequence[ConditionResult]
    suppressed: bool = False

    @property
    def description(self) -> str:
        """The rule's conditions with their values."""
        return describe(self.rule, self.results)


@dataclass(slots=True)
class ScalingContext:
    """The input of scaling. metrics_missing_since: since when no rule that scales has had a measurement.

    overall: by signal, its mean over all pods, if pods have just started and its value leaves these out.
    rates: the requests/s of the target, by the window over which they were counted.
    dependencies: the state of what the target calls, if the policy names it.
    ahead, others: the recommendations that scale on their forecast, and those that do not.
    """

    policy: Policy
    target: TargetState
    scaling: ScalingMemory
    release: ReleaseMemory
    recommendations: Sequence[Recommendation]
    metrics_missing_since: float | None
    now: float
    overall: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[float, float] = field(default_factory=dict)
    dependencies: Sequence[DependencyState] = ()
    ahead: Sequence[Recommendation] = field(init=False)
    others: Sequence[Recommendation] = field(init=False)

    def __post_init__(self) -> None:
        self.ahead = [r for r in self.recommendations if scales_ahead(r)]
        self.others = [r for r in self.recommendations if r not in self.ahead] if self.ahead else self.recommendations


def base_replicas(
    before: RuleMemory, breach: float | None, results: Sequence[ConditionResult], target: TargetState
) -> int | None:
    """Return the replicas at the start of the breach if a signal provides a replica factor; else None."""
    if breach is None:
        return None
    if before.base_replicas is not None:
        return before.base_replicas
    has_factor = any(r.judgement.replica_factor is not None for r in results)
    return current_size(target) if has_factor else None


def serving(target: TargetState) -> int:
    """Return the number of pods that serve load now."""
    return max(min(target.ready, target.replicas), 0)


def started(context: ScalingContext) -> int:
    """Return the number of pods that do not start any more: those that serve, and those that fail."""
    if context.target.ready >= context.target.replicas:
        return max(context.target.replicas, 0)
    ready = serving(context.target)
    return min(context.target.replicas, ready + lost_pods(context.target, context.scaling.load, context.now))


def wanted_replicas(recommendation: Recommendation, context: ScalingContext) -> int:
    """Return the pods that one rule in breach requests. Steps start from the pods that serve load now."""
    target, scale_up = context.target, recommendation.scale_up
    pods = serving(target)
    if scale_up.pods is not None:
        return pods + scale_up.pods
    if scale_up.percent is not None:
        return max(ceil(round(pods * (1 + scale_up.percent / 100), 6)), pods + 1)
    result, base = recommendation.results[0], recommendation.memory.base_replicas
    value, factor = result.judgement.value, result.judgement.replica_factor
    if factor is not None and base is not None:
        # Relative to the replicas at the start of the breach: the current number would compound after each step.
        return ceil(round(base * factor, 6))
    if value is None or result.condition.threshold <= 0:
        return 0
    ratio = value / result.condition.threshold
    if ratio <= 1 + TOLERANCE:
        return 0
    return ceil(round(ratio * _pods_of(result, value, context), 6))


def is_proportional(result: ConditionResult) -> bool:
    """Return whether the value falls in proportion to the pods: no latency, no share of requests, no lost zones."""
    return result.judgement.replica_factor is None and follows_load(result.signal, result.condition)


def follows_load(signal: Signal, condition: Condition) -> bool:
    """Return whether a signal falls in proportion to the pods, and the condition is an upper bound of it."""
    return (
        condition.above
        and condition.threshold > 0
        and signal.unit != "seconds"
        and not signal.min_samples
        and signal.metered
    )


def scales_ahead(recommendation: Recommendation) -> bool:
    """Return whether the rule scales on its forecast: `toTarget` without `for`, on a proportional signal."""
    return recommendation.rule.follows_load and is_proportional(recommendation.results[0])


QUIET = frozenset(("NoTraffic", "TooFewSamples"))
"""Reasons of Unknown of a source that answers: there is little load."""


def is_quiet(recommendation: Recommendation) -> bool:
    """Return whether the rule is only Unknown because there are too few requests."""
    return recommendation.verdict is Verdict.UNKNOWN and all(
        r.judgement.crossed is False or r.judgement.reason in QUIET for r in recommendation.results
    )


def running(target: TargetState) -> int:
    """Return the pods of which CPU is measured: those that exist and are not pending."""
    pods = target.replicas
    if target.pods is None:
        return max(pods, 1)
    if target.create_failure:
        pods = min(pods, sum(not p.terminating for p in target.pods))
    pending = sum(bool(p.unschedulable or (p.waiting and not p.restarts)) for p in target.pods if not p.terminating)
    return max(pods - pending, target.ready, 1)


def load_in_pods(
    recommendations: Sequence[Recommendation], context: ScalingContext
) -> tuple[float | None, ConditionResult | None]:
    """Return the pods at which the highest proportional signal would equal its threshold, and its result.

    None if none of them is measured.
    """
    highest: float | None = None
    leading: ConditionResult | None = None
    for recommendation in recommendations:
        for result in recommendation.results:
            value = result.judgement.value
            if value is None or not is_proportional(result):
                continue
            load = value * _pods_of(result, value, context) / result.condition.threshold
            if highest is None or load > highest:
                highest, leading = load, result
    return highest, leading


def is_measured(recommendations: Sequence[Recommendation]) -> bool:
    """Return whether a proportional signal is measured."""
    return any(r.judgement.value is not None and is_proportional(r) for one in recommendations for r in one.results)


def _pods_of(result: ConditionResult, value: float, context: ScalingContext) -> float:
    """Return the number of pods whose mean is `value`.

    A mean that leaves out pods that have just started is one over the pods that were ready meanwhile. If requests are
    not spread evenly, that is too many, and the mean over all pods tells.
    """
    target, load, now = context.target, context.scaling.load, context.now
    if result.signal.total:
        return max(target.replicas, 1)
    pods = float(running(target))
    overall = context.overall.get(result.signal.name)
    if overall is None and not (result.signal.leaves_out_young and is_settling(load, now)):
        return pods
    ready = mean_size(load, started(context), result.signal.window, now)
    return min(ready, overall * pods / value) if overall is not None and value > 0 else ready


def is_uncertain(result: ConditionResult, context: ScalingContext) -> bool:
    """Return whether the pods have just changed, so that it is not known which of them a mean is of."""
    signal = result.signal
    return is_settling(context.scaling.load, context.now) and not (signal.total or signal.leaves_out_young)


def is_at_limit(leading: ConditionResult, context: ScalingContext) -> bool:
    """Return whether the pods are at their limit: on average over the window, or now while requests are slow.

    If no rule shows whether requests are slow, their usage must have jumped.
    """
    load, value, window = context.scaling.load, leading.judgement.value, leading.signal.window
    if value is None or leading.signal.unit != "ratio" or leading.condition.threshold > SATURATED:
        # A threshold that high says that pods may use more than that.
        return False
    # Pods that fail are measured, and use nothing.
    share = max(started(context), 1) / max(serving(context.target), 1)
    current = share * (value if _shrank(context, window) else current_value(load, value, window, context.now))
    value *= share
    latencies = [r for o in context.recommendations for r in o.results if r.signal.unit == "seconds"]
    if any(r.judgement.crossed for r in latencies):
        return current >= BUSY
    seen = sum(context.now - m.at < visible_after(window) for m in load.means)
    sudden = not latencies and seen > 1 and current > value * (1 + JUMP)
    return current >= SATURATED and (value >= SATURATED or sudden)


def _shrank(context: ScalingContext, window: float) -> bool:
    """Return whether pods were removed within the window: the usage of the others rises by that, and not by load."""
    pods, now = started(context), context.now
    return any(before > pods for at, before in context.scaling.load.sizes if now - at < window)
