"""An overview of all policies, the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from resilience_operator.api.base import format_timestamp
from resilience_operator.api.status import DecisionStatus, PolicyStatus
from resilience_operator.explain.health import PolicyHealth


@dataclass(frozen=True, slots=True)
class Row:
    """One policy. target: `Deployment/checkout`."""

    namespace: str
    name: str
    mode: str
    target: str
    state: PolicyHealth
    status: PolicyStatus

    @property
    def place(self) -> tuple[int, str, str]:
        """Sort key."""
        return -self.state.weight, self.namespace, self.name


def worst_first(rows: Iterable[Row]) -> list[Row]:
    """Return the rows, the worst first."""
    return sorted(rows, key=lambda row: row.place)


def document(row: Row) -> dict[str, Any]:
    """Return a row as JSON, without unknown values."""
    status, target = row.status, row.status.target
    return without_none(
        {
            "namespace": row.namespace,
            "name": row.name,
            "mode": row.mode,
            "state": row.state.word,
            "why": row.state.why,
            "target": row.target,
            "replicas": target.replicas if target else None,
            "phase": target.phase.value if target and target.phase else None,
            "signals": [
                without_none({"name": s.name, "value": s.value, "verdict": s.verdict.value, "reason": s.reason})
                for s in status.signals
            ],
            "lastDecision": entry(status.last_decision) if status.last_decision else None,
        }
    )


def entry(decision: DecisionStatus) -> dict[str, Any]:
    """Return a decision as JSON, as in the status."""
    found = decision.model_dump(mode="json", exclude_none=True)
    return {**found, "at": format_timestamp(decision.at)}


def without_none(document: dict[str, Any]) -> dict[str, Any]:
    """Return `document` without the keys whose value is None."""
    return {key: value for key, value in document.items() if value is not None}
