"""Thresholds in a unit that is hardly meant, like `above: 70` for 70%."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from resilience_operator.api.quantities import Threshold, Unit
from resilience_operator.api.rules import Condition, Rule
from resilience_operator.api.signals import BUILT_IN_SIGNALS, ZONE_LOST, Signal, unit_of_preset
from resilience_operator.api.spec import PolicySpec
from resilience_operator.cli.lint.finding import Finding
from resilience_operator.decision.model.compile import signals_of

LARGEST_RATIO = 10.0
"""1,000%: nobody writes a threshold of more. CPU may be above its request, yet hardly ten times."""
LARGEST_LATENCY = 100.0
"""Seconds: a larger number was meant in milliseconds."""


def threshold_findings(spec: PolicySpec) -> Iterator[Finding]:
    """Findings on the thresholds of all rules."""
    signals = {signal.name: signal for signal in signals_of(spec)}
    for number, rule in enumerate(spec.rules):
        for path, condition in located_conditions(number, rule):
            yield from _finding(path, condition, signals)


def located_conditions(number: int, rule: Rule) -> Iterator[tuple[str, Condition]]:
    """The conditions of a rule with their paths."""
    where, when = f"spec.rules[{number}].when", rule.when
    if when.signal is not None:
        yield where, when.conditions[0]
        return
    kind = "all" if when.all is not None else "any"
    for index, condition in enumerate(when.conditions):
        yield f"{where}.{kind}[{index}]", condition


def unit_of(signal: Signal) -> Unit:
    """The unit of a signal."""
    return signal.unit or unit_of_preset(signal.preset or "")


def _finding(path: str, condition: Condition, signals: Mapping[str, Signal]) -> Iterator[Finding]:
    threshold, signal = condition.above or condition.below, signals.get(condition.signal)
    if threshold is None or signal is None:
        return
    bound = "above" if condition.above is not None else "below"
    effect = "is never true" if bound == "above" else "is always true"
    where, plain = f"{path}.{bound}", threshold.unit is Unit.NUMBER
    yield from _zero(where, condition, threshold, signal)
    yield from _without_unit(where, condition, threshold, signal)
    if unit_of(signal) is Unit.RATIO:
        yield from _ratio(where, condition, threshold, signal, effect)
    elif plain and (signal.preset or "").startswith("latency-") and threshold.value >= LARGEST_LATENCY:
        yield Finding(
            where,
            f"{condition.signal} is in seconds, so that this {effect}: write {threshold.value:g}ms if that is meant",
        )


def _zero(where: str, condition: Condition, threshold: Threshold, signal: Signal) -> Iterator[Finding]:
    """A bound of 0 on what is never negative. An error rate above 0 is an error, so it may be meant."""
    name = condition.signal
    if threshold.value != 0 or not (signal.preset in BUILT_IN_SIGNALS or (signal.preset or "").startswith("latency-")):
        return
    if condition.below is not None:
        yield Finding(where, f"{name} is never below 0, so that this is never true: write a larger bound")
    elif signal.preset not in ("error-rate", ZONE_LOST):
        yield Finding(where, f"{name} is above 0 whenever there is load, so that this is nearly always true", True)


def _without_unit(where: str, condition: Condition, threshold: Threshold, signal: Signal) -> Iterator[Finding]:
    """A threshold with a unit on a custom query without one: the values are shown as plain numbers."""
    if signal.query is None or unit_of(signal) is not Unit.NUMBER or threshold.unit is Unit.NUMBER:
        return
    unit = "ratio" if threshold.unit is Unit.RATIO else "seconds"
    yield Finding(
        where,
        f"{condition.signal} is a plain number, and {threshold} is {threshold.value:g}: set unit: {unit} on the signal "
        f"if its query returns {'a ratio' if unit == 'ratio' else 'seconds'}, else write a number",
        True,
    )


def _ratio(where: str, condition: Condition, threshold: Threshold, signal: Signal, effect: str) -> Iterator[Finding]:
    """A ratio out of its range. The error rate is at most 100%, so that it is never above it."""
    whole = 1.0 if signal.preset == "error-rate" else LARGEST_RATIO
    below = condition.below is not None
    value = threshold.value
    if value > whole or (value == whole and signal.preset == "error-rate" and not below):
        written = f"{condition.signal} is a ratio, and {threshold} is {value * 100:g}%"
        if threshold.unit is Unit.RATIO:
            certain = signal.preset == "error-rate"
            yield Finding(
                where, f"{written}: is it meant?" if not certain else f"{written}: this {effect}", not certain
            )
        else:
            yield Finding(where, f"{written}, so that this {effect}: write {value:g}% if that is meant")
