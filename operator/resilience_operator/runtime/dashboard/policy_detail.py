"""Detail view of one policy: explanation, numbers and time series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.report import format_condition
from resilience_operator.explain.context import ExplainContext
from resilience_operator.explain.explain import document as explained
from resilience_operator.explain.explain import explain
from resilience_operator.explain.overview import document
from resilience_operator.explain.overview import entry as decided
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, TargetKey
from resilience_operator.runtime.dashboard.row_cache import CachedRow, Owns
from resilience_operator.runtime.telemetry.history import SPAN, EvaluationHistory

Document = dict[str, Any]


@dataclass(slots=True)
class PolicyDetail:
    """Builds the detail document of a policy. target: returns the current target. clock: seconds since the epoch."""

    store: PolicyCache
    owns: Owns
    target: Callable[[TargetKey], TargetState | None]
    clock: Callable[[], float]

    def find(self, namespace: str, name: str) -> PolicyEntry | None:
        """Return the policy with that namespace and name, or None."""
        return next((e for e in self.store if e.namespace == namespace and e.name == name), None)

    def version(self, entry: PolicyEntry) -> object:
        """Return a cheap version key that changes whenever the document would change."""
        acting = self.owns(entry.namespace)
        newest = entry.evaluation_history.newest if entry.evaluation_history is not None else None
        return acting, entry.compiled.generation, newest, id(entry.packed_status)

    def document(self, entry: PolicyEntry) -> Document:
        """Return the whole detail document as JSON data."""
        now, acting = self.clock(), self.owns(entry.namespace)
        cached = CachedRow.of(entry, acting)
        row = cached.row
        found: Document = {
            **document(row),
            "level": row.state.level.value,
            "now": now,
            "acting": acting,
            "decisions": [decided(d) for d in (entry.history.entries if acting else row.status.history)],
            "signals": [],
        }
        if entry.policy is None:
            return found
        current = self.target(entry.target)
        facts = ExplainContext(entry.policy, row.status, entry.memory, current, now, entry.target[0], entry.target[2])
        found["interval"] = entry.policy.interval
        found["explanation"] = explained(explain(facts))
        found["signals"] = _signals(entry.policy, row.status.model_dump(mode="json")["signals"])
        if acting and entry.evaluation_history is not None:
            found["track"] = _history_columns(entry.evaluation_history, now)
        return found


def _signals(policy: Policy, seen: list[Document]) -> list[Document]:
    """List each signal used by a rule: its last reported value, and its thresholds."""
    reported = {s["name"]: s for s in seen}
    found = []
    for name, signal in policy.signals.items():
        thresholds = [
            {
                "rule": rule.name,
                "above": c.above,
                # A comparison with the baseline has no fixed threshold to draw.
                "value": c.threshold if c.worse_by is None else None,
                "text": format_condition(c, signal.unit),
            }
            for rule in policy.rules
            for c in rule.conditions
            if c.signal == name
        ]
        last = reported.get(name, {})
        found.append(
            {
                "name": name,
                "unit": signal.unit,
                "value": last.get("value"),
                "verdict": last.get("verdict", "Unknown"),
                "reason": last.get("reason"),
                "thresholds": thresholds,
            }
        )
    return found


def _history_columns(history: EvaluationHistory, now: float) -> Document:
    """Return the points by column. began: start of the recording, if it is within the span."""
    points = history.points()
    return {
        "span": SPAN,
        "began": history.began if now - history.began < SPAN else None,
        "at": [p.at for p in points],
        "replicas": [p.replicas for p in points],
        "ready": [p.ready for p in points],
        "rehearsed": [p.dry_run_replicas for p in points],
        "phase": [p.phase for p in points],
        "signals": {
            name: {
                "values": [_rounded(p.values[number]) for p in points],
                "verdicts": [p.verdicts[number] for p in points],
            }
            for number, name in enumerate(history.names)
        },
        "marks": [mark._asdict() for mark in history.marks],
    }


def _rounded(value: float | None) -> float | None:
    """Round to six significant digits: enough for a chart, and all that the packed points hold."""
    return None if value is None else float(f"{value:.6g}")
