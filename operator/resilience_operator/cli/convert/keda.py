"""A ScaledObject of KEDA (keda.sh/v1alpha1) as a policy."""

from __future__ import annotations

from resilience_operator.cli.convert.behavior import convert_behavior
from resilience_operator.cli.convert.builder import PODS, Json, PolicyBuilder, plain
from resilience_operator.cli.convert.metrics import resource
from resilience_operator.cli.convert.reader import TrackingReader

PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
POLLING, COOLDOWN, MOST = 30, 300, 100
"""KEDA's defaults: seconds, seconds, replicas."""


def convert_scaled_object(spec: TrackingReader, metadata: Json, annotations: TrackingReader) -> Json:
    """The policy; its rules are empty where no trigger could be converted."""
    draft = PolicyBuilder()
    target = spec.inside("scaleTargetRef")
    reference = {
        "apiVersion": target.take("apiVersion", "apps/v1"),
        "kind": target.take("kind", "Deployment"),
        "name": target.take("name", ""),
    }
    target.drop("envSourceContainerName", "no trigger reads variables of the target")
    lowest, highest = int(spec.take("minReplicaCount", 0)), int(spec.take("maxReplicaCount", MOST))
    if lowest == 0 or spec.take("idleReplicaCount") is not None:
        spec.add_note("nothing is scaled to zero or from zero here, and not idled: the least is 1", "minReplicaCount")
    polling = int(spec.take("pollingInterval", POLLING))
    interval = min(max(polling, 5), 600)
    if interval != polling:
        spec.add_note(f"an interval is 5s to 10m: {interval}s", "pollingInterval")
    spec.drop("cooldownPeriod", "only counts before scaling to zero, which there is not")
    spec.drop("initialCooldownPeriod", "only counts before scaling to zero, which there is not")
    advanced = spec.inside("advanced")
    scaler = advanced.inside("horizontalPodAutoscalerConfig")
    scaler.drop("name", "there is no HPA to name")
    scale_down = convert_behavior(scaler.inside("behavior"), draft)
    advanced.drop("restoreToOriginalReplicaCount", "the replicas stay as they are when the policy is deleted")
    advanced.drop(
        "scalingModifiers", "a formula over triggers cannot be converted: each trigger is a rule of its own", lost=True
    )
    fallback = _fallback(spec.inside("fallback"), polling) if spec.content.get("fallback") else {}
    for trigger in spec.each("triggers"):
        _trigger(trigger, draft)
    mode = "DryRun"
    if any(annotations.content.get(key) not in (None, "false") for key in PAUSED):
        mode = "Suspended"
        annotations.add_note("the ScaledObject is paused, so the policy is Suspended; it keeps no number of replicas")
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
    fallback.drop("behavior", "a fallback raises the replicas and never lowers them, whatever the behavior")
    fallback.add_note(
        "pods are only ever raised to the fallback's number, and once none of the rules' signals is known"
    )
    return {"fallback": {"after": f"{failures * polling}s", "replicas": max(replicas, 1)}}


def _trigger(trigger: TrackingReader, draft: PolicyBuilder) -> None:
    kind, metadata = str(trigger.take("type", "")), trigger.inside("metadata")
    name, metric_type = str(trigger.take("name", "")), str(trigger.take("metricType", "AverageValue"))
    trigger.drop("useCachedMetrics", "answers are shared between policies anyhow")
    match kind:
        case "prometheus":
            trigger.drop(
                "authenticationRef",
                "credentials belong to the metric source in the operator's configuration",
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
            trigger.add_note(
                f"a trigger of type {kind or '(none)'} cannot be converted: write a signal with a query of your own",
                lost=True,
            )


def _prometheus(metadata: TrackingReader, draft: PolicyBuilder, name: str, metric_type: str) -> None:
    query, address = str(metadata.take("query", "")).strip(), metadata.take("serverAddress")
    metadata.take("metricName")  # deprecated by KEDA, and only a name
    metadata.add_note(
        f"a policy names no address: {address} must be the default metric source of the operator's configuration, or "
        "one that metricSource.name names",
        "serverAddress",
    )
    metadata.drop("activationThreshold", "only counts while scaled to zero, which there is not")
    for key in ("namespace", "customHeaders", "queryParameters", "unsafeSsl", "timeout", "cortexOrgID", "authModes"):
        metadata.drop(key, "belongs to the metric source in the operator's configuration")
    if str(metadata.take("ignoreNullValues", "true")).lower() == "true":
        metadata.add_note("no answer is Unknown here and never 0: nothing is scaled on its account", "ignoreNullValues")
    try:
        threshold = float(metadata.take("threshold", ""))
    except ValueError:
        threshold = 0.0
    if threshold <= 0 or not query:
        metadata.add_note("query or threshold are missing, or the threshold is no positive number", lost=True)
        return
    if metric_type == "AverageValue":
        metadata.add_note("a threshold a pod: the query is divided by the number of pods", "threshold")
        query = f"({query}) / {PODS}"
    draft.add_rule(name or "prometheus", plain(threshold), query=query)
