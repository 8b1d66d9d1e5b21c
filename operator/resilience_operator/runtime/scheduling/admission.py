"""Places at work: so many in all, and of one namespace not all of them, so that a crowded one leaves some to others.

Who has something to do goes before those who only have something to write down.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import NamedTuple

WORKERS = 16
"""Policies of one process that act or write at once; those that act come first."""

WORKERS_PER_NAMESPACE = 12
"""Of them, those of one namespace."""


class Priority(IntEnum):
    """What a place is wanted for, the most urgent first."""

    ACT = 0
    EVENT = 1
    STATUS = 2


class _Waiter(NamedTuple):
    """Sorted by rank, then by arrival."""

    rank: Priority
    number: int
    namespace: str
    granted: asyncio.Future[None]


class FairSemaphore:
    """total: how many may work at once. most: how many of one namespace."""

    def __init__(self, total: int = WORKERS, most: int = WORKERS_PER_NAMESPACE) -> None:
        self._free = total
        self._per_namespace = most
        self._taken: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        # Of namespaces that have their share: they wait for one of their own.
        self._capped: dict[str, list[_Waiter]] = {}
        self._numbers = itertools.count()

    @asynccontextmanager
    async def acquire(self, namespace: str, rank: Priority) -> AsyncIterator[None]:
        """Wait for a place, and hold it until the block ends."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, _Waiter(rank, next(self._numbers), namespace, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._release(namespace)
            raise
        try:
            yield
        finally:
            self._release(namespace)

    def _grant(self) -> None:
        while self._free and self._waiting:
            waiter = heapq.heappop(self._waiting)
            if waiter.granted.done():  # gone meanwhile
                self._uncap(waiter.namespace)
            elif self._taken[waiter.namespace] >= self._per_namespace:
                heapq.heappush(self._capped.setdefault(waiter.namespace, []), waiter)
            else:
                self._free -= 1
                self._taken[waiter.namespace] += 1
                waiter.granted.set_result(None)

    def _release(self, namespace: str) -> None:
        self._free += 1
        self._taken[namespace] -= 1
        if not self._taken[namespace]:
            del self._taken[namespace]
        self._uncap(namespace)
        self._grant()

    def _uncap(self, namespace: str) -> None:
        if parked := self._capped.get(namespace):
            heapq.heappush(self._waiting, heapq.heappop(parked))
            if not parked:
                del self._capped[namespace]
