"""A deadline: one moment that a whole chain of calls shares.

It travels as an argument, because a time-out per call lets a chain of n calls take n times as long as anyone
meant. It is kept on a monotonic clock, which a corrected wall clock cannot move.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]
"""Reads a monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment (seconds on `clock`) by which the work must have ended."""

    at: float
    clock: Clock = field(default=time.monotonic, compare=False, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline that is `seconds` away from now."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        return self.remaining() <= 0

    def timeout(self, cap: float) -> float:
        """Seconds that one call may take: what is left, `cap` at most."""
        return min(cap, self.remaining())

    def within(self, seconds: float) -> Deadline:
        """The sooner of this deadline and the one `seconds` away: for a part of the work."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)
