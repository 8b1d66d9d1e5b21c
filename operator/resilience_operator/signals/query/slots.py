"""A semaphore shared fairly between namespaces: round robin, with a limit per namespace."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairSlots:
    """A semaphore with one queue per namespace.

    total: number of slots. per_namespace: maximum number of them that one namespace may hold.
    A released slot goes to the next namespace in turn that has a waiter and is below its limit.
    """

    def __init__(self, total: int, per_namespace: int) -> None:
        self._free = total
        self._per_namespace = per_namespace
        self._held: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def acquire(self, namespace: str) -> AsyncIterator[None]:
        """Wait for a slot and hold it until the block ends."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(namespace, deque()).append(granted)
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._release(namespace)
            else:
                self._drop(namespace, granted)
            raise
        try:
            yield
        finally:
            self._release(namespace)

    def _release(self, namespace: str) -> None:
        self._free += 1
        self._held[namespace] -= 1
        if not self._held[namespace]:
            del self._held[namespace]
        self._grant()

    def _drop(self, namespace: str, granted: asyncio.Future[None]) -> None:
        queue = self._queues.get(namespace)
        if queue is not None and granted in queue:
            queue.remove(granted)
            if not queue:
                del self._queues[namespace]

    def _grant(self) -> None:
        while self._free:
            namespace = next((n for n in self._queues if self._held[n] < self._per_namespace), None)
            if namespace is None:
                return
            queue = self._queues[namespace]
            granted = queue.popleft()
            if queue:
                self._queues.move_to_end(namespace)
            else:
                del self._queues[namespace]
            if granted.done():
                continue
            self._free -= 1
            self._held[namespace] += 1
            granted.set_result(None)
