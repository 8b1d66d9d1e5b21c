"""The journal's entries, as they stand in `status.lastDecision` and `status.history`."""

from __future__ import annotations

from datetime import UTC, datetime

from resilience_operator.api.status import HISTORY_LENGTH, DecisionStatus
from resilience_operator.decision.model.commands import Outcome, Result

__all__ = ["HISTORY_LENGTH", "history_entry", "to_datetime"]


def to_datetime(seconds: float) -> datetime:
    """Seconds since the epoch as a datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def history_entry(outcome: Outcome, at: float, trace_id: str) -> DecisionStatus:
    """One outcome as a journal entry. A failed one is recorded too, and says so."""
    command = outcome.command
    failed = outcome.result is Result.FAILED
    return DecisionStatus(
        at=to_datetime(at),
        rule=command.rule or None,
        action=command.verb.value,
        from_=None if command.from_ is None else str(command.from_),
        to=None if command.to is None else str(command.to),
        reason="ActionFailed" if failed else command.reason,
        message=outcome.sentence,
        dry_run=outcome.result is Result.REHEARSED,
        trace_id=trace_id or None,
    )
