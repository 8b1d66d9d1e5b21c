"""Places at work: so many in all, and of one namespace not all of them, so that a crowded one leaves some to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Places:
    """total: how many may work at once. most: how many of one namespace."""

    def __init__(self, total: int, most: int) -> None:
        self._all = asyncio.Semaphore(total)
        self._most = most
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def one(self, namespace: str) -> AsyncIterator[None]:
        """Wait for a place, and hold it until the block ends."""
        own = self._own.get(namespace)
        if own is None:
            own = self._own[namespace] = asyncio.Semaphore(self._most)
        # Who waits for their namespace's turn takes no place meanwhile.
        async with own, self._all:
            yield
