"""A value over time, from the points of a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi

from resilience_operator.cli.scenario.model import Point


def value_at(course: Sequence[Point], time: float) -> float | None:
    """The value at `time` (seconds from the start); None before the first point."""
    value: float | None = None
    for number, point in enumerate(course):
        if point.at > time:
            break
        if point.wave is not None:
            low, high = point.wave.low.value, point.wave.high.value
            value = low + (high - low) * (1 - cos(2 * pi * (time - point.at) / point.wave.period)) / 2
            continue
        assert point.to is not None, "a point is one or the other"
        value = point.to.value
        if time < point.at + point.over:
            before = value_at(course[:number], point.at)
            came_from = value if before is None else before
            value = came_from + (value - came_from) * (time - point.at) / point.over
    return value
