"""The times of a recording: evenly spaced, and cut into pieces that Prometheus answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor

MAX_POINTS = 11_000
"""Points of one series in one range query, at most; Prometheus refuses more (web/api/v1, `query_range`)."""

FINE_POINTS = 2 * MAX_POINTS
"""Times for which a recording may be finer than the policy looks."""

Span = tuple[int, int]
"""Numbers of the first point, and of the one after the last."""


@dataclass(frozen=True, slots=True)
class Grid:
    """`count` times, `step` seconds apart, from `start` (seconds since the epoch, whole)."""

    start: float
    step: float
    count: int

    @classmethod
    def covering(cls, since: float, until: float, step: float) -> Grid:
        """The times within `since` and `until`. They are multiples of the step, so that asking again asks the same."""
        whole = step == int(step)
        start = ceil(since / step) * step if whole else float(ceil(since))
        return cls(start, step, max(0, floor((until - start) / step + 1e-9) + 1))

    def at(self, number: int) -> float:
        """The time of a point."""
        return self.start + number * self.step

    def number(self, at: float) -> int:
        """The point at a time."""
        return round((at - self.start) / self.step)

    @property
    def whole(self) -> Span:
        """All of it."""
        return (0, self.count)

    def pieces(self, span: Span, most: int = MAX_POINTS) -> Iterator[Span]:
        """`span` in pieces of at most so many points."""
        for first in range(span[0], span[1], most):
            yield first, min(first + most, span[1])


def step_for(interval: float, seconds: float) -> float:
    """How far apart the times of a recording are: the policy's interval, or a part of it where the time is short.

    The operator looks at once when its target changes, so a replay should see changes sooner than at the next beat.
    Whole seconds, since that is what range queries begin at.
    """
    for parts in (3, 5, 2):
        step = interval / parts
        if step == int(step) and seconds / step <= FINE_POINTS:
            return step
    return interval
