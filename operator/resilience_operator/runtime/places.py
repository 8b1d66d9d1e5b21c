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

WORKERS_OF_A_NAMESPACE = 12
"""Of them, those of one namespace."""


class Rank(IntEnum):
    """What a place is wanted for, the most urgent first."""

    ACT = 0
    TELL = 1
    RECORD = 2


class _Waiter(NamedTuple):
    """Sorted by rank, then by arrival."""

    rank: Rank
    number: int
    namespace: str
    granted: asyncio.Future[None]


class Places:
    """total: how many may work at once. most: how many of one namespace."""

    def __init__(self, total: int = WORKERS, most: int = WORKERS_OF_A_NAMESPACE) -> None:
        self._free = total
        self._most = most
        self._taken: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        # Of namespaces that have their share: they wait for one of their own.
        self._parked: dict[str, list[_Waiter]] = {}
        self._numbers = itertools.count()

    @asynccontextmanager
    async def one(self, namespace: str, rank: Rank) -> AsyncIterator[None]:
        """Wait for a place, and hold it until the block ends."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, _Waiter(rank, next(self._numbers), namespace, granted))
        self._hand_out()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._give_back(namespace)
            raise
        try:
            yield
        finally:
            self._give_back(namespace)

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            waiter = heapq.heappop(self._waiting)
            if waiter.granted.done():  # gone meanwhile
                self._unpark(waiter.namespace)
            elif self._taken[waiter.namespace] >= self._most:
                heapq.heappush(self._parked.setdefault(waiter.namespace, []), waiter)
            else:
                self._free -= 1
                self._taken[waiter.namespace] += 1
                waiter.granted.set_result(None)

    def _give_back(self, namespace: str) -> None:
        self._free += 1
        self._taken[namespace] -= 1
        if not self._taken[namespace]:
            del self._taken[namespace]
        self._unpark(namespace)
        self._hand_out()

    def _unpark(self, namespace: str) -> None:
        if parked := self._parked.get(namespace):
            heapq.heappush(self._waiting, heapq.heappop(parked))
            if not parked:
                del self._parked[namespace]
