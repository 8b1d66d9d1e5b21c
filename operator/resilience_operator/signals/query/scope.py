"""Which namespaces (or owners) a grouped query covers, so that the same text serves whoever asks next.

A query is made for all that asked lately, not for those of one batch: policies are evaluated one by one
over an interval, and a text that changed with each batch could not be shared. Beyond a number of namespaces
the matcher is
left out: one answer about all costs less than many about some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from resilience_operator.signals.presets.models import render
from resilience_operator.signals.query.cohorts import MAX_NAMESPACES, Cohorts

V = TypeVar("V")

CHUNK = 250
"""Most namespaces in one matcher."""
MEMORY_SECONDS = 900.0
"""How long a namespace is asked about after it was last asked for: longer than the longest interval, 10
min.
"""


class QueryScope(Generic[V]):
    """The values asked for lately, in chunks, and the texts of the queries about them.

    crowds, namespace: no chunk has values of two crowds; a value's crowd is that of its namespace.
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
    ) -> None:
        self._matchers = matchers
        self._cohorts = cohorts
        self._namespace = namespace
        self._divided = cohorts.count
        self._chunk = chunk
        self._unscoped_above = unscoped_above
        self._memory = memory
        self._last: dict[V, float] = {}
        self._chunk_of: dict[V, int] = {}
        self._scopes: list[tuple[str, str]] = []
        self._texts: dict[tuple[str, float, int], str] = {}
        self._stale = True
        self._swept = 0.0

    def add(self, values: Iterable[V], now: float) -> None:
        """These are asked for, at `now` (monotonic seconds)."""
        last = self._last
        before = len(last)
        for value in values:
            last[value] = now
        if len(last) != before:
            self._stale = True
        if now - self._swept > self._memory / 4:
            self._swept = now
            kept = {v: at for v, at in last.items() if now - at <= self._memory}
            if len(kept) != len(last):
                self._last, self._stale = kept, True

    def chunk_of(self, value: V) -> int:
        """The number of the chunk that covers `value`, which was added."""
        if self._stale or self._divided != self._cohorts.count:
            self._divide()
        return self._chunk_of[value]

    def text(self, query: str, window: float, chunk: int) -> str:
        """The query about one chunk; the same object each time, until the scope changes."""
        key = (query, window, chunk)
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = render(query, *self._scopes[chunk], window)
        return found

    def _divide(self) -> None:
        values = sorted(self._last)  # type: ignore[type-var]
        self._stale, self._divided = False, self._cohorts.count
        self._texts.clear()
        if self._unscoped_above is not None and len(values) > self._unscoped_above:
            self._scopes = [("", "")]
            self._chunk_of = dict.fromkeys(values, 0)
            return
        chunks: list[list[V]] = []
        for crowd in range(self._divided):
            its = [value for value in values if self._cohorts.index_of(self._namespace(value)) == crowd]
            chunks += (its[i : i + self._chunk] for i in range(0, len(its), self._chunk))
        self._scopes = [self._matchers(chunk) for chunk in chunks]
        self._chunk_of = {value: number for number, chunk in enumerate(chunks) for value in chunk}
