"""Converts Canaries and MetricTemplates of Flagger: https://docs.flagger.app/usage/metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from resilience_operator.api.quantities import format_duration
from resilience_operator.cli.convert.builder import Json, plain
from resilience_operator.cli.convert.guards import (
    GuardBuilder,
    condition,
    count,
    duration,
    mapping,
    usable_query,
)
from resilience_operator.cli.convert.reader import TrackingReader

FAMILIES = {
    "istio": "istio", "linkerd": "linkerd", "gatewayapi:linkerd": "linkerd", "nginx": "nginx-ingress",
    "traefik": "traefik", "contour": "envoy", "gloo": "envoy", "kuma": "envoy", "osm": "envoy",
    "gatewayapi:istio": "istio", "gatewayapi:v1:istio": "istio", "kubernetes": "http-generic",
}  # fmt: skip
"""The preset family of a provider."""
_VARIABLE = re.compile(r"\{\{-?\s*([\w.]+)\s*-?\}\}")
_HALT = 10
"""Flagger's default of `threshold`: failed checks."""
_LOST = {
    "webhooks": "gates, load tests and other hooks have no counterpart",
    "alerts": "configure a notifier of the operator",
    "match": "A/B tests shift traffic, which the operator does not",
    "mirror": "mirroring shifts traffic, which the operator does not",
}
_TRAFFIC = ("maxWeight", "stepWeight", "stepWeights", "stepWeightPromotion", "iterations", "mirrorWeight",
            "primaryReadyThreshold", "canaryReadyThreshold", "sessionAffinity")  # fmt: skip

Templates = Mapping[tuple[str, str], Mapping[str, Any]]
"""MetricTemplates by namespace and name."""


def convert_canary(spec: TrackingReader, metadata: Json, templates: Templates) -> Json:
    """Convert a Canary. The rules are empty if no metric could be converted."""
    target = spec.inside("targetRef")
    reference = {
        "apiVersion": str(target.take("apiVersion", "apps/v1")),
        "kind": str(target.take("kind", "Deployment")),
        "name": str(target.take("name", "")),
    }
    if reference["kind"] not in ("Deployment", "DaemonSet"):
        target.add_note(f"a {reference['kind']} cannot be rolled back by the operator", "kind", lost=True)
    provider = str(spec.take("provider", ""))
    family = FAMILIES.get(provider, "")
    if not family:
        spec.add_note(
            f"the provider {provider or '(default of Flagger)'} has no preset family that is known: set "
            "metricSource.preset",
            "provider",
        )
    service = spec.content.get("service")
    for key in ("service", "ingressRef", "routeRef", "upstreamRef", "gatewayRefs", "metricsServer"):
        spec.drop(key, "not used: the operator shifts no traffic and has its own metric source")
    spec.drop("autoscalerRef", "convert the autoscaler itself, and put its rules into the same policy")
    spec.drop("progressDeadlineSeconds", "not used: see release.failOnProgressDeadline")
    spec.drop("revertOnDeletion", "not used: deleting a policy changes nothing")
    mode = "Suspended" if spec.take("suspend") or spec.take("skipAnalysis") else "DryRun"
    draft = GuardBuilder()
    for key in ("analysis", "canaryAnalysis"):
        if spec.content.get(key):
            analysis = spec.inside(key)
            names = {
                "name": str(metadata.get("name", "")),
                "service": str(mapping(service).get("name") or reference["name"]),
                "ingress": str(mapping(spec.content.get("ingressRef")).get("name") or ""),
                "route": str(mapping(spec.content.get("routeRef")).get("name") or ""),
            }
            _analysis(analysis, draft, names, str(metadata.get("namespace") or ""), templates)
    return draft.policy(metadata, reference, family=family, mode=mode)


def _analysis(
    analysis: TrackingReader, draft: GuardBuilder, names: Mapping[str, str], namespace: str, templates: Templates
) -> None:
    interval, failures = duration(analysis, "interval", 60.0), count(analysis, "threshold", _HALT)
    hold = interval * max(failures - 1, 0)
    draft.intervals.append(interval)
    if hold:
        analysis.add_note(
            f"{failures} failed checks, in a row or not, fail the canary; a rule needs a breach without interruption "
            f"for {format_duration(hold)}",
            "threshold",
        )
    for key, text in _LOST.items():
        analysis.drop(key, text, lost=True)
    for key in _TRAFFIC:
        analysis.drop(key, "not used: the operator judges the rolling update and shifts no traffic")
    for metric in analysis.each("metrics"):
        _metric(metric, draft, hold, names, (namespace, templates))


def _metric(
    metric: TrackingReader,
    draft: GuardBuilder,
    hold: float,
    names: Mapping[str, str],
    where: tuple[str, Templates],
) -> None:
    name, window = str(metric.take("name", "metric")), duration(metric, "interval", 60.0)
    bounds = metric.inside("thresholdRange")
    limits = {key: bounds.take(key) for key in ("min", "max")}
    old = metric.take("threshold")  # deprecated in favour of thresholdRange
    if old is not None and limits == {"min": None, "max": None}:
        limits["min" if name == "request-success-rate" else "max"] = old
    numbers: dict[str, float] = {}
    for key, value in limits.items():
        if value is not None:
            try:
                numbers[key] = float(value)
            except (TypeError, ValueError):
                bounds.add_note(f"{value} is not a number", key, lost=True)
    if name in ("request-success-rate", "request-duration") and "templateRef" not in metric.content:
        _built_in(metric, draft, name, numbers, window, hold)
        return
    query = _query(metric, names, *where)
    if query is None:
        return
    if not numbers or min(numbers.values()) < 0:
        metric.add_note("has no threshold that is a number of 0 or more", lost=True)
        return
    signal = draft.signal(name, query, window=format_duration(window) if "{{window}}" in query else "")
    sides = [condition(signal, "below" if key == "min" else "above", value, hold) for key, value in numbers.items()]
    draft.rule(f"{signal}-fails", sides)


def _built_in(
    metric: TrackingReader, draft: GuardBuilder, name: str, numbers: Mapping[str, float], window: float, hold: float
) -> None:
    """The success rate in percent, or the P99 in milliseconds."""
    rate = name == "request-success-rate"
    value = numbers.get("min" if rate else "max")
    if value is None or value < 0 or (rate and value > 100):
        metric.add_note(f"needs thresholdRange.{'min from 0 to 100' if rate else 'max'}", "thresholdRange", lost=True)
        return
    if set(numbers) - {"min" if rate else "max"}:
        metric.add_note("only the bound for a worse service is converted", "thresholdRange", lost=True)
    signal = "error-rate" if rate else "latency-p99"
    draft.signals.append({"name": signal, "preset": signal, "window": format_duration(window)})
    bound = f"{plain(round(100 - value, 6))}%" if rate else f"{plain(value)}ms"
    draft.rule(f"{signal}-fails", [condition(signal, "above", bound, hold)])


def _query(metric: TrackingReader, names: Mapping[str, str], namespace: str, templates: Templates) -> str | None:
    """The query of a metric, of its own or of its MetricTemplate, with the operator's placeholders."""
    reference = metric.inside("templateRef")
    template, inline = str(reference.take("name", "")), str(metric.take("query", ""))
    place = str(reference.take("namespace") or namespace)
    variables = mapping(metric.take("templateVariables", {}))
    query = inline
    if template:
        found = templates.get((place, template)) or templates.get(("", template))
        if found is None:
            metric.add_note(f"MetricTemplate {template} is not in the input: pass it, too", "templateRef", lost=True)
            return None
        spec = mapping(found.get("spec"))
        kind = mapping(spec.get("provider")).get("type")
        if kind != "prometheus":
            metric.add_note(f"the provider {kind} of {template} cannot be converted: only prometheus", lost=True)
            return None
        metric.add_note(
            f"a policy contains no URL: configure the address of MetricTemplate {template} as the operator's default "
            "metric source, or select another one with metricSource.name",
            "templateRef",
        )
        query = str(spec.get("query") or "")
    query = _VARIABLE.sub(lambda v: _value(v, names, variables), query.strip())
    return query if usable_query(metric, query, "templateRef" if template else "query") else None


def _value(variable: re.Match[str], names: Mapping[str, str], variables: Json) -> str:
    """The value of a template variable. Left as it is if there is none."""
    name = variable[1]
    ours = {"namespace": "{{namespace}}", "target": "{{name}}", "interval": "{{window}}"}
    if name in ours:
        return ours[name]
    kind, _, key = name.partition(".")
    value = variables.get(key) if kind == "variables" else names.get(name)
    return str(value) if value else variable[0]
