"""Why the process is alive, and why it is ready: two questions with answers of their own.

Alive: the event loop turns. A loop that is blocked answers nothing, which is what the probe is for; and a scheduler
that has ended is as good as dead. Ready: the watches have told all there is, so that what this replica would say is
true. Readiness does not depend on leadership, nor on Prometheus: a restart would mend neither.
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
