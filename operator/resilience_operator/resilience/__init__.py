"""Calling what may fail: deadlines, errors that say what to do next, one retry, one circuit breaker.

Nothing here knows what is called (Kubernetes, Prometheus, a notifier), so every dependency is treated alike.
Clocks, sleeping and randomness are passed in. All times are seconds; a moment is a monotonic clock's reading
unless a name says otherwise.
"""

from resilience_operator.resilience.breaker import Breaker, BreakerSettings, State
from resilience_operator.resilience.deadline import Clock, Deadline
from resilience_operator.resilience.errors import (
    AlreadyExists,
    CallError,
    Conflict,
    DeadlineExceeded,
    GiveUp,
    Gone,
    NotFound,
    TryAgain,
    Unauthorized,
    Unprocessable,
    from_exception,
    from_status,
)
from resilience_operator.resilience.retry import Jitter, Retry, RetryHook, RetryPolicy, Strategy

__all__ = [
    "AlreadyExists",
    "Breaker",
    "BreakerSettings",
    "CallError",
    "Clock",
    "Conflict",
    "Deadline",
    "DeadlineExceeded",
    "GiveUp",
    "Gone",
    "Jitter",
    "NotFound",
    "Retry",
    "RetryHook",
    "RetryPolicy",
    "State",
    "Strategy",
    "TryAgain",
    "Unauthorized",
    "Unprocessable",
    "from_exception",
    "from_status",
]
