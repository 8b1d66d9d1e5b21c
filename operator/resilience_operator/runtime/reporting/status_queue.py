"""Queue of policies whose status is still to be written. At most `AT_ONCE` writes run concurrently.

The queue holds policies; what is to be written is `PolicyEntry.reported.pending`, the newest. Actions and Events have
priority. A waiting policy is still evaluated at each interval, which replaces what is pending by something newer, or
acts and makes it unnecessary.
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
from resilience_operator.runtime.scheduling.work_queue import WorkQueue

AT_ONCE = 4
"""Concurrent writes: enough to keep an API server busy, without starving its other clients."""

PER_NAMESPACE = 3
"""Concurrent writes of one namespace."""

Write = Callable[[PolicyEntry], Awaitable[None]]
"""Writes the pending status of a policy. Raises only CancelledError."""


class StatusQueue:
    """Policies to be written, round-robin over namespaces.

    work: a policy that is evaluated is not written meanwhile, and the reverse. rate_limiter: delays writes.
    """

    def __init__(self, work: WorkQueue, admission: FairSemaphore, rate_limiter: AdaptiveRateLimiter) -> None:
        self._work = work
        self._admission = admission
        self._rate_limiter = rate_limiter
        self._waiting: dict[str, dict[str, PolicyEntry]] = {}
        self._acquiring: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        work.on_done = self._done

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, entry: PolicyEntry) -> None:
        """Queue a policy with a pending status. It keeps its place if it is in the queue."""
        self._waiting.setdefault(entry.namespace, {})[entry.uid] = entry
        self._changed.set()

    async def run(self, write: Write, stop: asyncio.Event) -> None:
        """Write statuses until `stop` is set; then cancel those in progress."""
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

    def _done(self) -> None:
        """A policy is no longer processed: it can be written."""
        if self._waiting:
            self._changed.set()

    def _start_writes(self, write: Write) -> None:
        while len(self._tasks) < AT_ONCE and not self._rate_limiter.delay:
            namespace = next(filter(self._has_work, tuple(self._waiting)), None)
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
            and self._first(namespace) is not None
            and self._acquiring[namespace] < len(self._waiting[namespace])
        )

    def _first(self, namespace: str) -> PolicyEntry | None:
        """Return the first policy in the queue that nothing else processes. Drop those with nothing to write."""
        for entry in tuple(self._waiting.get(namespace, {}).values()):
            if entry.reported.pending is None:
                self._remove(entry)
            elif not self._work.is_processing(entry.uid):
                return entry
        return None

    async def _write_one(self, namespace: str, write: Write) -> None:
        """Wait for admission, then write the first policy in the queue at that time."""
        async with self._slot(namespace):
            entry = self._first(namespace)
            if entry is None or not self._work.start(entry, self):
                return
            try:
                self._remove(entry)
                await write(entry)
            except Exception as error:
                contain(Stage.WRITE, *entry.key, error)
            finally:
                self._work.done(entry)

    def _remove(self, entry: PolicyEntry) -> None:
        waiting = self._waiting.get(entry.namespace, {})
        if waiting.pop(entry.uid, None) is not None and not waiting:
            del self._waiting[entry.namespace]

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

    def _ended(self, namespace: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            contain(Stage.WRITE, namespace, "a status", error)
        self._running[namespace] -= 1
        if not self._running[namespace]:
            del self._running[namespace], self._acquiring[namespace]
        self._changed.set()
