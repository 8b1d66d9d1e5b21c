"""`history`: formats decisions with their values."""

from __future__ import annotations

from collections.abc import Sequence

from resilience_operator.api.base import format_timestamp, to_epoch
from resilience_operator.api.status import DecisionStatus
from resilience_operator.cli.common.console import Cell
from resilience_operator.cli.common.time_args import age

HEADERS = ("WHEN", "AGE", "ACTION", "CHANGE", "RULE", "REASON", "TRACE", "MESSAGE")
_STYLES = {"rollback": "bold red", "pauseRollout": "bold yellow", "scaleUp": "bold", "scaleDown": "bold"}


def rows(history: Sequence[DecisionStatus], now: float) -> list[list[Cell]]:
    """A row for each decision, newest first. Empty columns are kept."""
    return [_row(decision, now) for decision in history]


def _row(d: DecisionStatus, now: float) -> list[Cell]:
    change = " → ".join(dict.fromkeys(part for part in (d.from_, d.to) if part))
    return [
        Cell(format_timestamp(d.at.replace(microsecond=0)).replace("T", " ")),
        Cell(age(now - to_epoch(d.at))),
        Cell(f"{d.action} (dry run)" if d.dry_run else d.action, "dim" if d.dry_run else _STYLES.get(d.action, "")),
        Cell(change),
        Cell(d.rule or "-"),
        Cell(d.reason),
        Cell(d.trace_id or "-"),
        Cell(d.message),
    ]
