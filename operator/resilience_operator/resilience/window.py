"""A sliding window of calls: total, failed and slow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallStats:
    """Counts of calls in a window. A call may be both failed and slow."""

    calls: int = 0
    failed: int = 0
    slow: int = 0

    @property
    def failure_rate(self) -> float:
        """From 0 to 1; 0 if there was no call."""
        return self.failed / self.calls if self.calls else 0.0

    @property
    def slow_rate(self) -> float:
        """From 0 to 1; 0 if there was no call."""
        return self.slow / self.calls if self.calls else 0.0

    def __add__(self, other: CallStats) -> CallStats:
        return CallStats(self.calls + other.calls, self.failed + other.failed, self.slow + other.slow)

    def __sub__(self, other: CallStats) -> CallStats:
        return CallStats(self.calls - other.calls, self.failed - other.failed, self.slow - other.slow)


class CountWindow:
    """The last `size` calls, regardless of their age."""

    def __init__(self, size: int) -> None:
        self._calls: deque[CallStats] = deque(maxlen=size)
        self._sum = CallStats()

    def add(self, call: CallStats) -> None:
        if len(self._calls) == self._calls.maxlen:
            self._sum -= self._calls[0]
        self._calls.append(call)
        self._sum += call

    def stats(self) -> CallStats:
        return self._sum

    def clear(self) -> None:
        self._calls.clear()
        self._sum = CallStats()
