"""When within its interval a policy is due, and with whom: the same after a restart, and spread over the interval."""

from __future__ import annotations

import math

from resilience_operator.api.spec import SHARED_INTERVAL
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, phase_offset_of
from resilience_operator.signals.query.cohorts import Cohorts

TICK = 0.5
"""Seconds between two moments at which policies with queries of their own are evaluated: to ask for each by itself
takes a third more work."""


class PhaseSchedule:
    """The beats of all policies: one of each crowd that shares its questions, and one of each policy with its own."""

    def __init__(self, cohorts: Cohorts) -> None:
        self._cohorts = cohorts

    def offset(self, entry: PolicyEntry) -> float:
        """Seconds after the beginning of an interval (of the clock's) at which it is evaluated."""
        if not entry.shared_queries_only:
            return math.floor(entry.phase_offset * entry.interval / TICK) * TICK
        apart = min(entry.interval, SHARED_INTERVAL) / self._cohorts.count
        return phase_offset_of(entry.source) * SHARED_INTERVAL + self._cohorts.index_of(entry.namespace) * apart

    def batch_key(self, entry: PolicyEntry) -> str:
        """Those of one group that are due together are evaluated together."""
        return entry.source if entry.shared_queries_only else f"{entry.source}/own"
