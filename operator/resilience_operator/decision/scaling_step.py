"""Scales the target by one evaluation: the recommendations of its rules, and the step that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resilience_operator.decision.analysis.rules import RuleEvaluation
from resilience_operator.decision.context import EvaluationContext
from resilience_operator.decision.release.attribution import suppress
from resilience_operator.decision.release_step import ReleaseStep
from resilience_operator.decision.scaling.dependencies import dependency_states
from resilience_operator.decision.scaling.plan import ScalingPlan, plan_scaling
from resilience_operator.decision.scaling.recommendation import QUIET, Recommendation, ScalingContext
from resilience_operator.decision.scaling.withhold import withhold


@dataclass(slots=True)
class ScalingStep:
    """The plan of scaling. metrics_missing_since: since when no rule that scales has had a measurement, or None."""

    plan: ScalingPlan
    metrics_missing_since: float | None


def scale(context: EvaluationContext, evaluations: Sequence[RuleEvaluation], step: ReleaseStep) -> ScalingStep:
    """Plan one scaling step for the recommendations of the rules. step: of the release, which may suppress them."""
    recommendations = [
        Recommendation(e.rule, e.rule.scale_up, e.memory, e.verdict, e.results)
        for e in evaluations
        if e.rule.scale_up is not None
    ]
    if context.canary.revision is not None:
        recommendations = [
            suppress(r, context.signals, context.canary, step.attributed_signals) for r in recommendations
        ]
    missing_since = _metrics_missing_since(context.memory.metrics_missing_since, evaluations, context.now)
    scaling = ScalingContext(
        context.policy, context.target, context.scaling, step.release, recommendations, missing_since, context.now
    )
    if recommendations:
        scaling.overall = {name: o.overall for name, (_, o) in context.signals.items() if o.overall is not None}
    if context.policy.dependencies:
        scaling.dependencies = dependency_states(context.policy.dependencies, context.signals)
    if any(r.rule.follows_load for r in recommendations):
        scaling.rates = _request_rates(context)
    return ScalingStep(withhold(plan_scaling(scaling), context.target, context.reverts, context.now), missing_since)


def _request_rates(context: EvaluationContext) -> dict[float, float]:
    """Return the requests/s of the target by the window over which they were counted."""
    found: dict[float, float] = {}
    for signal, observation in context.signals.values():
        measured = observation.measured
        if signal.counts_requests and measured is not None and measured.samples is not None:
            found.setdefault(signal.window, measured.samples / signal.window)
    return found


def _metrics_missing_since(before: float | None, evaluations: Sequence[RuleEvaluation], now: float) -> float | None:
    """Return since when no rule that scales has had a measurement. If no rule scales, all rules count.

    Signals from the API server do not count: they are available even when metrics are missing. No requests, or too few,
    are a measurement: the source answers.
    """
    scaling = [e for e in evaluations if e.rule.scale_up is not None]
    for some in (scaling, evaluations):
        missing = False
        for evaluation in some:
            for result in evaluation.results:
                if not result.signal.metered:
                    continue
                if result.judgement.value is not None or result.judgement.reason in QUIET:
                    return None
                missing = True
        if missing:
            return now if before is None else min(before, now)
    return None
