"""A shared rate limit with bursts."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """Token bucket. rate: tokens per second, 0 for none. clock: monotonic seconds."""

    __slots__ = ("_capacity", "_clock", "_filled", "_tokens", "rate")

    def __init__(
        self, rate: float, clock: Callable[[], float], *, burst_seconds: float = 15.0, full: bool = False
    ) -> None:
        """burst_seconds: capacity, in seconds of refill. full: start with a full bucket."""
        self.rate = rate
        self._clock = clock
        self._capacity = max(1.0, rate * burst_seconds) if rate else 0.0
        self._tokens = self._capacity if full else min(1.0, self._capacity)
        self._filled = clock()

    def available(self) -> bool:
        """Return True if a token is available."""
        now = self._clock()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
        return self._tokens >= 1.0

    def take(self) -> bool:
        """Take a token if one is available."""
        if not self.available():
            return False
        self._tokens -= 1.0
        return True
