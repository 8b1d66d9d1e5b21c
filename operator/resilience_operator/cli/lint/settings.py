"""Settings that the operator accepts, and that hardly do what is meant."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from resilience_operator.api.quantities import Unit, format_duration
from resilience_operator.api.rules import Condition, Rule
from resilience_operator.api.signals import ZONE_LOST, Signal, look_back
from resilience_operator.api.spec import PolicySpec, interval_of
from resilience_operator.cli.lint.finding import Finding
from resilience_operator.cli.lint.thresholds import located_conditions, unit_of
from resilience_operator.decision.model.compile import signals_of
from resilience_operator.signals.presets.models import Families, load_families
from resilience_operator.signals.query.template import placeholders

SHORTEST_WINDOW = 30.0
"""Seconds. A rate needs two scrapes in its window, and Prometheus scrapes every 15 s or more seldom by default."""


def setting_findings(spec: PolicySpec) -> Iterator[Finding]:
    """Findings on signals, windows, replicas and the metric source."""
    yield from _source(spec)
    used = {condition.signal for rule in spec.rules for condition in rule.when.conditions}
    used.update(dependency.signal for dependency in spec.dependencies)
    for number, signal in enumerate(spec.signals):
        where = f"spec.signals[{number}]"
        if signal.name not in used:
            yield Finding(f"{where}.name", f"no rule uses {signal.name}: remove it, or add a rule", True)
        yield from _window(where, signal, spec)
    yield from _bounds(spec)
    yield from _approvals(spec)
    signals = {signal.name: signal for signal in signals_of(spec)}
    for number, rule in enumerate(spec.rules):
        for path, condition in located_conditions(number, rule):
            if condition.signal in signals:
                yield from _total_as_target(path, rule, condition, signals[condition.signal])


@cache
def _families() -> Families:
    return load_families()


def _source(spec: PolicySpec) -> Iterator[Finding]:
    """The preset family and its presets, as the operator finds them."""
    source = spec.metric_source
    if source.type != "prometheus":
        yield Finding(
            "spec.metricSource.type",
            f"{source.type} is not built in: the operator needs a plugin of this name",
            True,
        )
        return
    families = _families()
    if source.preset not in families.names:
        known = ", ".join(families.names)
        yield Finding("spec.metricSource.preset", f"there is no preset family {source.preset}: use one of {known}")
        return
    for number, signal in enumerate(spec.signals):
        if signal.preset not in (None, ZONE_LOST) and families.find(source.preset, signal.preset or "") is None:
            known = ", ".join((*families.signals(source.preset), ZONE_LOST))
            yield Finding(
                f"spec.signals[{number}].preset",
                f"the preset family {source.preset} has no {signal.preset}: use one of {known}",
            )


def _window(where: str, signal: Signal, spec: PolicySpec) -> Iterator[Finding]:
    given = "window" in signal.model_fields_set
    if signal.query is not None and given:
        texts = (signal.query, signal.samples_query or "")
        if not any("window" in placeholders(text) for text in texts):
            yield Finding(
                f"{where}.window",
                "has no effect: the query does not contain {{window}}. Write it there, like [{{window}}]",
                True,
            )
            return
    if signal.preset == ZONE_LOST or not given:
        return
    window, interval = look_back(signal), interval_of(spec)
    if window < SHORTEST_WINDOW:
        yield Finding(
            f"{where}.window",
            f"a rate needs two scrapes in its window: {format_duration(window)} is enough only if Prometheus scrapes "
            f"the target every {format_duration(window / 2)} or more often",
            True,
        )
    elif window < interval:
        yield Finding(
            f"{where}.window",
            f"is shorter than the interval of {format_duration(interval)}: what happens between two windows is not "
            "measured. Raise the window or lower spec.interval",
            True,
        )


def _bounds(spec: PolicySpec) -> Iterator[Finding]:
    replicas = spec.replicas
    scales = any(action.scale_up is not None for rule in spec.rules for action in rule.then)
    if scales and replicas is not None and replicas.min is not None and replicas.min == replicas.max:
        yield Finding(
            "spec.replicas",
            f"min and max are both {replicas.max}, so that scaleUp has no effect: raise max, or remove scaleUp",
            True,
        )


def _approvals(spec: PolicySpec) -> Iterator[Finding]:
    """Approvals during which a failing release goes on."""
    for number, rule in enumerate(spec.rules):
        pauses = any(action.pause_rollout is not None for action in rule.then)
        for place, action in enumerate(rule.then):
            if action.rollback is not None and action.rollback.approval is not None and not pauses:
                yield Finding(
                    f"spec.rules[{number}].then[{place}].rollback.approval",
                    "the rollout goes on while it waits for an answer: add {pauseRollout: {}} to the rule",
                    True,
                )


def _total_as_target(path: str, rule: Rule, condition: Condition, signal: Signal) -> Iterator[Finding]:
    """`toTarget` on a number that does not fall when pods are added, which scales to the maximum."""
    to_target = any(action.scale_up is not None and action.scale_up.to_target for action in rule.then)
    if to_target and signal.query is not None and signal.of is None and unit_of(signal) is Unit.NUMBER:
        yield Finding(
            f"{path}.signal",
            f"toTarget needs a value per pod: if the query of {condition.signal} returns a total of all pods, such as "
            "the length of a queue, set of: total on the signal; else set of: perPod",
            True,
        )
