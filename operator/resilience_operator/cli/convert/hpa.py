"""A HorizontalPodAutoscaler (autoscaling/v2) as a policy."""

from __future__ import annotations

from resilience_operator.cli.convert.behavior import convert_behavior
from resilience_operator.cli.convert.builder import Json, PolicyBuilder
from resilience_operator.cli.convert.metrics import convert_metric
from resilience_operator.cli.convert.reader import TrackingReader

ALWAYS = (
    "the policy only rehearses (mode DryRun). Compare what it tells with what the {0} does; then delete the {0} and "
    "set mode: Enforce. While both are there, the operator moves the minReplicas of the HPA and never the replicas",
    "an HPA acts beyond 10 % off its target, up and down; a rule acts above its threshold, and pods are given back one "
    "step after each time of calm, when the fewer pods would not cross it again",
)
"""What is so for every autoscaler that is converted."""


def convert_hpa(spec: TrackingReader, metadata: Json) -> Json:
    """The policy; its rules are empty where no metric could be converted."""
    draft = PolicyBuilder()
    target = spec.inside("scaleTargetRef")
    reference = {key: target.take(key, "") for key in ("apiVersion", "kind", "name")}
    lowest, highest = int(spec.take("minReplicas", 1)), int(spec.take("maxReplicas", 1))
    scale_down = convert_behavior(spec.inside("behavior"), draft)
    if lowest == 0:
        spec.add_note("nothing is scaled to zero or from zero here: the least is 1", "minReplicas")
    metrics = spec.each("metrics")
    for metric in metrics:
        convert_metric(metric, draft)
    if not metrics:
        draft.add_rule("cpu", "80%")
        spec.add_note("without metrics an HPA takes 80 % of the requested CPU", "metrics")
    return draft.policy(
        metadata,
        {
            "targetRef": reference,
            "mode": "DryRun",
            "replicas": {"min": max(lowest, 1), "max": highest},
            "scaleDown": scale_down,
        },
    )
