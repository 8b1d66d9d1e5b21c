"""Sliding windows of calls: how many, how many failed, how many were slow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CallStats:
    """Counts of calls in a window. A call may be both failed and slow."""

    calls: int = 0
    failed: int = 0
    slow: int = 0

    @property
    def failure_rate(self) -> float:
        """From 0 to 1; 0 where there was no call."""
        return self.failed / self.calls if self.calls else 0.0

    @property
    def slow_rate(self) -> float:
        """From 0 to 1; 0 where there was no call."""
        return self.slow / self.calls if self.calls else 0.0

    def __add__(self, other: CallStats) -> CallStats:
        return CallStats(self.calls + other.calls, self.failed + other.failed, self.slow + other.slow)

    def __sub__(self, other: CallStats) -> CallStats:
        return CallStats(self.calls - other.calls, self.failed - other.failed, self.slow - other.slow)


class Window(Protocol):
    """Adds a call at a moment, and counts those that are still in the window at another."""

    def add(self, call: CallStats, now: float) -> None: ...
    def tally(self, now: float) -> CallStats: ...
    def clear(self) -> None: ...


class CountWindow:
    """The last `size` calls, however old."""

    def __init__(self, size: int) -> None:
        self._calls: deque[CallStats] = deque(maxlen=size)
        self._sum = CallStats()

    def add(self, call: CallStats, now: float) -> None:
        del now
        if len(self._calls) == self._calls.maxlen:
            self._sum -= self._calls[0]
        self._calls.append(call)
        self._sum += call

    def tally(self, now: float) -> CallStats:
        del now
        return self._sum

    def clear(self) -> None:
        self._calls.clear()
        self._sum = CallStats()


class LastSeconds:
    """The calls of the last `seconds`, kept in ten buckets: a call leaves up to a tenth of the window late."""

    BUCKETS = 10

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._width = seconds / self.BUCKETS
        self._buckets: deque[tuple[float, CallStats]] = deque()
        self._sum = CallStats()

    def add(self, call: CallStats, now: float) -> None:
        self._expire(now)
        if self._buckets and now - self._buckets[-1][0] < self._width:
            began, before = self._buckets.pop()
            self._buckets.append((began, before + call))
        else:
            self._buckets.append((now, call))
        self._sum += call

    def tally(self, now: float) -> CallStats:
        self._expire(now)
        return self._sum

    def clear(self) -> None:
        self._buckets.clear()
        self._sum = CallStats()

    def _expire(self, now: float) -> None:
        while self._buckets and now - self._buckets[0][0] > self._seconds + self._width:
            self._sum -= self._buckets.popleft()[1]
