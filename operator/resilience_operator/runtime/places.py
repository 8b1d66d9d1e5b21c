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

from resilience_operator.resilience import Deadline


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
    granted: asyncio.Future[bool]


class Places:
    """total: how many may work at once. most: how many of one namespace."""

    def __init__(self, total: int, most: int) -> None:
        self._free = total
        self._most = most
        self._taken: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        # Of namespaces that have their share: they wait for one of their own.
        self._parked: dict[str, list[_Waiter]] = {}
        self._numbers = itertools.count()

    @asynccontextmanager
    async def one(self, namespace: str, rank: Rank, until: Deadline | None = None) -> AsyncIterator[bool]:
        """Wait for a place, and hold it until the block ends. False, without a place, when none came until then."""
        loop = asyncio.get_running_loop()
        granted: asyncio.Future[bool] = loop.create_future()
        heapq.heappush(self._waiting, _Waiter(rank, next(self._numbers), namespace, granted))
        self._hand_out()
        timer = None
        if until is not None and not granted.done():
            timer = loop.call_later(until.remaining(), _turn_away, granted)
        try:
            got = await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.result():
                self._give_back(namespace)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        try:
            yield got
        finally:
            if got:
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
                waiter.granted.set_result(True)

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


def _turn_away(granted: asyncio.Future[bool]) -> None:
    if not granted.done():
        granted.set_result(False)
