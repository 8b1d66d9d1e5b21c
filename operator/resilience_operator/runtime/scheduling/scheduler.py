"""Schedules evaluations: decides when each policy is due, and takes due policies from the work queue in batches.

Policies that are due together are evaluated together, so that policies with the same signals share queries. Evaluations
missed because the previous one took too long are counted.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.containment import Stage, contain
from resilience_operator.runtime.scheduling.phase import PhaseSchedule
from resilience_operator.runtime.scheduling.work_queue import Trigger, WorkQueue
from resilience_operator.runtime.telemetry.metrics import EVALUATION_LAG, EVALUATIONS_SKIPPED

BATCH_WINDOW = 0.05
"""Seconds within which evaluations count as due together."""

COALESCE_WINDOW = 0.25
"""Seconds to which event-triggered evaluations are aligned: thousands may be enqueued one by one."""

RETRY = 5.0
"""Seconds after which scheduling a policy is retried after an error."""

MIN_SPACING = 0.5
"""Minimum seconds between two evaluations of a policy, however many events there are."""

STALLED = 30.0
"""Seconds a policy may be overdue before the scheduler counts as stalled."""

HUNG = 300.0
"""Maximum seconds without the end of any evaluation in progress. Collecting, acting and recording take less than 40 s,
each with its own deadline; the rest allows for waiting for admission."""

_now = time.monotonic
"""The event loop's clock without the lookup of the running loop, which is a system call."""

Evaluate = Callable[[Sequence[PolicyEntry], Trigger], Awaitable[None]]
"""Called with a batch. It ends the evaluation of each policy with `Scheduler.done`."""


class _Batch(NamedTuple):
    """Policies that are evaluated together. started: in seconds of the event loop's clock."""

    entries: list[PolicyEntry]
    trigger: Trigger
    started: float


class Scheduler:
    """Evaluates policies when they are due. Times are in seconds of the event loop's clock.

    on_overrun: called when an evaluation took so long that the next one was missed. Not called for policies with custom
    queries, which may be the cause.
    """

    def __init__(self, queue: WorkQueue, phases: PhaseSchedule, on_overrun: Callable[[], None]) -> None:
        self._queue = queue
        self._phases = phases
        self._on_overrun = on_overrun
        self._changed = asyncio.Event()
        self._batches: set[asyncio.Task[None]] = set()
        self._running = False
        self._last_pass = _now()
        self._last_end = _now()
        queue.on_add = self._changed.set

    def stalled(self) -> str:
        """Return why the scheduler counts as stalled; empty while evaluations start and end."""
        now = _now()
        if not self._running:
            return ""
        first = self._queue.first_due
        if first is not None and (late := now - max(first, self._last_pass)) > STALLED:
            return f"evaluations are {late:.0f} s overdue, and the scheduler does not start them"
        if self._batches and (silent := now - self._last_end) > HUNG:
            return f"evaluations are running, and none has ended for {silent:.0f} s"
        return ""

    def add(self, entry: PolicyEntry) -> None:
        """Schedule a new policy, or one with a changed spec, immediately."""
        self._queue.add(entry, _align(_now()))

    def remove(self, entry: PolicyEntry) -> None:
        """Remove a policy."""
        self._queue.remove(entry.uid)

    def enqueue(self, entry: PolicyEntry, delay: float = 0.0) -> None:
        """Schedule an event-triggered evaluation in `delay` seconds."""
        self._queue.add(entry, _align(max(_now() + delay, self._queue.not_before(entry.uid))))

    async def run(self, evaluate: Evaluate, stop: asyncio.Event) -> None:
        """Start a task for each due batch until `stop` is set; then cancel the running ones and wait for them."""
        stopped = asyncio.create_task(stop.wait())
        self._running = True
        try:
            while not stop.is_set():
                self._changed.clear()
                self._last_pass = _now()
                for batch in self._pop_due():
                    if not self._batches:
                        self._last_end = self._last_pass
                    task = asyncio.create_task(self._run(evaluate, batch))
                    self._batches.add(task)
                    task.add_done_callback(self._batches.discard)
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait((changed, stopped), timeout=self._until_next(), return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        finally:
            self._running = False
            stopped.cancel()
            for task in self._batches:
                task.cancel()
            await asyncio.gather(*self._batches, return_exceptions=True)

    def _pop_due(self) -> list[_Batch]:
        now = _now()
        batches: dict[tuple[str, Trigger], _Batch] = {}
        for due, entry, trigger in self._queue.pop_due(now + BATCH_WINDOW):
            try:
                key = self._phases.batch_key(entry), trigger
            except Exception as error:
                contain(Stage.SCHEDULE, *entry.key, error)
                self._queue.add(entry, now + RETRY)
                continue
            EVALUATION_LAG.observe(max(0.0, now - due))
            batch = batches.get(key)
            if batch is None:
                batch = batches[key] = _Batch([], trigger, now)
            batch.entries.append(entry)
            self._queue.start(entry, batch)
        return list(batches.values())

    def done(self, entry: PolicyEntry, wake_in: float | None = None) -> None:
        """End the evaluation of a policy, independently of the rest of its batch, and schedule the next one.

        The next one is at the policy's interval, or in `wake_in` seconds if that is earlier: then a timer is due.
        """
        self._last_end = now = _now()
        at = math.inf if entry.deleted else self._next(entry, now, wake_in)
        batch = self._queue.done(entry, at, now + MIN_SPACING)
        if isinstance(batch, _Batch) and (missed := (now - batch.started) // entry.interval) and not entry.deleted:
            EVALUATIONS_SKIPPED.inc(missed)
            if entry.compiled.shared_queries_only:
                self._on_overrun()

    def _next(self, entry: PolicyEntry, now: float, wake_in: float | None) -> float:
        interval, offset = entry.interval, self._phases.offset(entry)
        # A policy evaluated up to BATCH_WINDOW early has used the slot that is about to begin.
        regular = (math.floor((now + BATCH_WINDOW - offset) / interval) + 1) * interval + offset
        return regular if wake_in is None else min(regular, now + max(wake_in, MIN_SPACING))

    async def _run(self, evaluate: Evaluate, batch: _Batch) -> None:
        try:
            await evaluate(batch.entries, batch.trigger)
        except Exception as error:
            contain(Stage.SCHEDULE, "", f"a batch of {len(batch.entries)}", error)
        finally:
            for entry in batch.entries:
                if self._queue.processed_by(entry, batch):
                    self._end(entry)

    def _end(self, entry: PolicyEntry) -> None:
        """End an evaluation that was not marked as done. Errors do not affect the rest of the batch."""
        try:
            self.done(entry)
        except Exception as error:
            contain(Stage.SCHEDULE, *entry.key, error)
            self._queue.done(entry, _now() + RETRY)

    def _until_next(self) -> float | None:
        first = self._queue.first_due
        return max(0.0, first - _now()) if first is not None else None


def _align(at: float) -> float:
    return math.ceil(at / COALESCE_WINDOW) * COALESCE_WINDOW
