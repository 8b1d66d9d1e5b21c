"""`status`: formats the table of policies, worst first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from resilience_operator.api.base import to_epoch
from resilience_operator.api.status import DecisionStatus, PolicyStatus, SignalStatus, VerdictName
from resilience_operator.cli.common.console import Cell
from resilience_operator.cli.common.time_args import age
from resilience_operator.explain.health import Level, PolicyHealth, health_of
from resilience_operator.explain.overview import Row, worst_first

HEADERS = ("NAME", "STATE", "TARGET", "PODS", "RELEASE", "SIGNALS", "LAST DECISION", "WHY")

WIDE_HEADERS = ("MODE", "REVISION", "LAST GOOD", "QUARANTINED", "SINCE")
"""Columns of `-o wide`, after the others. SINCE: the age of the newest change of a condition."""

STYLES = {Level.BAD: "bold red", Level.WARNING: "yellow", Level.NOTE: "cyan", Level.GOOD: "green"}
"""The terminal style of each level."""

_SHORT = {"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds"}


def overview(bodies: Iterable[Mapping[str, Any]]) -> list[Row]:
    """A row for each policy, worst first."""
    return worst_first(map(_row, bodies))


def read_status(body: Mapping[str, Any]) -> PolicyStatus | None:
    """Parse the status in a policy's body; None if it is invalid."""
    try:
        return PolicyStatus.model_validate(body.get("status") or {})
    except ValidationError:
        return None


def _row(body: Mapping[str, Any]) -> Row:
    meta, spec = body["metadata"], body.get("spec") or {}
    reference = spec.get("targetRef") or {}
    status = read_status(body)
    state = (
        PolicyHealth("Unreadable", "its status was written by another version of the operator", 100)
        if status is None
        else health_of(status, int(meta.get("generation") or 0))
    )
    return Row(
        meta["namespace"],
        meta["name"],
        str(spec.get("mode") or "Enforce"),
        f"{reference.get('kind', '?')}/{reference.get('name', '?')}",
        state,
        status or PolicyStatus(),
    )


def cells(row: Row, now: float) -> list[Cell]:
    """The table row of a policy."""
    status, target = row.status, row.status.target
    word = row.state.word if row.mode == "Enforce" else f"{row.state.word} ({row.mode})"
    return [
        Cell(row.name),
        Cell(row.state.word if row.mode == "Suspended" else word, STYLES[row.state.level]),
        Cell(_short(row.target)),
        Cell("" if target is None or target.replicas is None else str(target.replicas)),
        Cell("" if target is None or target.phase is None else target.phase.value),
        Cell(", ".join(_signal(s) for s in status.signals)),
        Cell(_last(status.last_decision, now)),
        Cell(row.state.why),
    ]


def wide_cells(row: Row, now: float) -> list[Cell]:
    """The columns of `-o wide`."""
    status, target = row.status, row.status.target
    changed = max((to_epoch(c.last_transition_time) for c in status.conditions), default=None)
    return [
        Cell(row.mode),
        Cell((target.revision if target else None) or ""),
        Cell((target.last_good_revision if target else None) or ""),
        Cell(",".join(one.revision for one in status.quarantined)),
        Cell("" if changed is None else age(now - changed)),
    ]


def _short(target: str) -> str:
    """`deploy/checkout`: the target with the kind's short name in kubectl."""
    kind, _, name = target.partition("/")
    return f"{_SHORT.get(kind, kind.lower())}/{name}"


def _signal(signal: SignalStatus) -> str:
    value = signal.value or "?"
    return f"{signal.name} {value}" if signal.verdict is VerdictName.OK else f"{signal.name} {value} {signal.verdict}"


def _last(decision: DecisionStatus | None, now: float) -> str:
    if decision is None:
        return ""
    mode = " (dry run)" if decision.dry_run else ""
    return f"{decision.action}{mode} {age(now - to_epoch(decision.at))} ago"
