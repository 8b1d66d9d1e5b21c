"""Schedules evaluations: one heap, ordered by due time, emptied in batches.

Policies that are due together are evaluated together, so that policies with the same signals share queries. A policy
that becomes due while it is evaluated is not queued twice. It is scheduled again when it is done, and missed
evaluations are counted.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Sequence

from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.containment import Stage, contain
from resilience_operator.runtime.scheduling.phase import PhaseSchedule
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

Evaluate = Callable[[Sequence[PolicyEntry], bool], Awaitable[None]]
"""Called with a batch, and whether it was planned (interval or timer) or triggered by an event."""


class Scheduler:
    """Evaluates policies when they are due. Times are in seconds of the event loop's clock.

    on_overrun: called when an evaluation took so long that the next one was missed. Not called for policies with custom
    queries, which may be the cause.
    """

    def __init__(self, phases: PhaseSchedule, on_overrun: Callable[[], None]) -> None:
        self._phases = phases
        self._on_overrun = on_overrun
        self._heap: list[tuple[float, int, PolicyEntry]] = []
        self._planned: set[str] = set()
        self._due: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._dirty: dict[str, float] = {}
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self._batches: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._running = False
        self._last_pass = _now()
        self._last_end = _now()

    def stalled(self) -> str:
        """Return why the scheduler counts as stalled; empty while evaluations start and end."""
        now = _now()
        if not self._running:
            return ""
        if self._heap and (late := now - max(self._heap[0][0], self._last_pass)) > STALLED:
            return f"evaluations are {late:.0f} s overdue, and the scheduler does not start them"
        if self._batches and (silent := now - self._last_end) > HUNG:
            return f"evaluations are running, and none has ended for {silent:.0f} s"
        return ""

    def add(self, entry: PolicyEntry) -> None:
        """Schedule a new policy, or one with a changed spec, immediately."""
        self._push(entry, _align(_now()))

    def remove(self, entry: PolicyEntry) -> None:
        """Remove a policy."""
        self._due.pop(entry.uid, None)
        self._last.pop(entry.uid, None)
        self._planned.discard(entry.uid)
        self._dirty.pop(entry.uid, None)

    def enqueue(self, entry: PolicyEntry, delay: float = 0.0) -> None:
        """Schedule an event-triggered evaluation in `delay` seconds."""
        at = _align(max(_now() + delay, self._last.get(entry.uid, -math.inf) + MIN_SPACING))
        if entry.batch_id:
            self._dirty[entry.uid] = min(at, self._dirty.get(entry.uid, math.inf))
        elif at < self._due.get(entry.uid, math.inf):
            self._push(entry, at)

    def schedule_next(self, entry: PolicyEntry, wake_in: float | None) -> None:
        """Schedule the next evaluation: at the policy's interval, or earlier when a timer is due."""
        now, interval = _now(), entry.interval
        offset = self._phases.offset(entry)
        # A policy evaluated up to BATCH_WINDOW early has used the slot that is about to begin.
        regular = (math.floor((now + BATCH_WINDOW - offset) / interval) + 1) * interval + offset
        at = regular if wake_in is None else min(regular, now + max(wake_in, MIN_SPACING))
        dirty_at = self._dirty_at(entry)
        self._push(entry, min(at, dirty_at), planned=at <= dirty_at)

    async def run(self, evaluate: Evaluate, stop: asyncio.Event) -> None:
        """Start a task for each due batch until `stop` is set; then cancel the running ones and wait for them."""
        stopped = asyncio.create_task(stop.wait())
        self._running = True
        try:
            while not stop.is_set():
                self._changed.clear()
                self._last_pass = _now()
                for batch, planned in self._pop_due():
                    if not self._batches:
                        self._last_end = self._last_pass
                    task = asyncio.create_task(self._run(evaluate, batch, planned))
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

    def _pop_due(self) -> list[tuple[list[PolicyEntry], bool]]:
        now, number = _now(), next(self._numbers)
        groups: dict[tuple[str, bool], list[PolicyEntry]] = {}
        while self._heap and self._heap[0][0] <= now + BATCH_WINDOW:
            due, _, entry = heapq.heappop(self._heap)
            if entry.deleted or self._due.get(entry.uid) != due:
                continue
            del self._due[entry.uid]
            if entry.batch_id:
                continue
            try:
                group = self._phases.batch_key(entry), entry.uid in self._planned
            except Exception as error:
                contain(Stage.SCHEDULE, *entry.key, error)
                self._push(entry, now + RETRY)
                continue
            entry.batch_id, entry.started_at = number, now
            EVALUATION_LAG.observe(max(0.0, now - due))
            groups.setdefault(group, []).append(entry)
        return [(batch, planned) for (_, planned), batch in groups.items()]

    def done(self, entry: PolicyEntry) -> None:
        """Mark a policy as evaluated, independently of the rest of its batch."""
        entry.batch_id = 0
        self._last_end = now = _now()
        if entry.deleted:
            return
        self._last[entry.uid] = now
        if missed := (now - entry.started_at) // entry.interval:
            EVALUATIONS_SKIPPED.inc(missed)
            if entry.shared_queries_only:
                self._on_overrun()
        due = self._due.get(entry.uid)
        if due is None:
            self.schedule_next(entry, None)
        elif (dirty_at := self._dirty_at(entry)) < due:
            self._push(entry, dirty_at)

    def _dirty_at(self, entry: PolicyEntry) -> float:
        """Return when a policy is due that was enqueued during its evaluation; infinite if it was not."""
        return max(_now(), self._dirty.pop(entry.uid, math.inf))

    async def _run(self, evaluate: Evaluate, batch: list[PolicyEntry], planned: bool) -> None:
        number = batch[0].batch_id
        try:
            await evaluate(batch, planned)
        except Exception as error:
            contain(Stage.SCHEDULE, "", f"a batch of {len(batch)}", error)
        finally:
            for entry in batch:
                if entry.batch_id == number:
                    self._end(entry)

    def _end(self, entry: PolicyEntry) -> None:
        """End an evaluation that was not marked as done. Errors do not affect the rest of the batch."""
        try:
            self.done(entry)
        except Exception as error:
            contain(Stage.SCHEDULE, *entry.key, error)
            self._push(entry, _now() + RETRY)

    def _push(self, entry: PolicyEntry, at: float, *, planned: bool = False) -> None:
        self._due[entry.uid] = at
        (self._planned.add if planned else self._planned.discard)(entry.uid)
        heapq.heappush(self._heap, (at, next(self._order), entry))
        self._changed.set()

    def _until_next(self) -> float | None:
        return max(0.0, self._heap[0][0] - _now()) if self._heap else None


def _align(at: float) -> float:
    return math.ceil(at / COALESCE_WINDOW) * COALESCE_WINDOW
