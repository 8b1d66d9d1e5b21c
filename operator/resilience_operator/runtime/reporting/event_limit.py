"""How many events of one policy are written: a token bucket for notices, and one of its own for changes.

The values for notices are those of client-go's event correlator: 25 at once for an object, then one each five minutes
(https://pkg.go.dev/k8s.io/client-go/tools/record#EventAggregator). Changes of a workload never wait for notices.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from resilience_operator.runtime.scheduling.token_bucket import TokenBucket

NOTICES = 25
"""Notices of one policy at once."""

NOTICE_SECONDS = 300.0
"""After that, one in so many seconds."""

CHANGES = 60
"""Changes of a workload by one policy (scaled, paused, resumed, rolled back) at once."""

CHANGE_SECONDS = 10.0
"""After that, one in so many seconds."""


class EventLimit:
    """The two buckets of one policy, and what they held back. clock: monotonic seconds."""

    __slots__ = ("_changes", "_notices", "suppressed")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._notices = TokenBucket(1 / NOTICE_SECONDS, clock, saved=NOTICES * NOTICE_SECONDS, full=True)
        self._changes = TokenBucket(1 / CHANGE_SECONDS, clock, saved=CHANGES * CHANGE_SECONDS, full=True)
        self.suppressed = 0

    def admit(self, *, change: bool) -> bool:
        """Whether one more event may be written; if not, it is counted."""
        if (self._changes if change else self._notices).take():
            return True
        self.suppressed += 1
        return False
