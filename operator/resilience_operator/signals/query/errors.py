"""Maps exceptions of a query to a stable reason and a message."""

from __future__ import annotations

from dataclasses import dataclass

from resilience_operator.resilience.errors import CallError, DeadlineExceeded, GiveUp, TryAgain, Unauthorized
from resilience_operator.signals import reasons


class SourceNotFoundError(Exception):
    """No source with that name is configured."""


class CircuitOpenError(Exception):
    """The source's circuit breaker is open; the text says why."""


@dataclass(frozen=True, slots=True)
class QueryFailure:
    """Why a query has no answer: a stable reason and a message."""

    reason: str
    message: str


_BY_REASON = {
    "timeout": reasons.SOURCE_TIMED_OUT,
    "deadline": reasons.SOURCE_TIMED_OUT,
    "dns": reasons.NAME_NOT_RESOLVED,
    "bad_answer": reasons.BAD_ANSWER,
    "too_large": reasons.BAD_ANSWER,
    "bad_query": reasons.BAD_QUERY,
    "plugin_missing": reasons.SOURCE_NOT_FOUND,
}


def failure_from_exception(error: Exception, source: str) -> QueryFailure:
    """The reason and message for an exception."""
    match error:
        case SourceNotFoundError():
            return QueryFailure(reasons.SOURCE_NOT_FOUND, str(error))
        case CircuitOpenError():
            return QueryFailure(reasons.CIRCUIT_OPEN, f"metric source {source!r}: the circuit breaker is open: {error}")
        case CallError():
            return QueryFailure(reason_of(error), f"metric source {source!r}: {error.message}")
        case _:
            # A plugin's own exception: its text may hold secrets.
            return QueryFailure(reasons.BAD_ANSWER, f"metric source {source!r} failed with {type(error).__name__}")


def reason_of(error: CallError) -> str:
    """The stable reason for a failed call."""
    if (reason := _BY_REASON.get(error.reason)) is not None:
        return reason
    match error:
        case DeadlineExceeded():
            return reasons.SOURCE_TIMED_OUT
        case Unauthorized() | GiveUp():
            return reasons.SOURCE_REFUSED
        case TryAgain():
            return reasons.SOURCE_UNREACHABLE
        case _:
            return reasons.BAD_ANSWER


def summary(error: Exception) -> str:
    """Reason and text of a failed call, for a message about several calls."""
    match error:
        case CallError():
            return f"{reason_of(error)} ({error.message})"
        case _:
            return f"{reasons.BAD_ANSWER} ({type(error).__name__})"
