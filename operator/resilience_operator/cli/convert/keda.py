"""Converts a KEDA ScaledObject (keda.sh/v1alpha1) to a policy."""

from __future__ import annotations

from resilience_operator.cli.convert.behavior import convert_behavior
from resilience_operator.cli.convert.builder import Json, PolicyBuilder, plain
from resilience_operator.cli.convert.metrics import is_promql, resource
from resilience_operator.cli.convert.reader import TrackingReader

PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
POLLING, MOST = 30, 100
"""KEDA's defaults: seconds, replicas."""


def convert_scaled_object(spec: TrackingReader, metadata: Json, annotations: TrackingReader) -> Json:
    """Convert it. The rules are empty if no trigger could be converted."""
    draft = PolicyBuilder()
    target = spec.inside("scaleTargetRef")
    reference = {
        "apiVersion": target.take("apiVersion", "apps/v1"),
        "kind": target.take("kind", "Deployment"),
        "name": target.take("name", ""),
    }
    target.drop("envSourceContainerName", "not used: no trigger reads environment variables of the target")
    lowest, highest = int(spec.take("minReplicaCount", 0)), int(spec.take("maxReplicaCount", MOST))
    if lowest == 0 or spec.take("idleReplicaCount") is not None:
        spec.add_note("scaling to or from zero and idling are not supported: the minimum is 1", "minReplicaCount")
    polling = int(spec.take("pollingInterval", POLLING))
    interval = min(max(polling, 5), 600)
    if interval != polling:
        spec.add_note(f"the interval must be 5s to 10m: {interval}s is used", "pollingInterval")
    spec.drop("cooldownPeriod", "not used: it applies only to scaling to zero")
    spec.drop("initialCooldownPeriod", "not used: it applies only to scaling to zero")
    advanced = spec.inside("advanced")
    scaler = advanced.inside("horizontalPodAutoscalerConfig")
    scaler.drop("name", "not used: no HPA is created")
    scale_down = convert_behavior(scaler.inside("behavior"), draft)
    advanced.drop("restoreToOriginalReplicaCount", "not used: the replicas stay as they are when the policy is deleted")
    advanced.drop(
        "scalingModifiers", "a formula over triggers cannot be converted: each trigger becomes a rule", lost=True
    )
    fallback = _fallback(spec.inside("fallback"), polling) if spec.content.get("fallback") else {}
    for trigger in spec.each("triggers"):
        _trigger(trigger, draft)
    mode = "DryRun"
    if any(annotations.content.get(key) not in (None, "false") for key in PAUSED):
        mode = "Suspended"
        annotations.add_note(
            "the ScaledObject is paused, so the mode is Suspended; a number of replicas to keep is not converted"
        )
    spec_before = {
        "targetRef": reference,
        "mode": mode,
        "interval": f"{interval}s",
        "replicas": {"min": max(lowest, 1), "max": highest},
        "scaleDown": scale_down,
        **fallback,
    }
    return draft.policy(metadata, spec_before)


def _fallback(fallback: TrackingReader, polling: int) -> Json:
    failures, replicas = int(fallback.take("failureThreshold", 3)), int(fallback.take("replicas", 1))
    fallback.drop("behavior", "not used: a fallback never lowers the replicas")
    fallback.add_note("the fallback only raises the replicas, and only when no signal of the rules has a value")
    return {"fallback": {"after": f"{failures * polling}s", "replicas": max(replicas, 1)}}


def _trigger(trigger: TrackingReader, draft: PolicyBuilder) -> None:
    kind, metadata = str(trigger.take("type", "")), trigger.inside("metadata")
    name, metric_type = str(trigger.take("name", "")), str(trigger.take("metricType", "AverageValue"))
    trigger.drop("useCachedMetrics", "not used: query results are always shared between policies")
    match kind:
        case "prometheus":
            trigger.drop(
                "authenticationRef",
                "credentials belong in the metric source of the operator's configuration",
                lost=False,
            )
            _prometheus(metadata, draft, name, metric_type)
        case "cpu" | "memory":
            container = str(metadata.take("containerName", ""))
            old = metadata.take("type")  # deprecated by KEDA in favour of metricType
            resource(metadata, draft, kind, container, str(old or metric_type), metadata.take("value"))
        case _:
            for key in (*metadata.content, "authenticationRef"):
                (metadata if key in metadata.content else trigger).take(key)
            recipe = (
                " such as `hour() >= bool 8`, which is 1 from 8:00 UTC on, and a rule on it" if kind == "cron" else ""
            )
            trigger.add_note(
                f"a trigger of type {kind or '(none)'} cannot be converted: add a signal with a custom query{recipe}",
                lost=True,
            )


def _prometheus(metadata: TrackingReader, draft: PolicyBuilder, name: str, metric_type: str) -> None:
    query, address = str(metadata.take("query", "")).strip(), metadata.take("serverAddress")
    metadata.take("metricName")  # deprecated by KEDA, and only a name
    metadata.add_note(
        f"a policy contains no URL: configure {address or 'the server'} as the operator's default metric source, or "
        "select another one with metricSource.name",
        "serverAddress",
    )
    metadata.drop("activationThreshold", "not used: it applies only while scaled to zero")
    for key in ("namespace", "customHeaders", "queryParameters", "unsafeSsl", "timeout", "cortexOrgID", "authModes"):
        metadata.drop(key, "belongs in the metric source of the operator's configuration")
    if str(metadata.take("ignoreNullValues", "true")).lower() == "true":
        metadata.add_note("an empty result is Unknown, never 0, and does not cause scaling", "ignoreNullValues")
    try:
        threshold = float(metadata.take("threshold", ""))
    except ValueError:
        threshold = 0.0
    if threshold <= 0 or not query:
        metadata.add_note("the query or threshold is missing, or the threshold is not a positive number", lost=True)
        return
    if not is_promql(query):
        metadata.add_note("the query is not valid PromQL: add a signal with a corrected query", "query", lost=True)
        return
    total = metric_type == "AverageValue"
    if total:
        metadata.add_note("the threshold is per pod, so the signal is a total (of: total)", "threshold")
    draft.add_rule(name or "prometheus", plain(threshold), query=query, total=total)
