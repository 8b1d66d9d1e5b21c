"""Detail view of one policy: explanation, numbers and time series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from resilience_operator.runtime.telemetry.history import SPAN, EvaluationHistory, Marker
from resilience_operator.runtime.telemetry.recorded_history import SPANS, Recorded, RecordedHistory

Document = dict[str, Any]


@dataclass(slots=True)
class PolicyDetail:
    """Builds the detail document of a policy. target: returns the current target. clock: seconds since the epoch.

    recorded: reads what the metric source recorded before.
    """

    store: PolicyCache
    owns: Owns
    target: Callable[[TargetKey], TargetState | None]
    clock: Callable[[], float]
    recorded: RecordedHistory | None = None

    def find(self, namespace: str, name: str) -> PolicyEntry | None:
        """Return the policy with that namespace and name, or None."""
        return next((e for e in self.store if e.namespace == namespace and e.name == name), None)

    def version(self, entry: PolicyEntry, span: float = SPAN) -> object:
        """Return a cheap version key that changes whenever the document would change."""
        acting = self.owns(entry.namespace)
        newest = entry.evaluation_history.newest if entry.evaluation_history is not None else None
        earlier = self._earlier(entry, span) if acting else None
        read = earlier and (id(earlier), earlier.state)
        return acting, entry.compiled.generation, newest, id(entry.packed_status), read

    def document(self, entry: PolicyEntry, span: float = SPAN) -> Document:
        """Return the whole detail document as JSON data. span: seconds that the charts show, one of `SPANS`."""
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
            found["track"] = _history_columns(entry.evaluation_history, now, span, self._earlier(entry, span))
        return found

    def _earlier(self, entry: PolicyEntry, span: float) -> Recorded | None:
        return self.recorded.get(entry, span) if self.recorded is not None else None


def span_of(text: str) -> float:
    """Parse the `hours` of a URL query; the shortest span if it is not one that can be shown."""
    return next((span for span in SPANS if text == f"{span / 3600:g}"), SPAN)


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


def _history_columns(history: EvaluationHistory, now: float, span: float, earlier: Recorded | None) -> Document:
    """Return the points by column: those read from the metric source, then those of this process.

    began: when this process started to record, if it is within the span. recorded: of the points read from the source.
    """
    points = [p for p in history.points() if p.at >= now - span]
    oldest = history.oldest
    assert oldest is not None
    before = _recorded_rows(earlier, now - span, oldest)
    count = len(before)
    return {
        "span": span,
        "began": history.began if now - history.began < span else None,
        "recorded": None if earlier is None else _recorded_state(earlier, count),
        "at": [row.at for row in before] + [p.at for p in points],
        "replicas": [row.replicas for row in before] + [p.replicas for p in points],
        "ready": [row.ready for row in before] + [p.ready for p in points],
        "rehearsed": [None] * count + [p.dry_run_replicas for p in points],
        # Neither phases nor verdicts are recorded.
        "phase": [""] * count + [p.phase for p in points],
        "signals": {
            name: {
                "values": [row.values.get(name) for row in before] + [_rounded(p.values[number]) for p in points],
                "verdicts": [""] * count + [p.verdicts[number] for p in points],
            }
            for number, name in enumerate(history.names)
        },
        "marks": [mark._asdict() for mark in (*_marks_before(earlier, oldest), *history.marks)],
    }


class _Row(NamedTuple):
    """What the metric source recorded at one time."""

    at: float
    replicas: float | None
    ready: float | None
    values: dict[str, float | None]


def _recorded_rows(earlier: Recorded | None, since: float, until: float) -> list[_Row]:
    """Return the rows read from the metric source, from the first one that has a value."""
    if earlier is None:
        return []
    rows: list[_Row] = []
    for number in range(len(earlier.replicas)):
        at = earlier.times.at(number)
        values = {name: _rounded(column[number]) for name, column in earlier.columns.items()}
        row = _Row(at, earlier.replicas[number], earlier.ready[number], values)
        known = rows or row.replicas is not None or any(value is not None for value in values.values())
        if since <= at < until and known:
            rows.append(row)
    return rows


def _recorded_state(earlier: Recorded, count: int) -> Document:
    return {
        "source": earlier.source,
        "state": earlier.state,
        "fault": earlier.fault,
        "step": earlier.times.step,
        "count": count,
    }


def _marks_before(earlier: Recorded | None, oldest: float) -> list[Marker]:
    return [mark for mark in earlier.marks if mark.at < oldest] if earlier is not None else []


def _rounded(value: float | None) -> float | None:
    """Round to six significant digits: enough for a chart, and all that the packed points hold."""
    return None if value is None else float(f"{value:.6g}")
