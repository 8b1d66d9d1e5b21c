"""List of all policies, worst first. Search, counts and paging run on the server: a browser never loads thousands."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

from resilience_operator.explain.overview import document
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.dashboard.row_cache import CachedRow, Owns

PAGE = 50
"""Rows per page."""

FRESH = 2.0
"""Seconds for which one list is reused for all viewers."""

_SLICE = 0.01
"""Seconds of work before yielding to the event loop."""

LONGEST_SEARCH = 200


@dataclass(frozen=True, slots=True)
class Search:
    """A search request. words: all must match. state: empty for any. page: from 1."""

    words: tuple[str, ...] = ()
    state: str = ""
    page: int = 1

    @classmethod
    def of(cls, text: str, state: str, page: str) -> Search:
        """Parse a URL query; invalid input falls back to defaults."""
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1
        return cls(tuple(text[:LONGEST_SEARCH].lower().split()), state[:LONGEST_SEARCH], max(1, number))


class PolicyList:
    """The list of all policies, rebuilt on demand when it is older than FRESH."""

    def __init__(self, store: PolicyCache, owns: Owns) -> None:
        self._store = store
        self._owns = owns
        self._cached: dict[str, CachedRow] = {}
        self._sorted: list[CachedRow] = []
        self._made = -FRESH
        self._making = asyncio.Lock()

    async def page(self, search: Search) -> dict[str, Any]:
        """Return one page of matches. `states` counts matches of the words; `total` also applies the state filter."""
        rows = await self._rows()
        if search.words:
            rows = [k for k in rows if all(word in k.text for word in search.words)]
        counts = Counter(k.row.state.word for k in rows)
        levels = {k.row.state.word: k.row.state.level.value for k in reversed(rows)}
        if search.state:
            rows = [k for k in rows if k.row.state.word == search.state]
        pages = max(1, -(-len(rows) // PAGE))
        number = min(search.page, pages)
        return {
            "all": len(self._sorted),
            "total": len(rows),
            "page": number,
            "pages": pages,
            "first": (number - 1) * PAGE + 1,
            "states": [{"state": word, "level": levels[word], "count": count} for word, count in counts.items()],
            "policies": [_line(k) for k in rows[(number - 1) * PAGE : number * PAGE]],
        }

    async def _rows(self) -> list[CachedRow]:
        loop = asyncio.get_running_loop()
        async with self._making:
            if loop.time() - self._made >= FRESH:
                await self._make()
                self._made = loop.time()
        return self._sorted

    async def _make(self) -> None:
        found: dict[str, CachedRow] = {}
        owned: dict[str, bool] = {}
        changed = False
        loop = asyncio.get_running_loop()
        slice_start = loop.time()
        for entry in self._store:
            if loop.time() - slice_start > _SLICE:
                await asyncio.sleep(0)
                slice_start = loop.time()
            if entry.namespace not in owned:
                owned[entry.namespace] = self._owns(entry.namespace)
            acting = owned[entry.namespace]
            cached = self._cached.get(entry.uid)
            if cached is None or not cached.is_current(entry, acting):
                cached, changed = CachedRow.of(entry, acting).without_details(), True
            found[entry.uid] = cached
        if changed or len(found) != len(self._cached):
            self._sorted = sorted(found.values(), key=lambda k: k.row.place)
        self._cached = found


def _line(cached: CachedRow) -> dict[str, Any]:
    return {**document(cached.row), "level": cached.row.state.level.value, "acting": cached.acting}
