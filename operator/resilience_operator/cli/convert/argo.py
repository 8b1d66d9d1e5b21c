"""Converts analyses of Argo Rollouts: https://argo-rollouts.readthedocs.io/en/stable/features/analysis/.

A Rollout that runs AnalysisTemplates becomes one policy with the rules of all of them. A template that no Rollout of
the input uses becomes a policy whose target must be set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from resilience_operator.api.quantities import format_duration
from resilience_operator.cli.convert.builder import Json
from resilience_operator.cli.convert.conditions import ConditionError, failing_bounds
from resilience_operator.cli.convert.guards import (
    GuardBuilder,
    condition,
    count,
    duration,
    mapping,
    usable_query,
)
from resilience_operator.cli.convert.reader import TrackingReader

TEMPLATES = ("AnalysisTemplate", "ClusterAnalysisTemplate")
_ARGUMENT = re.compile(r"\{\{\s*(?:args|inputs)\.([\w.-]+)\s*\}\}")


def template_names(rollout: Mapping[str, Any]) -> list[str]:
    """The names of the templates that a Rollout runs."""
    return list(dict.fromkeys(name for use in _uses(rollout) for name in _named(use)))


def _uses(rollout: Mapping[str, Any]) -> Iterator[Json]:
    """All places where a Rollout runs analyses."""
    strategy = mapping(mapping(rollout.get("spec")).get("strategy"))
    canary, blue_green = mapping(strategy.get("canary")), mapping(strategy.get("blueGreen"))
    steps = canary.get("steps")
    for use in (
        canary.get("analysis"),
        blue_green.get("prePromotionAnalysis"),
        blue_green.get("postPromotionAnalysis"),
        *(mapping(step).get("analysis") for step in (steps if isinstance(steps, list) else ())),
    ):
        if isinstance(use, dict):
            yield use


def _named(use: Json) -> Iterator[str]:
    templates = use.get("templates")
    for template in templates if isinstance(templates, list) else ():
        if isinstance(template, dict) and template.get("templateName"):
            yield str(template["templateName"])


def arguments_of(rollout: Mapping[str, Any], spec: TrackingReader) -> dict[str, str]:
    """The values of arguments that a Rollout passes to its templates. Adds notes for those without a fixed value."""
    metadata = mapping(rollout.get("metadata"))
    found: dict[str, str] = {}
    for use in _uses(rollout):
        arguments = use.get("args")
        for argument in arguments if isinstance(arguments, list) else ():
            if not isinstance(argument, dict):
                continue
            name, given = str(argument.get("name")), mapping(argument.get("valueFrom"))
            path = str(mapping(given.get("fieldRef")).get("fieldPath") or "")
            if argument.get("value") is not None:
                found[name] = str(argument["value"])
            elif (value := _field(metadata, path)) is not None:
                found[name] = value
            elif "podTemplateHashValue" in given:
                spec.add_note(
                    f"argument {name} is the hash of one revision: remove it from the query, and let the query return "
                    "one series per pod, which the operator splits by revision",
                )
    return found


def _field(metadata: Json, path: str) -> str | None:
    """A field of the metadata, such as `metadata.labels['app']`."""
    if path in ("metadata.name", "metadata.namespace"):
        value = metadata.get(path.partition(".")[2])
    elif (match := re.fullmatch(r"metadata\.(labels|annotations)\['?([^'\]]+)'?\]", path)) is not None:
        value = mapping(metadata.get(match[1])).get(match[2])
    else:
        value = None
    return None if value is None else str(value)


def target_of(rollout: Mapping[str, Any], spec: TrackingReader) -> Json:
    """The workload of a Rollout: the one it refers to, or a Deployment of its name."""
    reference = mapping(mapping(rollout.get("spec")).get("workloadRef"))
    name = str(mapping(rollout.get("metadata")).get("name") or "")
    if reference.get("kind") == "Deployment":
        return {"apiVersion": "apps/v1", "kind": "Deployment", "name": str(reference.get("name") or name)}
    spec.add_note(
        f"the target is Deployment {name}: a Rollout cannot be paused and rolled back by the operator, so make it a "
        "Deployment of this name"
    )
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}


def convert_template(spec: TrackingReader, draft: GuardBuilder, given: Mapping[str, str]) -> None:
    """Add the metrics of one template. given: values of its arguments."""
    values = dict(given)
    for argument in spec.each("args"):
        name, default = str(argument.take("name", "")), argument.take("value")
        if default is not None:
            values.setdefault(name, str(default))
        argument.drop("valueFrom", "a value from a Secret or a field cannot be converted", lost=name not in values)
    dry = {str(one.take("metricName")) for one in spec.each("dryRun")}
    spec.drop("measurementRetention", "not used: status.history keeps the last 20 decisions")
    spec.drop("templates", "templates that refer to others cannot be converted: pass those to convert", lost=True)
    for metric in spec.each("metrics"):
        _metric(metric, draft, values, dry)


def _metric(metric: TrackingReader, draft: GuardBuilder, values: Mapping[str, str], dry: Iterable[str]) -> None:
    name = str(metric.take("name", "metric"))
    provider = metric.inside("provider")
    interval, times = duration(metric, "interval"), count(metric, "count", 0)
    limit = count(metric, "failureLimit", 0)
    conditions = {key: str(metric.take(key, "")).strip() for key in ("successCondition", "failureCondition")}
    metric.drop("initialDelay", "not used: analysis begins with the first requests of the new revision")
    for key in ("inconclusiveLimit", "consecutiveErrorLimit", "consecutiveSuccessLimit"):
        metric.drop(key, "not used: without a value, or with too little evidence, nothing is done")
    if "prometheus" not in provider.content:
        kinds = ", ".join(map(str, provider.content)) or "(none)"
        for key in provider.content:
            provider.take(key)
        metric.add_note(f"the provider {kinds} cannot be converted: only prometheus", "provider", lost=True)
        return
    query = _query(provider.inside("prometheus"), values)
    if query is None:
        return
    if name in dry:
        metric.add_note("is in dryRun of the template, and was skipped", lost=True)
        return
    _rule(metric, draft, name, query, conditions, hold=limit * interval)
    if interval:
        draft.intervals.append(interval)
    if interval and times:
        draft.bakes.append(interval * times)
        metric.add_note(f"{times} measurements in {format_duration(interval * times)} become the bake", "count")
    if limit and interval:
        metric.add_note(
            f"{limit} failed measurements are allowed, in a row or not; the rule needs a breach without interruption "
            f"for {format_duration(limit * interval)}",
            "failureLimit",
        )
    elif limit:
        metric.add_note("without an interval there is one measurement, so the limit is not used", "failureLimit")


def _query(prometheus: TrackingReader, values: Mapping[str, str]) -> str | None:
    prometheus.drop(
        "address",
        "a policy contains no URL: configure it as the operator's default metric source, or select another one with "
        "metricSource.name",
    )
    for key in ("authentication", "headers", "insecure", "timeout"):
        prometheus.drop(key, "belongs in the metric source of the operator's configuration")
    prometheus.drop("rangeQuery", "a range query cannot be converted: the last value is used", lost=True)
    query = str(prometheus.take("query", "")).strip()
    # A value is text of the query there, too.
    query = _ARGUMENT.sub(lambda found: values.get(found[1], found[0]), query)
    return query if usable_query(prometheus, query) else None


def _rule(
    metric: TrackingReader, draft: GuardBuilder, name: str, query: str, given: Mapping[str, str], hold: float
) -> None:
    """Add the rule of a metric's failure condition, or of the opposite of its success condition."""
    key = "failureCondition" if given["failureCondition"] else "successCondition"
    if not given[key]:
        metric.add_note("has no condition, so nothing could fail", lost=True)
        return
    try:
        bounds, every, gaps = failing_bounds(given[key], success=key == "successCondition")
    except ConditionError as error:
        metric.add_note(f"cannot be converted: {error}", key, lost=True)
        return
    if given["failureCondition"] and given["successCondition"]:
        metric.add_note("between failure and success nothing is done", "successCondition")
    if gaps:
        metric.add_note("a missing value is Unknown, and nothing is done on it", key)
    metric.add_note("a threshold is crossed above or below it, not at the same value", key)
    signal = draft.signal(name, query)
    draft.rule(f"{signal}-fails", [condition(signal, b.side, b.value, hold) for b in bounds], every=every)
