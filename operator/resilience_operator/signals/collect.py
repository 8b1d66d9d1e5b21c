"""From a batch of signal requests to one observation each: groups, asks, joins."""

from __future__ import annotations

from collections.abc import Sequence

from resilience_operator.decision.observation import Observation
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.presets import Families
from resilience_operator.signals.registry import Sources


class Collector:
    """Collects for a whole process: what it remembers is which namespaces each family serves, and fresh
    answers.
    """

    def __init__(self, sources: Sources, families: Families | None = None) -> None:
        self._sources = sources
        self._families = families

    def expect(self, requests: Sequence[SignalRequest]) -> None:
        """Tell which requests will come, so that the first grouped query already covers them all. No I/O."""

    async def collect(
        self, requests: Sequence[SignalRequest], *, now: float, deadline: Deadline, max_age: float = 0.0
    ) -> list[Observation]:
        """One observation for each request, in their order. Never raises for what a source does.

        now: seconds since the epoch. deadline: when there must be an observation, if need be an unknown one.
        max_age: an answer that came at most this many seconds ago is good enough.
        """
        raise NotImplementedError
