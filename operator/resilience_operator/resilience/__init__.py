"""Resilient calls: deadlines, errors classified by what to do next, retries, circuit breakers.

Nothing here depends on what is called (Kubernetes, Prometheus, a notifier), so all dependencies are treated alike.
Clocks, sleep and randomness are injected. All times are in seconds; a point in time is a reading of a monotonic clock
unless its name says otherwise.
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
