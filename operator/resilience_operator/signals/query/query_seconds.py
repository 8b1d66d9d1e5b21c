"""A token bucket of query seconds per namespace and minute, for the custom queries of one metric source.

A query second is one second in which the source works on one query. Without a budget, queries that are expensive but
never time out would occupy a namespace's slots, and the source, permanently.
"""

from __future__ import annotations

from resilience_operator.resilience.deadline import Clock

PER_MINUTE = 60.0
"""Default: the equivalent of one query that is always running."""

_RESUME = 0.25
"""Share of the budget that must be free again before a namespace that spent it resumes. Pauses are few and long, so
that its signals do not change between known and Unknown at every evaluation.
"""

_MINUTE = 60.0


class QuerySeconds:
    """The budgets at one source. per_minute: query seconds of each namespace."""

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}  # namespace → (seconds owed at, as of)
        self._paused: set[str] = set()

    @property
    def per_minute(self) -> float:
        """Query seconds per minute of each namespace."""
        return self._per_minute

    def spend(self, namespace: str, seconds: float) -> None:
        """Charge a query that ran for so many seconds."""
        owed = self._owed(namespace) + seconds
        self._spent[namespace] = owed, self._clock()
        if owed >= self._per_minute:
            self._paused.add(namespace)
        if len(self._spent) > 1000:
            self._sweep()

    def used(self, namespace: str) -> float:
        """The share of the namespace's query seconds that is used, 0 to 1."""
        return min(1.0, self._owed(namespace) / self._per_minute)

    def wait(self, namespace: str) -> float:
        """Seconds until the namespace's custom queries resume; 0 if they may be sent now."""
        if namespace not in self._paused:
            return 0.0
        excess = self._owed(namespace) - self._per_minute * (1 - _RESUME)
        if excess <= 0:
            self._paused.discard(namespace)
            return 0.0
        return excess / self._per_minute * _MINUTE

    def _owed(self, namespace: str) -> float:
        owed, at = self._spent.get(namespace, (0.0, 0.0))
        return max(0.0, owed - (self._clock() - at) / _MINUTE * self._per_minute)

    def _sweep(self) -> None:
        """Forget the namespaces with a full budget."""
        self._spent = {n: entry for n, entry in self._spent.items() if self._owed(n) > 0}
        self._paused &= self._spent.keys()
