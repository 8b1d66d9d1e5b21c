"""The decision history in `status.lastDecision` and `status.history`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resilience_operator.api.base import to_datetime
from resilience_operator.api.status import HISTORY_LENGTH, DecisionStatus
from resilience_operator.api.text import cut, one_line
from resilience_operator.decision.model.commands import HistoryMark, Notice, Outcome, Result

__all__ = ["HISTORY_LENGTH", "DecisionHistory", "history_entry", "notice_entry", "to_datetime"]

MOST_MESSAGE = 512
"""Maximum bytes of a decision's message; longer ones are cut."""

MOST_RULES = 256
"""Maximum bytes of the rule names of a decision."""


@dataclass(frozen=True, slots=True)
class DecisionHistory:
    """Executed decisions, newest first."""

    entries: tuple[DecisionStatus, ...] = ()

    def add(self, entries: Sequence[DecisionStatus]) -> DecisionHistory:
        """Return the history with `entries` added; they are in chronological order."""
        return DecisionHistory((*reversed(entries), *self.entries)[:HISTORY_LENGTH]) if entries else self


def notice_entry(mark: HistoryMark, notice: Notice, at: float, trace_id: str) -> DecisionStatus:
    """Return a notice as a history entry."""
    return DecisionStatus(
        at=to_datetime(at),
        action=mark.action,
        from_=mark.revision,
        reason=notice.reason,
        message=cut(one_line(notice.message), MOST_MESSAGE),
        trace_id=trace_id or None,
    )


def history_entry(outcome: Outcome, at: float, trace_id: str) -> DecisionStatus:
    """Return one outcome as a history entry. Failed ones are recorded too, with the reason ActionFailed."""
    command = outcome.command
    failed = outcome.result is Result.FAILED
    return DecisionStatus(
        at=to_datetime(at),
        rule=cut(command.rule, MOST_RULES) or None,
        action=command.verb.value,
        from_=None if command.from_ is None else str(command.from_),
        to=None if command.to is None else str(command.to),
        reason="ActionFailed" if failed else command.reason,
        message=cut(one_line(outcome.description), MOST_MESSAGE),
        dry_run=outcome.result is Result.DRY_RUN,
        trace_id=trace_id or None,
    )
