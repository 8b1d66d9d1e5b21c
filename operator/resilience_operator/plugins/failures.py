"""Failures of plugins, and bounds on the errors that they raise."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Protocol

from resilience_operator.resilience import CallError, RetryPolicy

MESSAGE_LIMIT = 500
"""Maximum characters of a plugin's own text in messages."""

RETRY = RetryPolicy(base=0.2, cap=2.0, attempts=4)
"""Retry policy for actions and notifiers that raise TryAgain, within their deadline."""

_RETRY_AFTER_LIMIT = 120.0
_REASON = re.compile(r"timeout|deadline|bad_answer|bad_query|too_large|credentials|reset|refused|dns|tls|status_\d{3}")


class Kind(StrEnum):
    """The kind of a plugin; also a metric label."""

    SOURCE = "metric_source"
    ACTION = "action"
    NOTIFIER = "notifier"


class FailureReason(StrEnum):
    """The cause of a plugin failure."""

    RAISED = "raised"
    TIMED_OUT = "timed_out"
    BUSY = "busy"
    NONSENSE = "nonsense"
    NOT_LOADED = "not_loaded"
    QUEUE_FULL = "queue_full"


class PluginFailed(Exception):  # noqa: N818 - says what is so
    """A plugin call failed. The message contains no text of the plugin."""

    def __init__(self, why: FailureReason, message: str) -> None:
        super().__init__(message)
        self.why = why
        self.message = message


class OnFailure(Protocol):
    """Callback for every failure: for metrics and logs."""

    def __call__(self, kind: Kind, plugin: str, message: str, cause: BaseException | None) -> None:
        """Record a failure. cause: the exception of the plugin, if any."""
        ...


def ignore(kind: Kind, plugin: str, message: str, cause: BaseException | None) -> None:
    """An `OnFailure` that does nothing."""
    del kind, plugin, message, cause


def cut(text: str) -> str:
    """Return a plugin's text on one line and of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def sanitize(error: CallError, dependency: str) -> CallError | None:
    """Return a plugin's CallError with a bounded text and a reason that is safe as a metric label.

    None if its attributes cannot be read: a subclass in the plugin may lack them.
    """
    try:
        message, reason, after, status = str(error.message), str(error.reason), error.retry_after, error.status
    except Exception:
        return None
    reason = reason if _REASON.fullmatch(reason) else "plugin"
    # Use the operator's class: the constructor of a plugin's subclass may differ.
    kind: type[CallError] = next(c for c in type(error).__mro__ if c.__module__ == CallError.__module__)
    return kind(
        cut(message),
        dependency=dependency,
        reason=reason,
        retry_after=min(after, _RETRY_AFTER_LIMIT) if isinstance(after, int | float) and after >= 0 else None,
        status=status if isinstance(status, int) and 100 <= status < 600 else 0,
    )
