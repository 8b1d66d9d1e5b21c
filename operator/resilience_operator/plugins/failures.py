"""A plugin's failures, in the operator's words, and errors of its own brought into bounds."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Protocol

from resilience_operator.resilience import CallError, RetryPolicy

MESSAGE_LIMIT = 500
"""Characters of a plugin's own words that are repeated."""

RETRY = RetryPolicy(base=0.2, cap=2.0, attempts=4)
"""How an action or a notifier that raises TryAgain is tried again, within its time."""

_RETRY_AFTER_LIMIT = 120.0
_REASON = re.compile(r"timeout|deadline|bad_answer|bad_query|too_large|credentials|reset|refused|dns|tls|status_\d{3}")


class Kind(StrEnum):
    """What a plugin is; the label in metrics."""

    SOURCE = "metric_source"
    ACTION = "action"
    NOTIFIER = "notifier"


class Why(StrEnum):
    """How a plugin failed."""

    RAISED = "raised"
    TIMED_OUT = "timed_out"
    BUSY = "busy"
    NONSENSE = "nonsense"
    NOT_LOADED = "not_loaded"
    QUEUE_FULL = "queue_full"


class PluginFailed(Exception):  # noqa: N818 - says what is so
    """A plugin did not do what it is there for. The text is for people, and none of it is the plugin's own."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why
        self.message = message


class OnFailure(Protocol):
    """Told of every failure: for metrics and the log."""

    def __call__(self, kind: Kind, plugin: str, message: str, cause: BaseException | None) -> None:
        """cause: what the plugin raised, where it did."""
        ...


def say_nothing(kind: Kind, plugin: str, message: str, cause: BaseException | None) -> None:
    """An `OnFailure` for where nobody listens."""
    del kind, plugin, message, cause


def cut(text: str) -> str:
    """A plugin's words in one line and of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def in_bounds(error: CallError, dependency: str) -> CallError | None:
    """A plugin's own CallError with a bounded text, and with a reason that may be a metric's label.

    None when it is none: a class of the plugin's own may have left out what makes it one.
    """
    try:
        message, reason, after, status = str(error.message), str(error.reason), error.retry_after, error.status
    except Exception:
        return None
    reason = reason if _REASON.fullmatch(reason) else "plugin"
    # Of the class itself: a plugin's subclass may be built otherwise.
    kind: type[CallError] = next(c for c in type(error).__mro__ if c.__module__ == CallError.__module__)
    return kind(
        cut(message),
        dependency=dependency,
        reason=reason,
        retry_after=min(after, _RETRY_AFTER_LIMIT) if isinstance(after, int | float) and after >= 0 else None,
        status=status if isinstance(status, int) and 100 <= status < 600 else 0,
    )
