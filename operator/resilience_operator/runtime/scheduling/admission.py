"""Priority semaphore with a per-namespace cap, so that one busy namespace cannot take every slot.

Actions come before Events, and Events before status writes.
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
"""Maximum number of policies in one process that act or write concurrently."""

WORKERS_PER_NAMESPACE = 12
"""Maximum number of them in one namespace."""


class Priority(IntEnum):
    """What a slot is for, most urgent first."""

    ACT = 0
    EVENT = 1
    STATUS = 2


class _Waiter(NamedTuple):
    """Sorted by priority, then by arrival."""

    priority: Priority
    number: int
    namespace: str
    granted: asyncio.Future[None]


class FairSemaphore:
    """total: number of slots. per_namespace: maximum slots of one namespace."""

    def __init__(self, total: int = WORKERS, per_namespace: int = WORKERS_PER_NAMESPACE) -> None:
        self._free = total
        self._per_namespace = per_namespace
        self._taken: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        # Waiters of namespaces at their cap: they wait for a slot of their own namespace.
        self._capped: dict[str, list[_Waiter]] = {}
        self._numbers = itertools.count()

    @asynccontextmanager
    async def acquire(self, namespace: str, priority: Priority) -> AsyncIterator[None]:
        """Wait for a slot, and hold it until the block ends."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, _Waiter(priority, next(self._numbers), namespace, granted))
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
            if waiter.granted.done():  # cancelled while waiting
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
        if capped := self._capped.get(namespace):
            heapq.heappush(self._waiting, heapq.heappop(capped))
            if not capped:
                del self._capped[namespace]
