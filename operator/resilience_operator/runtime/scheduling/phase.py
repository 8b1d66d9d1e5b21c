"""Phase offset and batch of each policy: stable across restarts, and spread over the interval."""

from __future__ import annotations

import math

from resilience_operator.api.spec import SHARED_INTERVAL
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, phase_offset_of
from resilience_operator.signals.query.cohorts import Cohorts

TICK = 0.5
"""Granularity in seconds of the phase offsets of policies with custom queries. Evaluating each one separately takes a
third more work."""


class PhaseSchedule:
    """Phase offsets: one for each cohort that shares its queries, and one for each policy with custom queries."""

    def __init__(self, cohorts: Cohorts) -> None:
        self._cohorts = cohorts

    def offset(self, entry: PolicyEntry) -> float:
        """Return the seconds from the start of an interval at which the policy is evaluated."""
        if not entry.compiled.shared_queries_only:
            return math.floor(entry.phase_offset * entry.interval / TICK) * TICK
        spacing = min(entry.interval, SHARED_INTERVAL) / self._cohorts.count
        return (
            phase_offset_of(entry.compiled.source) * SHARED_INTERVAL + self._cohorts.index_of(entry.namespace) * spacing
        )

    def batch_key(self, entry: PolicyEntry) -> str:
        """Return the batch key: due policies with the same key are evaluated together."""
        return entry.compiled.source if entry.compiled.shared_queries_only else f"{entry.compiled.source}/own"
