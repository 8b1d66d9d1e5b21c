"""The namespaces (or owners) that a grouped query covers, so that its text stays the same across batches.

A query covers all namespaces requested recently, not only those of one batch. Policies are evaluated one by one over an
interval, and a text that changed with each batch could not be shared. Above a number of namespaces the matcher is
omitted: one answer for all costs less than many for some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from resilience_operator.signals.presets.models import render
from resilience_operator.signals.query.cohorts import MAX_NAMESPACES, Cohorts

V = TypeVar("V")

CHUNK = 250
"""Maximum number of namespaces in one matcher."""
MEMORY_SECONDS = 900.0
"""Seconds for which a namespace is covered after its last request. Longer than the longest interval, 10 min."""


class QueryScope(Generic[V]):
    """The recently requested values, in chunks, and the rendered query of each chunk.

    unscoped: the matchers of a query that covers all namespaces.
    cohorts, namespace: a chunk has values of one cohort only. The cohort of a value is that of its namespace.
    """

    def __init__(
        self,
        matchers: Callable[[Sequence[V]], tuple[str, str]],
        cohorts: Cohorts,
        namespace: Callable[[V], str],
        *,
        chunk: int = CHUNK,
        unscoped_above: int | None = MAX_NAMESPACES,
        memory: float = MEMORY_SECONDS,
        unscoped: str = "",
    ) -> None:
        self._unscoped = unscoped
        self._matchers = matchers
        self._cohorts = cohorts
        self._namespace = namespace
        self._cohort_count = cohorts.count
        self._chunk = chunk
        self._unscoped_above = unscoped_above
        self._memory = memory
        self._last_requested: dict[V, float] = {}
        self._chunk_of: dict[V, int] = {}
        self._scopes: list[tuple[str, str]] = []
        self._texts: dict[tuple[str, float, int], str] = {}
        self._stale = True
        self._swept = 0.0

    def add(self, values: Iterable[V], now: float) -> None:
        """Record that values were requested at `now` (monotonic seconds)."""
        last = self._last_requested
        before = len(last)
        for value in values:
            last[value] = now
        if len(last) != before:
            self._stale = True
        if now - self._swept > self._memory / 4:
            self._swept = now
            kept = {v: at for v, at in last.items() if now - at <= self._memory}
            if len(kept) != len(last):
                self._last_requested, self._stale = kept, True

    def chunk_of(self, value: V) -> int:
        """The index of the chunk that covers `value`, which must have been added."""
        if self._stale or self._cohort_count != self._cohorts.count:
            self._rebuild()
        return self._chunk_of[value]

    def text(self, query: str, window: float, chunk: int) -> str:
        """The query for one chunk. Returns the same object until the scope changes."""
        key = (query, window, chunk)
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = render(query, *self._scopes[chunk], window)
        return found

    def _rebuild(self) -> None:
        values = sorted(self._last_requested)  # type: ignore[type-var]
        self._stale, self._cohort_count = False, self._cohorts.count
        self._texts.clear()
        if self._unscoped_above is not None and len(values) > self._unscoped_above:
            self._scopes = [(self._unscoped, self._unscoped)]
            self._chunk_of = dict.fromkeys(values, 0)
            return
        chunks: list[list[V]] = []
        for cohort in range(self._cohort_count):
            members = [value for value in values if self._cohorts.index_of(self._namespace(value)) == cohort]
            chunks += (members[i : i + self._chunk] for i in range(0, len(members), self._chunk))
        self._scopes = [self._matchers(chunk) for chunk in chunks]
        self._chunk_of = {value: number for number, chunk in enumerate(chunks) for value in chunk}
