"""What happens in a scenario at a time: events, their ends, and writers, in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from resilience_operator.simulation.workload import Workload

Change = Callable[[Workload, float], Workload]
"""The workload after something happened at a time."""


@dataclass(slots=True)
class Timeline:
    """Changes by time, seconds since the epoch. Those of one time are in the order in which they were added."""

    _heap: list[tuple[float, int, Change]] = field(default_factory=list)
    _number: count[int] = field(default_factory=count)

    def add(self, at: float, change: Change) -> None:
        """Add a change at a time."""
        heapq.heappush(self._heap, (at, next(self._number), change))

    @property
    def next(self) -> float | None:
        """The time of the next change, or None."""
        return self._heap[0][0] if self._heap else None

    def run(self, workload: Workload, now: float) -> Workload:
        """Apply all changes that are due."""
        while self._heap and self._heap[0][0] <= now + 1e-9:
            at, _, change = heapq.heappop(self._heap)
            workload = change(workload, at)
        return workload
