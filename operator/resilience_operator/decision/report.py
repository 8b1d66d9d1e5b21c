"""Human-readable results of one evaluation: each rule and each signal, with values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from resilience_operator.api.quantities import format_duration, format_value
from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.model.memory import Verdict
from resilience_operator.decision.model.policy import Condition, Rule


class SignalReport(NamedTuple):
    """One signal: its value (None if Unknown), its strongest verdict in any rule, and the reason.

    note: how it is measured, if not as the policy says.
    """

    name: str
    unit: str
    value: float | None
    verdict: Verdict
    since: float
    reason: str
    message: str
    note: str = ""


def describe(rule: Rule, results: Sequence[ConditionResult]) -> str:
    """Describe the conditions of a rule with their values: `cpu is 85% (above 70% for 2m)`."""
    return (" or " if rule.any_of else " and ").join(map(_describe_one, results))


def _describe_one(result: ConditionResult) -> str:
    condition, judgement, unit = result.condition, result.judgement, result.signal.unit
    if judgement.value is None or judgement.crossed is None:
        return judgement.message or f"{condition.signal} is unknown ({judgement.reason})"
    if judgement.crossed:
        more = f", {judgement.message}" if judgement.message else ""
        return (
            f"{condition.signal} is {format_value(judgement.value, unit)}{more} ({format_condition(condition, unit)})"
        )
    return (
        judgement.message
        or f"{condition.signal} is {format_value(judgement.value, unit)} (not {format_bound(condition, unit)})"
    )


@lru_cache(maxsize=4096)
def format_bound(condition: Condition, unit: str) -> str:
    """Format the threshold: `above 70%`."""
    if condition.worse_by is not None:
        return f"worse than its baseline by {format_value(condition.worse_by, 'ratio')}"
    return f"{'above' if condition.above else 'below'} {format_value(condition.threshold, unit)}"


@lru_cache(maxsize=4096)
def format_condition(condition: Condition, unit: str) -> str:
    """Format the threshold and the `for`: `above 70% for 2m`."""
    hold = f" for {format_duration(condition.hold)}" if condition.hold else ""
    return format_bound(condition, unit) + hold


_STRENGTH = {Verdict.BREACH: 3, Verdict.UNKNOWN: 2, Verdict.PENDING: 1, Verdict.OK: 0}


def signal_reports(
    results: Iterable[ConditionResult], notes: Mapping[str, str] = MappingProxyType({})
) -> tuple[SignalReport, ...]:
    """Return each signal with its strongest verdict in any rule. notes: of the observations, by signal."""
    best: dict[str, ConditionResult] = {}
    for result in results:
        name = result.condition.signal
        known = best.get(name)
        if known is None or _STRENGTH[result.timer.verdict] > _STRENGTH[known.timer.verdict]:
            best[name] = result
    return tuple([_signal_report(result, notes.get(name, "")) for name, result in best.items()])


def _signal_report(result: ConditionResult, note: str) -> SignalReport:
    signal, judgement, timer = result.signal, result.judgement, result.timer
    return SignalReport(
        signal.name,
        signal.unit,
        judgement.value,
        timer.verdict,
        timer.since,
        judgement.reason,
        judgement.message,
        note,
    )
