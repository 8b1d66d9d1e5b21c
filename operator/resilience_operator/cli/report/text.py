"""A report as text: table rows, a JSON document, a summary line."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from resilience_operator.api.base import format_timestamp
from resilience_operator.api.quantities import format_duration
from resilience_operator.cli.common.console import Cell
from resilience_operator.cli.report.model import Kind, RunReport, TimelineEvent
from resilience_operator.decision.model.memory import Verdict

HEADERS = ("WHEN", "WHAT", "CHANGE", "RULE", "WHY")
_STYLES = {Kind.DECISION: "bold", Kind.NOTICE: "", Kind.EVENT: "cyan"}


def when(report: RunReport, at: float) -> str:
    """A time of the report for people: the offset `+20m15s` if times are relative, else date and time in UTC."""
    if report.relative:
        return f"+{format_duration(round(at - report.start))}"
    return format_timestamp(datetime.fromtimestamp(round(at), UTC)).replace("T", " ")


def rows(report: RunReport) -> list[list[Cell]]:
    """One row for each event."""
    return [_row(report, happening) for happening in report.events]


def _row(report: RunReport, h: TimelineEvent) -> list[Cell]:
    style = _STYLES[h.kind]
    if h.warning:
        style = f"{style} {'red' if h.kind is Kind.DECISION else 'yellow'}".strip()
    change = f"{h.from_} → {h.to}" if h.from_ != h.to else h.to
    what = f"({h.action})" if h.kind is Kind.NOTICE else h.action
    return [Cell(when(report, h.at)), Cell(what, style), Cell(change), Cell(h.rule), Cell(h.message)]


def summary(report: RunReport) -> str:
    """The summary of the report in one line."""
    counts = Counter(h.action for h in report.decisions)
    done = ", ".join(f"{count} {action}" for action, count in counts.items()) or "no actions"
    unknown = sum(Verdict.UNKNOWN in sample.verdicts for sample in report.samples)
    sizes = [sample.wanted for sample in report.samples]
    span = format_duration(round(report.end - report.start + report.policy.interval))
    parts = [
        f"{_count(len(report.samples), 'evaluation')} in {span}",
        done,
        f"{min(sizes)} to {max(sizes)} pods" if min(sizes) != max(sizes) else f"{_count(sizes[0], 'pod')} throughout",
    ]
    if unknown:
        parts.append(f"signals unavailable in {unknown / len(report.samples):.1%} of evaluations")
    return f"{report.title}: {'; '.join(parts)}"


def _count(number: int, noun: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def document(report: RunReport) -> dict[str, Any]:
    """The report for scripts. Times are RFC 3339; `offset` is in seconds from the start."""
    return {
        "title": report.title,
        "policy": {"namespace": report.policy.namespace, "name": report.policy.name},
        "from": _timestamp(report.start),
        "to": _timestamp(report.end),
        "interval": format_duration(report.policy.interval),
        "evaluations": len(report.samples),
        "unknown": {
            name: sum(sample.verdicts[i] is Verdict.UNKNOWN for sample in report.samples)
            for i, name in enumerate(report.signals)
        },
        "pods": {
            "min": min(sample.wanted for sample in report.samples),
            "max": max(sample.wanted for sample in report.samples),
        },
        "decisions": [_entry(report, h) for h in report.decisions],
        "notices": [_entry(report, h) for h in report.events if h.kind is Kind.NOTICE],
        "events": [_entry(report, h) for h in report.events if h.kind is Kind.EVENT],
        "phases": _phases(report),
        "notes": list(report.notes),
    }


def _entry(report: RunReport, h: TimelineEvent) -> dict[str, Any]:
    found: dict[str, Any] = {"at": _timestamp(h.at), "offset": round(h.at - report.start, 3), "action": h.action}
    optional = {"rule": h.rule, "from": h.from_, "to": h.to, "reason": h.reason}
    return {**found, **{key: value for key, value in optional.items() if value}, "message": h.message}


def _phases(report: RunReport) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before: tuple[object, object] | None = None
    for sample in report.samples:
        if (now := (sample.phase, sample.revision)) != before:
            before = now
            found.append({"at": _timestamp(sample.at), "phase": sample.phase.value, "revision": sample.revision})
    return found


def _timestamp(at: float) -> str:
    return format_timestamp(datetime.fromtimestamp(at, UTC))
