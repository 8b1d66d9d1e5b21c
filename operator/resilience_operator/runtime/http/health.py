"""Why the process is alive, and why it is ready: two questions with answers of their own.

Alive: the event loop runs, the scheduler begins what is due, and no background task has ended. A loop that is blocked
answers nothing, which fails the probe too. Ready: every list and watch was confirmed by the API server a short time
ago, so that what this replica knows is true. Neither depends on leadership, nor on Prometheus: a restart would mend
neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Check = Callable[[], str]
"""Empty when all is well, else what is not."""


@dataclass(slots=True)
class Health:
    """Named checks."""

    live: dict[str, Check] = field(default_factory=dict)
    ready: dict[str, Check] = field(default_factory=dict)

    @staticmethod
    def failing(checks: Mapping[str, Check]) -> dict[str, str]:
        """What is not well, by name."""
        return {name: found for name, check in checks.items() if (found := check())}
