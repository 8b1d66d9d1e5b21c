"""The time grid of a recording: evenly spaced, and split into ranges that Prometheus accepts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor

MAX_POINTS = 11_000
"""Maximum points per series in one range query; Prometheus refuses more (web/api/v1, `query_range`)."""

FINE_POINTS = 2 * MAX_POINTS
"""Maximum points for which a recording may be finer than the policy's interval."""

Span = tuple[int, int]
"""The index of the first point, and of the point after the last."""


@dataclass(frozen=True, slots=True)
class Grid:
    """`count` times, `step` seconds apart, from `start` (seconds since the epoch, whole)."""

    start: float
    step: float
    count: int

    @classmethod
    def covering(cls, since: float, until: float, step: float) -> Grid:
        """The times within `since` and `until`. They are multiples of the step, so repeated queries are identical."""
        whole = step == int(step)
        start = ceil(since / step) * step if whole else float(ceil(since))
        return cls(start, step, max(0, floor((until - start) / step + 1e-9) + 1))

    def at(self, number: int) -> float:
        """The time of a point, seconds since the epoch."""
        return self.start + number * self.step

    def number(self, at: float) -> int:
        """The index of the point at a time."""
        return round((at - self.start) / self.step)

    @property
    def whole(self) -> Span:
        """The whole grid."""
        return (0, self.count)

    def pieces(self, span: Span, most: int = MAX_POINTS) -> Iterator[Span]:
        """Split `span` into parts with at most that many points."""
        for first in range(span[0], span[1], most):
            yield first, min(first + most, span[1])


def step_for(interval: float, seconds: float) -> float:
    """The step of a recording, seconds: the policy's interval, or a fraction of it for a short time range.

    The operator evaluates immediately after a change of its target, so a replay needs a finer step than the interval.
    Whole seconds, because range queries start at whole seconds.
    """
    for parts in (3, 5, 2):
        step = interval / parts
        if step == int(step) and seconds / step <= FINE_POINTS:
            return step
    return interval
