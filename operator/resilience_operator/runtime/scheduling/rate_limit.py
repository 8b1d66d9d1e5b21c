"""Adaptive (AIMD) rate limit for deferrable status writes: halved on each overload signal, raised linearly otherwise.

Additive increase, multiplicative decrease, as in TCP congestion control (RFC 5681). Without it, a burst of statuses can
overload an API server and whatever shares its machine. Evaluations then run late, and their results cause further
writes.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

MIN_RATE = 5.0
"""Minimum writes per second."""

INCREASE = 2.0
"""Increase of the rate per second, in writes per second."""

UNLIMITED_FROM = 200.0
"""Rate from which writes are not limited."""

MAX_DELAY = 1.0
"""Maximum delay in seconds, whatever unlimited writers write."""

COOLDOWN = 2.0
"""Seconds until the effect of a decrease is visible; further signals are ignored until then."""


class AdaptiveRateLimiter:
    """Delays writes after overload signals; unlimited before the first. clock: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = math.inf
        self._next = clock()
        self._decreased_at = -math.inf
        self._written: deque[float] = deque(maxlen=int(UNLIMITED_FROM * COOLDOWN))

    @property
    def delay(self) -> float:
        """Seconds until the next write is allowed."""
        return max(0.0, self._next - self._clock())

    def record(self) -> None:
        """Record one write."""
        now = self._clock()
        self._written.append(now)
        self._next = min(max(self._next, now) + 1.0 / self._rate_at(now), now + MAX_DELAY)

    def back_off(self) -> None:
        """Halve the rate, on the basis of the recently observed one."""
        now = self._clock()
        if now - self._decreased_at < COOLDOWN:
            return
        seen = sum(now - at <= COOLDOWN for at in self._written) / COOLDOWN
        self._rate, self._decreased_at = max(MIN_RATE, min(self._rate_at(now), seen) / 2), now

    def _rate_at(self, now: float) -> float:
        rate = self._rate + INCREASE * (now - self._decreased_at)
        return rate if rate < UNLIMITED_FROM else math.inf
