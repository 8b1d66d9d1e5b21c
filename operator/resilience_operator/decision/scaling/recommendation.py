"""The pods that each rule requests: the input of scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.model.memory import ReleaseMemory, RuleMemory, ScalingMemory, Verdict
from resilience_operator.decision.model.policy import Policy, Rule, ScaleUp
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.report import describe
from resilience_operator.decision.scaling.bounds import current_size

TOLERANCE = 0.1
"""`toTarget` does not scale while the value is within ±10 % of the threshold, like the HorizontalPodAutoscaler
by default (kubernetes.io, Horizontal Pod Autoscaling, algorithm details)."""


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
    """The input of scaling. metrics_missing_since: since when no rule that scales has had a measurement."""

    policy: Policy
    target: TargetState
    scaling: ScalingMemory
    release: ReleaseMemory
    recommendations: Sequence[Recommendation]
    metrics_missing_since: float | None
    now: float


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


def wanted_replicas(recommendation: Recommendation, target: TargetState) -> int:
    """Return the pods that one rule in breach requests. Steps start from the pods that serve load now."""
    pods, scale_up = serving(target), recommendation.scale_up
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
    return ceil(round(pods * ratio, 6))


def is_proportional(result: ConditionResult) -> bool:
    """Return whether the value falls in proportion to the pods: no latency, no share of requests, no lost zones."""
    signal, condition = result.signal, result.condition
    return (
        condition.above
        and condition.threshold > 0
        and signal.unit != "seconds"
        and not signal.min_samples
        and signal.metered
        and result.judgement.replica_factor is None
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


def load_in_pods(recommendations: Sequence[Recommendation], pods: int) -> tuple[float | None, ConditionResult | None]:
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
            load = pods * value / result.condition.threshold
            if highest is None or load > highest:
                highest, leading = load, result
    return highest, leading
