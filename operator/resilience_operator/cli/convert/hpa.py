"""Converts a HorizontalPodAutoscaler (autoscaling/v2) to a policy."""

from __future__ import annotations

from resilience_operator.cli.convert.behavior import convert_behavior
from resilience_operator.cli.convert.builder import Json, PolicyBuilder
from resilience_operator.cli.convert.metrics import convert_metric
from resilience_operator.cli.convert.reader import TrackingReader

ALWAYS = (
    "{1}Compare its decisions with those of the {0}; then delete the {0} and set mode: Enforce. While both exist, the "
    "operator changes only the minReplicas of the HPA, never the replicas",
    "an HPA acts when it is more than 10% off its target. A rule acts above its threshold; the policy scales down one "
    "step at a time while signals are stable, unless fewer pods would cross a threshold again",
)
"""Notes on every converted autoscaler. {0}: its kind. {1}: the mode of the policy."""


def convert_hpa(spec: TrackingReader, metadata: Json) -> Json:
    """Convert it. The rules are empty if no metric could be converted."""
    draft = PolicyBuilder()
    target = spec.inside("scaleTargetRef")
    reference = {key: target.take(key, "") for key in ("apiVersion", "kind", "name")}
    lowest, highest = int(spec.take("minReplicas", 1)), int(spec.take("maxReplicas", 1))
    scale_down = convert_behavior(spec.inside("behavior"), draft)
    if lowest == 0:
        spec.add_note("scaling to or from zero is not supported: the minimum is 1", "minReplicas")
    metrics = spec.each("metrics")
    for metric in metrics:
        convert_metric(metric, draft)
    if not metrics:
        draft.add_rule("cpu", "80%")
        spec.add_note("an HPA without metrics targets 80% of the requested CPU", "metrics")
    return draft.policy(
        metadata,
        {
            "targetRef": reference,
            "mode": "DryRun",
            "replicas": {"min": max(lowest, 1), "max": highest},
            "scaleDown": scale_down,
        },
    )
