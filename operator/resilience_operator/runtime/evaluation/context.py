"""What all parts of an evaluation share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from resilience_operator.runtime.coordination import Ownership
from resilience_operator.runtime.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """ownership: where this replica acts. clock: seconds since the epoch.

    keep_history: whether to keep evaluation points for the dashboard.
    """

    ownership: Ownership
    tracing: Tracing
    clock: Callable[[], float]
    keep_history: bool = False
