"""What one rule asks for, and what scaling is planned from."""

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
"""`toTarget` leaves the target alone within ±10 % of it, as the HorizontalPodAutoscaler does by default
(kubernetes.io, Horizontal Pod Autoscaling, algorithm details)."""


@dataclass(slots=True)
class Recommendation:
    """One rule that may scale: its memory, its verdict and the results of its conditions.

    suppressed: the breach is attributed to the release, so it is no reason to scale.
    """

    rule: Rule
    scale_up: ScaleUp
    memory: RuleMemory
    verdict: Verdict
    results: Sequence[ConditionResult]
    suppressed: bool = False

    @property
    def description(self) -> str:
        """The rule's conditions with their numbers."""
        return describe(self.rule, self.results)


@dataclass(slots=True)
class ScalingContext:
    """What scaling is planned from. metrics_missing_since: since when no rule that scales has had a measurement."""

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
    """Return the replicas when the breach began, where a signal gives a factor of them; else None."""
    if breach is None:
        return None
    if before.base_replicas is not None:
        return before.base_replicas
    has_factor = any(r.judgement.replica_factor is not None for r in results)
    return current_size(target) if has_factor else None


def serving(target: TargetState) -> int:
    """Return the pods that carry load now."""
    return max(min(target.ready, target.replicas), 0)


def wanted_replicas(recommendation: Recommendation, target: TargetState) -> int:
    """Return what one rule asks for. Steps count from the pods that carry load now, not from those still starting."""
    pods, scale_up = serving(target), recommendation.scale_up
    if scale_up.pods is not None:
        return pods + scale_up.pods
    if scale_up.percent is not None:
        return max(ceil(round(pods * (1 + scale_up.percent / 100), 6)), pods + 1)
    result, base = recommendation.results[0], recommendation.memory.base_replicas
    value, factor = result.judgement.value, result.judgement.replica_factor
    if factor is not None and base is not None:
        # Of the pods that there were: of those that there are now, it would ask for more after each step.
        return ceil(round(base * factor, 6))
    if value is None or result.condition.threshold <= 0:
        return 0
    ratio = value / result.condition.threshold
    if ratio <= 1 + TOLERANCE:
        return 0
    return ceil(round(pods * ratio, 6))


def required_replicas(recommendations: Sequence[Recommendation], pods: int) -> float | None:
    """Return the pods at which the strongest signal would be right at its threshold, the load of `pods` being shared.

    None where no signal tells: only what grows with the load does, so conditions with `below` do not.
    """
    required: float | None = None
    for recommendation in recommendations:
        for result in recommendation.results:
            value, threshold = result.judgement.value, result.condition.threshold
            if value is None or threshold <= 0 or not result.condition.above:
                continue
            required = max(required or 0.0, pods * value / threshold)
    return required
