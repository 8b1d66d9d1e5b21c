"""A budget that many share: so many a second, and as many at once as a few seconds leave over."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """A bucket of tokens. rate: tokens a second, 0 for none at all. clock: monotonic seconds."""

    __slots__ = ("_clock", "_filled", "_most", "_tokens", "rate")

    def __init__(self, rate: float, clock: Callable[[], float], *, saved: float = 15.0, full: bool = False) -> None:
        """saved: seconds of which the tokens are kept when nobody takes them. full: begin with as many as it keeps."""
        self.rate = rate
        self._clock = clock
        self._most = max(1.0, rate * saved) if rate else 0.0
        self._tokens = self._most if full else min(1.0, self._most)
        self._filled = clock()

    def available(self) -> bool:
        """Whether there is a token."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
        return self._tokens >= 1.0

    def take(self) -> bool:
        """Take a token, if there is one."""
        if not self.available():
            return False
        self._tokens -= 1.0
        return True
