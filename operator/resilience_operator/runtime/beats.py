"""When within its interval a policy is due, and with whom: the same after a restart, and spread over the interval."""

from __future__ import annotations

import math

from resilience_operator.api.spec import SHARED_INTERVAL
from resilience_operator.runtime.entry import Entry, phase_of
from resilience_operator.signals.crowds import Crowds

TICK = 0.5
"""Seconds between two moments at which policies with queries of their own are evaluated: to ask for each by itself
takes a third more work."""


class Beats:
    """The beats of all policies: one of each crowd that shares its questions, and one of each policy with its own."""

    def __init__(self, crowds: Crowds) -> None:
        self._crowds = crowds

    def offset(self, entry: Entry) -> float:
        """Seconds after the beginning of an interval (of the clock's) at which it is evaluated."""
        if not entry.shared:
            return math.floor(entry.phase * entry.interval / TICK) * TICK
        apart = min(entry.interval, SHARED_INTERVAL) / self._crowds.count
        return phase_of(entry.source) * SHARED_INTERVAL + self._crowds.of(entry.namespace) * apart

    def group(self, entry: Entry) -> str:
        """Those of one group that are due together are evaluated together."""
        return entry.source if entry.shared else f"{entry.source}/own"
