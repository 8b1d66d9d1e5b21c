"""Liveness and readiness checks.

Live: the event loop runs, the scheduler starts what is due, and no background task has ended. A blocked loop answers
nothing, which fails the probe too. Ready: the API server confirmed every list and watch recently, so the caches are
current. Neither depends on leadership or on Prometheus: a restart would fix neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Check = Callable[[], str]
"""Returns the problem; empty if the check passes."""


@dataclass(slots=True)
class Health:
    """Named liveness and readiness checks."""

    live: dict[str, Check] = field(default_factory=dict)
    ready: dict[str, Check] = field(default_factory=dict)

    @staticmethod
    def failing(checks: Mapping[str, Check]) -> dict[str, str]:
        """Return the failing checks with their problems, by name."""
        return {name: found for name, check in checks.items() if (found := check())}
