"""Converts the metrics of an HPA to signals and rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from resilience_operator.cli.convert.builder import PolicyBuilder, mine, plain
from resilience_operator.cli.convert.reader import TrackingReader
from resilience_operator.kube.quantities import parse_quantity
from resilience_operator.promql.errors import TemplateError, quoted
from resilience_operator.promql.syntax import parse
from resilience_operator.signals.query.template import regex_literal, with_examples

_USAGE = {
    "cpu": "rate(container_cpu_usage_seconds_total{{{0}}}[{{{{window}}}}])",
    "memory": "container_memory_working_set_bytes{{{0}}}",
}
"""cAdvisor metrics of containers; series of pause containers and cgroup sums have no container name."""

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")

_ADAPTER = (
    "the metrics adapter's rules define this metric; check that the query, which uses a series of the same name, "
    "matches them"
)


def convert_metric(metric: TrackingReader, draft: PolicyBuilder) -> None:
    """Convert one entry of spec.metrics."""
    kind = str(metric.take("type", ""))
    match kind:
        case "Resource" | "ContainerResource":
            inner = metric.inside(kind[0].lower() + kind[1:])
            target = inner.inside("target")
            container = str(inner.take("container", ""))
            resource(inner, draft, str(inner.take("name", "")), container, *target_of(target))
        case "Pods":
            inner = metric.inside("pods")
            name, matchers = _metric(inner)
            _named(inner, draft, name, f"avg(sum by (pod) ({name}{{{mine(*matchers)}}}))", per_pod=False)
        case "Object":
            inner = metric.inside("object")
            described = inner.inside("describedObject")
            described.take("apiVersion")
            about = f'{str(described.take("kind", "")).lower()}="{described.take("name", "")}"'
            name, matchers = _metric(inner)
            where = ", ".join(('namespace="{{namespace}}"', about, *matchers))
            _named(inner, draft, name, f"sum({name}{{{where}}})")
        case "External":
            inner = metric.inside("external")
            name, matchers = _metric(inner)
            _named(inner, draft, name, f"sum({name}{{{', '.join(matchers)}}})")
        case _:
            metric.add_note(f"a metric of type {kind or '(none)'} cannot be converted", lost=True)


def target_of(target: TrackingReader) -> tuple[str, object]:
    """The type and the value of a target."""
    kind = str(target.take("type", ""))
    keys = {"Utilization": "averageUtilization", "AverageValue": "averageValue", "Value": "value"}
    return kind, target.take(keys[kind]) if kind in keys else None


def resource(place: TrackingReader, draft: PolicyBuilder, name: str, container: str, kind: str, value: object) -> None:
    """Convert CPU or memory of the pods, or of one container in each. kind: Utilization or AverageValue."""
    if name not in _USAGE:
        place.add_note(f"the resource {name or '(none)'} cannot be converted: only cpu and memory", lost=True)
        return
    number = _number(place, value)
    if number is None or kind not in ("Utilization", "AverageValue"):
        if number is not None:
            place.add_note(f"a target of type {kind or '(none)'} cannot be converted", lost=True)
        return
    if kind == "Utilization" and name == "cpu" and not container:
        draft.add_rule("cpu", f"{plain(number)}%")
        return
    chosen = mine(f'container="{container}"' if container else 'container!=""')
    used = f"sum by (pod) ({_USAGE[name].format(chosen)})"
    signal = "-".join(part for part in (container, name) if part)
    if kind == "Utilization":
        asked = f'sum by (pod) (kube_pod_container_resource_requests{{{chosen}, resource="{name}"}})'
        draft.add_rule(f"{signal}-use", f"{plain(number)}%", query=f"avg({used} / {asked})", unit="ratio")
        place.add_note(f"{name} is queried from Prometheus (cAdvisor and kube-state-metrics), not from metrics-server")
    else:
        draft.add_rule(f"{signal}-a-pod", plain(number), query=f"avg({used})")
        place.add_note(f"{name} is queried from Prometheus (cAdvisor), not from metrics-server")


def is_promql(query: str) -> bool:
    """Whether a query, with its placeholders filled, is valid PromQL."""
    try:
        parse(with_examples(query))
    except TemplateError:
        return False
    return True


def _metric(inner: TrackingReader) -> tuple[str, list[str]]:
    """The name and label matchers of a metric identifier."""
    metric = inner.inside("metric")
    return str(metric.take("name", "")), list(_matchers(metric.inside("selector")))


def _matchers(selector: TrackingReader) -> Iterator[str]:
    labels = selector.take("matchLabels", {})
    for label, value in labels.items() if isinstance(labels, dict) else ():
        yield f"{label}={quoted(str(value))}"
    for each in selector.each("matchExpressions"):
        label, values = each.take("key", ""), "|".join(regex_literal(str(v)) for v in each.take("values", []))
        match each.take("operator"):
            case "In":
                yield f"{label}=~{quoted(values)}"
            case "NotIn":
                yield f"{label}!~{quoted(values)}"
            case "Exists":
                yield f'{label}!=""'
            case "DoesNotExist":
                yield f'{label}=""'
            case other:
                each.add_note(f"unknown operator {other}", lost=True)


def _named(inner: TrackingReader, draft: PolicyBuilder, name: str, query: str, *, per_pod: bool = True) -> None:
    """Convert a metric of an adapter. per_pod: its AverageValue is a total of all pods."""
    if not _METRIC.fullmatch(name) or not is_promql(query):
        target_of(inner.inside("target"))
        inner.add_note(
            f"the metric {name or '(none)'} or one of its labels is not a name in Prometheus: add a signal with a "
            "query of the series that your exporter makes of it",
            lost=True,
        )
        return
    kind, value = target_of(inner.inside("target"))
    number = _number(inner, value)
    if number is None:
        return
    draft.add_rule(name, plain(number), query=query, total=per_pod and kind == "AverageValue")
    inner.add_note(_ADAPTER)


def _number(place: TrackingReader, value: object) -> float | None:
    try:
        number = parse_quantity(value)
    except (ValueError, TypeError):
        number = 0.0
    if number <= 0:
        place.add_note(f"the target {(value if value is not None else '(none)')} is not a positive number", lost=True)
        return None
    return number
