"""Queue of deferred status writes, coalesced per policy. At most `AT_ONCE` run concurrently.

Actions and Events have priority. A waiting policy is still evaluated at each interval, which replaces its pending write
by a newer one, or acts and makes it unnecessary.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.containment import Stage, contain
from resilience_operator.runtime.scheduling.admission import FairSemaphore, Priority
from resilience_operator.runtime.scheduling.rate_limit import AdaptiveRateLimiter

AT_ONCE = 4
"""Concurrent writes: enough to keep an API server busy, without starving its other clients."""

PER_NAMESPACE = 3
"""Concurrent writes of one namespace."""

StatusWrite = Callable[[], Awaitable[None]]
"""Writes the status of one evaluation."""

Write = Callable[[PolicyEntry, StatusWrite], Awaitable[None]]
"""Executes a status write. Raises only CancelledError."""


class StatusQueue:
    """Pending status writes: the newest of each policy, round-robin over namespaces. rate_limiter: delays writes."""

    def __init__(self, admission: FairSemaphore, rate_limiter: AdaptiveRateLimiter) -> None:
        self._admission = admission
        self._rate_limiter = rate_limiter
        self._waiting: dict[str, dict[str, tuple[PolicyEntry, StatusWrite]]] = {}
        self._acquiring: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, entry: PolicyEntry, status_write: StatusWrite) -> None:
        """Queue a status write, replacing an older one of the same policy."""
        self._waiting.setdefault(entry.namespace, {})[entry.uid] = entry, status_write
        self._changed.set()

    def discard(self, entry: PolicyEntry) -> None:
        """Drop the pending write of a policy, which is out of date."""
        self._pop(entry)

    async def run(self, write: Write, stop: asyncio.Event) -> None:
        """Execute writes until `stop` is set; then cancel those in progress."""
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._changed.clear()
                self._start_writes(write)
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait(
                    (changed, stopped), timeout=self._rate_limiter.delay or None, return_when=asyncio.FIRST_COMPLETED
                )
                changed.cancel()
        finally:
            stopped.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start_writes(self, write: Write) -> None:
        while len(self._tasks) < AT_ONCE and not self._rate_limiter.delay:
            namespace = next(filter(self._has_work, self._waiting), None)
            if namespace is None:
                return
            # Move to the end, so that other namespaces are next.
            self._waiting[namespace] = self._waiting.pop(namespace)
            self._acquiring[namespace] += 1
            self._running[namespace] += 1
            task = asyncio.create_task(self._write_one(namespace, write))
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, namespace))

    def _has_work(self, namespace: str) -> bool:
        return (
            self._running[namespace] < PER_NAMESPACE
            and self._acquiring[namespace] < len(self._waiting[namespace])
            and self._first(namespace) is not None
        )

    def _first(self, namespace: str) -> PolicyEntry | None:
        """Return the first policy in the queue that is not locked. A locked one gets a newer write, or needs none."""
        return next((entry for entry, _ in self._waiting.get(namespace, {}).values() if not entry.locked), None)

    async def _write_one(self, namespace: str, write: Write) -> None:
        """Wait for admission, then execute the first write in the queue at that time."""
        async with self._slot(namespace):
            entry = self._first(namespace)
            status_write = self._pop(entry) if entry is not None else None
            if entry is None or status_write is None:
                return
            entry.locked = True
            try:
                await write(entry, status_write)
            except Exception as error:
                contain(Stage.WRITE, *entry.key, error)
            finally:
                entry.locked = False

    @asynccontextmanager
    async def _slot(self, namespace: str) -> AsyncIterator[None]:
        """Acquire a slot. Until it is granted or the wait is cancelled, it counts as pending."""
        acquiring = True
        try:
            async with self._admission.acquire(namespace, Priority.STATUS):
                self._acquiring[namespace] -= 1
                acquiring = False
                yield
        finally:
            if acquiring:
                self._acquiring[namespace] -= 1

    def _pop(self, entry: PolicyEntry) -> StatusWrite | None:
        waiting = self._waiting.get(entry.namespace, {})
        found = waiting.pop(entry.uid, None)
        if not waiting:
            self._waiting.pop(entry.namespace, None)
        return found[1] if found is not None else None

    def _ended(self, namespace: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            contain(Stage.WRITE, namespace, "a status", error)
        self._running[namespace] -= 1
        if not self._running[namespace]:
            del self._running[namespace], self._acquiring[namespace]
        self._changed.set()
