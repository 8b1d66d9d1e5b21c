"""A deadline: one point in time shared by a whole chain of calls.

It is passed as an argument, because with a time-out per call, a chain of n calls may take n times as long as intended.
It uses a monotonic clock, which is not affected by corrections of the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]
"""Reads a monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time (seconds on `clock`) by which the work must have ended."""

    at: float
    clock: Clock = field(default=time.monotonic, compare=False, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline `seconds` from now."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        return self.remaining() <= 0

    def timeout(self, cap: float) -> float:
        """Time-out in seconds for one call: the remaining time, at most `cap`."""
        return min(cap, self.remaining())

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now: for part of the work."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)
