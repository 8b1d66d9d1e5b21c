"""Warnings of `lint`: policies that are valid, and hardly mean what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from resilience_operator.api.quantities import Unit
from resilience_operator.api.rules import Condition, Rule
from resilience_operator.api.signals import Signal, unit_of_preset
from resilience_operator.api.spec import PolicySpec
from resilience_operator.decision.model.compile import signals_of


def warnings(spec: PolicySpec) -> Iterator[tuple[str, str]]:
    """Path and message of each warning."""
    signals = {signal.name: signal for signal in signals_of(spec)}
    for number, rule in enumerate(spec.rules):
        for path, condition in _located(number, rule):
            yield from _ratio_out_of_range(path, condition, signals)
            yield from _total_as_target(path, rule, condition, signals)


def _located(number: int, rule: Rule) -> Iterator[tuple[str, Condition]]:
    where, when = f"spec.rules[{number}].when", rule.when
    if when.signal is not None:
        yield where, when.conditions[0]
        return
    kind = "all" if when.all is not None else "any"
    for index, condition in enumerate(when.conditions):
        yield f"{where}.{kind}[{index}]", condition


def _unit(signal: Signal) -> Unit:
    return signal.unit or unit_of_preset(signal.preset or "")


def _ratio_out_of_range(path: str, condition: Condition, signals: Mapping[str, Signal]) -> Iterator[tuple[str, str]]:
    """A ratio that can hardly be reached, like `above: 70` for 70 %."""
    threshold, signal = condition.above or condition.below, signals[condition.signal]
    if threshold is None or _unit(signal) is not Unit.RATIO:
        return
    where = f"{path}.{'above' if condition.above is not None else 'below'}"
    # The error rate is at most 100 %, so that it is never above it. CPU may be above its request.
    never = signal.preset == "error-rate" and condition.above is not None and threshold.value >= 1
    if never or threshold.value > 10:
        percent = threshold.value * 100
        meant = f"write {threshold.value:g}% if that is meant" if threshold.unit is not Unit.RATIO else "is it meant?"
        yield where, f"{condition.signal} is a ratio, and {threshold} is {percent:g}%: {meant}"


def _total_as_target(
    path: str, rule: Rule, condition: Condition, signals: Mapping[str, Signal]
) -> Iterator[tuple[str, str]]:
    """`toTarget` on a number that does not fall when pods are added, which scales to the maximum."""
    signal = signals[condition.signal]
    to_target = any(action.scale_up is not None and action.scale_up.to_target for action in rule.then)
    if to_target and signal.query is not None and signal.of is None and _unit(signal) is Unit.NUMBER:
        yield (
            f"{path}.signal",
            f"toTarget needs a value per pod: if the query of {condition.signal} returns a total of all pods, such as "
            "the length of a queue, set of: total on the signal; else set of: perPod",
        )
