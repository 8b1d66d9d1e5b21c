"""How fast what can wait is written: half as fast at each sign that it is in the way, and faster again without one.

Additive increase and multiplicative decrease, as of TCP's congestion window (RFC 5681). Without it a burst of statuses
can keep an API server, and whatever shares its machine, so busy that evaluations come too late; what they then find out
is written too, and so on without an end.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

MIN_RATE = 5.0
"""Written a second, at least."""

INCREASE = 2.0
"""By how many a second it grows, each second."""

UNLIMITED_FROM = 200.0
"""From here on there is no bound."""

MAX_DELAY = 1.0
"""Seconds, whatever others write who need not ask."""

COOLDOWN = 2.0
"""Seconds until it shows whether slowing down has helped."""


class AdaptiveRateLimiter:
    """Tells when the next one may be written. Without a bound until the first sign. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = math.inf
        self._next = clock()
        self._slowed = -math.inf
        self._written: deque[float] = deque(maxlen=int(UNLIMITED_FROM * COOLDOWN))

    @property
    def delay(self) -> float:
        """Seconds until the next one may be written."""
        return max(0.0, self._next - self._clock())

    def record(self) -> None:
        """One was written."""
        now = self._clock()
        self._written.append(now)
        self._next = min(max(self._next, now) + 1.0 / self._rate_at(now), now + MAX_DELAY)

    def back_off(self) -> None:
        """They are in the way: from now on half as many as of late."""
        now = self._clock()
        if now - self._slowed < COOLDOWN:
            return
        seen = sum(now - at <= COOLDOWN for at in self._written) / COOLDOWN
        self._rate, self._slowed = max(MIN_RATE, min(self._rate_at(now), seen) / 2), now

    def _rate_at(self, now: float) -> float:
        rate = self._rate + INCREASE * (now - self._slowed)
        return rate if rate < UNLIMITED_FROM else math.inf
