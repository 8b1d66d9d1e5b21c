"""What one evaluation found, for people: each rule and each signal, with the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from resilience_operator.api.quantities import format_duration, format_value
from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.model.memory import Verdict
from resilience_operator.decision.model.policy import Condition, Rule


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule, for people: verdict, since when, its readings, and why it did not act though it might have."""

    rule: Rule
    verdict: Verdict
    results: tuple[ConditionResult, ...]
    release_verdict: Verdict | None = None
    note: str = ""

    @property
    def since(self) -> float:
        """When the last of its conditions became what it is, seconds since the epoch."""
        return max(r.timer.since for r in self.results)

    @property
    def description(self) -> str:
        """Its numbers."""
        return describe(self.rule, self.results)


@dataclass(frozen=True, slots=True)
class SignalReport:
    """One signal, for people: its value (None when unknown), the strongest verdict that rests on it, and why."""

    name: str
    unit: str
    value: float | None
    verdict: Verdict
    since: float
    reason: str
    message: str


def describe(rule: Rule, readings: Sequence[ConditionResult]) -> str:
    """One sentence with the numbers: `cpu is 85% (above 70% for 2m)`."""
    return (" or " if rule.any_of else " and ").join(map(_describe_one, readings))


def _describe_one(reading: ConditionResult) -> str:
    condition, judgement, unit = reading.condition, reading.judgement, reading.signal.unit
    bound, hold = _bound(condition, unit)
    if judgement.value is None or judgement.crossed is None:
        return judgement.message or f"{condition.signal} is unknown ({judgement.reason})"
    if judgement.crossed:
        more = f", {judgement.message}" if judgement.message else ""
        return f"{condition.signal} is {format_value(judgement.value, unit)}{more} ({bound}{hold})"
    return judgement.message or f"{condition.signal} is {format_value(judgement.value, unit)} (not {bound})"


@lru_cache(maxsize=4096)
def _bound(condition: Condition, unit: str) -> tuple[str, str]:
    """`above 70%` and ` for 2m`: the same at every evaluation."""
    bound = f"{'above' if condition.above else 'below'} {format_value(condition.threshold, unit)}"
    return bound, f" for {format_duration(condition.hold)}" if condition.hold else ""


def with_notes(reports: Sequence[RuleReport], notes: Mapping[str, str]) -> Sequence[RuleReport]:
    """The reports, with why a rule did not act."""
    if not notes:
        return reports
    return [replace(r, note=notes[r.rule.name]) if r.rule.name in notes else r for r in reports]


_STRENGTH = {Verdict.BREACH: 3, Verdict.UNKNOWN: 2, Verdict.PENDING: 1, Verdict.OK: 0}


def signal_reports(reports: Sequence[RuleReport]) -> tuple[SignalReport, ...]:
    """Each signal with the strongest verdict that rests on it."""
    best: dict[str, ConditionResult] = {}
    for report in reports:
        for reading in report.results:
            name = reading.condition.signal
            if name not in best or _STRENGTH[reading.timer.verdict] > _STRENGTH[best[name].timer.verdict]:
                best[name] = reading
    return tuple([_signal_report(reading) for reading in best.values()])


def _signal_report(reading: ConditionResult) -> SignalReport:
    signal, judgement, timer = reading.signal, reading.judgement, reading.timer
    return SignalReport(
        signal.name,
        signal.unit,
        judgement.value,
        timer.verdict,
        timer.since,
        judgement.reason,
        judgement.message,
    )
