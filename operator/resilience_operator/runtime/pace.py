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

SLOWEST = 5.0
"""Written a second, at least."""

RISE = 2.0
"""By how many a second it grows, each second."""

FREE = 200.0
"""From here on there is no bound."""

MOST_WAIT = 1.0
"""Seconds, whatever others write who need not ask."""

REACTION = 2.0
"""Seconds until it shows whether slowing down has helped."""


class Pace:
    """Tells when the next one may be written. Without a bound until the first sign. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = math.inf
        self._next = clock()
        self._slowed = -math.inf
        self._written: deque[float] = deque(maxlen=int(FREE * REACTION))

    @property
    def wait(self) -> float:
        """Seconds until the next one may be written."""
        return max(0.0, self._next - self._clock())

    def written(self) -> None:
        """One was written."""
        now = self._clock()
        self._written.append(now)
        self._next = min(max(self._next, now) + 1.0 / self._rate_at(now), now + MOST_WAIT)

    def slow_down(self) -> None:
        """They are in the way: from now on half as many as of late."""
        now = self._clock()
        if now - self._slowed < REACTION:
            return
        seen = sum(now - at <= REACTION for at in self._written) / REACTION
        self._rate, self._slowed = max(SLOWEST, min(self._rate_at(now), seen) / 2), now

    def _rate_at(self, now: float) -> float:
        rate = self._rate + RISE * (now - self._slowed)
        return rate if rate < FREE else math.inf
