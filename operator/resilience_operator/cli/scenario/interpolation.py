"""A value over time, from the points of a scenario."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from math import cos, isfinite, pi
from pathlib import Path

from resilience_operator.cli.common.console import UsageError
from resilience_operator.cli.common.documents import read_text
from resilience_operator.cli.scenario.series_model import Point

Table = tuple[tuple[float, ...], tuple[float, ...]]
"""Times and values of a recorded trace."""


def value_at(course: Sequence[Point], time: float, folder: str = ".") -> float | None:
    """The value at `time` (seconds from the start); None before the first point. folder: of files with traces."""
    value: float | None = None
    for number, point in enumerate(course):
        if point.at > time:
            break
        if point.csv is not None:
            value = _recorded(read_table(str(Path(folder) / point.csv)), time - point.at) * point.factor
            continue
        if point.wave is not None:
            low, high = point.wave.low.value, point.wave.high.value
            value = low + (high - low) * (1 - cos(2 * pi * (time - point.at) / point.wave.period)) / 2
            continue
        assert point.to is not None, "a point is one of the three"
        value = point.to.value
        if time < point.at + point.over:
            before = value_at(course[:number], point.at, folder)
            came_from = value if before is None else before
            value = came_from + (value - came_from) * (time - point.at) / point.over
    return value


def _recorded(table: Table, time: float) -> float:
    """The value between two rows, on a straight line. Outside of the trace: its first or last value."""
    times, values = table
    number = bisect_right(times, time)
    if number == 0:
        return values[0]
    if number == len(times):
        return values[-1]
    share = (time - times[number - 1]) / (times[number] - times[number - 1])
    return values[number - 1] + share * (values[number] - values[number - 1])


@lru_cache(maxsize=64)
def read_table(file: str) -> Table:
    """The rows `seconds,value` of a CSV file; a header is skipped. Raises UsageError with the line."""
    times: list[float] = []
    values: list[float] = []
    for number, row in enumerate(csv.reader(read_text(file).splitlines()), 1):
        if not row or row[0].lstrip().startswith("#"):
            continue
        try:
            at, value = (float(cell) for cell in row)
        except ValueError:
            if number == 1 and not any(cell.strip()[:1].isdigit() for cell in row):
                continue  # a header
            raise UsageError(f"{file}:{number}: {','.join(row)!r} is not seconds,value") from None
        if not (isfinite(at) and isfinite(value)) or value < 0 or (times and at <= times[-1]):
            raise UsageError(f"{file}:{number}: times must ascend, and values must be 0 or more")
        times.append(at)
        values.append(value)
    if not times:
        raise UsageError(f"{file} has no rows of seconds,value")
    return tuple(times), tuple(values)
