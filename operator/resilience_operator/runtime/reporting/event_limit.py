"""Rate limit for the Events of one policy: one token bucket for notices, and one for changes.

The values for notices are those of client-go's event correlator: a burst of 25 per object, then one every five minutes
(https://pkg.go.dev/k8s.io/client-go/tools/record#EventAggregator). Changes of a workload never wait for notices.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from resilience_operator.runtime.scheduling.token_bucket import TokenBucket

NOTICES = 25
"""Burst of notices of one policy."""

NOTICE_SECONDS = 300.0
"""Seconds per further notice."""

CHANGES = 60
"""Burst of workload changes by one policy (scaled, paused, resumed, rolled back)."""

CHANGE_SECONDS = 10.0
"""Seconds per further change."""


class EventLimit:
    """The two token buckets of one policy, and the number of suppressed Events. clock: monotonic seconds."""

    __slots__ = ("_changes", "_notices", "suppressed")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._notices = TokenBucket(1 / NOTICE_SECONDS, clock, burst_seconds=NOTICES * NOTICE_SECONDS, full=True)
        self._changes = TokenBucket(1 / CHANGE_SECONDS, clock, burst_seconds=CHANGES * CHANGE_SECONDS, full=True)
        self.suppressed = 0

    def admit(self, *, change: bool) -> bool:
        """Return True if one more Event may be written; otherwise count it as suppressed."""
        if (self._changes if change else self._notices).take():
            return True
        self.suppressed += 1
        return False
