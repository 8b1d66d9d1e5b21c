"""When each policy is evaluated: one heap, phased by the policies' beats, in batches.

What is due together is handed on together, so that policies which read the same signals share the questions. A policy
that is still being evaluated when it is due again is not queued twice: its next turn comes after it is done, and what
it missed is counted.
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
"""Seconds to which what is asked for soon is put together: thousands may be asked for one by one."""

RETRY = 5.0
"""Seconds after which a policy is tried again that could not be scheduled."""

MIN_SPACING = 0.5
"""Seconds that lie at least between two evaluations of a policy, however much changes around it."""

STALLED = 30.0
"""Seconds for which a policy may be due without the loop taking it up, until the scheduler counts as stalled."""

HUNG = 300.0
"""Seconds within which one of the evaluations under way has to end. Collecting, acting and recording take less than
40 s, each with a deadline of its own; the rest is for a crowd that waits for its places."""

_now = time.monotonic
"""The event loop's clock, without the loop: to ask which one runs is a system call."""

Evaluate = Callable[[Sequence[PolicyEntry], bool], Awaitable[None]]
"""A batch, and whether it was planned (for its beat or a timer), or something happened."""


class Scheduler:
    """Evaluates entries when they are due. Times are those of the event loop's clock, seconds.

    on_missed: called when an evaluation took so long that the next one was missed, where no query of an author's
    choosing can be why.
    """

    def __init__(self, phases: PhaseSchedule, on_missed: Callable[[], None]) -> None:
        self._phases = phases
        self._on_overrun = on_missed
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
        self._turned = _now()
        self._ended = _now()

    def stalled(self) -> str:
        """Empty while evaluations begin and end, else what does not."""
        now = _now()
        if not self._running:
            return ""
        if self._heap and (late := now - max(self._heap[0][0], self._turned)) > STALLED:
            return f"evaluations have been due for {late:.0f} s, and the scheduler does not begin them"
        if self._batches and (silent := now - self._ended) > HUNG:
            return f"evaluations are under way, and none has ended for {silent:.0f} s"
        return ""

    def add(self, entry: PolicyEntry) -> None:
        """Begin with a new policy, or one whose spec changed: at once."""
        self._push(entry, _align(_now()))

    def remove(self, entry: PolicyEntry) -> None:
        """Forget a policy."""
        self._due.pop(entry.uid, None)
        self._last.pop(entry.uid, None)
        self._planned.discard(entry.uid)
        self._dirty.pop(entry.uid, None)

    def enqueue(self, entry: PolicyEntry, delay: float = 0.0) -> None:
        """Something happened around a policy: evaluate it soon, in `delay` seconds."""
        at = _align(max(_now() + delay, self._last.get(entry.uid, -math.inf) + MIN_SPACING))
        if entry.batch_id:
            self._dirty[entry.uid] = min(at, self._dirty.get(entry.uid, math.inf))
        elif at < self._due.get(entry.uid, math.inf):
            self._push(entry, at)

    def schedule_next(self, entry: PolicyEntry, wake_in: float | None) -> None:
        """Plan the next evaluation after one: on the policy's own beat, or sooner when a timer is due."""
        now, interval = _now(), entry.interval
        offset = self._phases.offset(entry)
        # What was gathered early has had the beat that is just to come.
        beat = (math.floor((now + BATCH_WINDOW - offset) / interval) + 1) * interval + offset
        at = beat if wake_in is None else min(beat, now + max(wake_in, MIN_SPACING))
        again = self._dirty_at(entry)
        self._push(entry, min(at, again), planned=at <= again)

    async def run(self, evaluate: Evaluate, stop: asyncio.Event) -> None:
        """Hand out batches to `evaluate` until `stop`; then wait for those under way to end, cancelling them."""
        stopped = asyncio.create_task(stop.wait())
        self._running = True
        try:
            while not stop.is_set():
                self._changed.clear()
                self._turned = _now()
                for batch, planned in self._pop_due():
                    if not self._batches:
                        self._ended = self._turned
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
        """A policy is evaluated, whatever else is still under way in its batch."""
        entry.batch_id = 0
        self._ended = now = _now()
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
        elif (again := self._dirty_at(entry)) < due:
            self._push(entry, again)

    def _dirty_at(self, entry: PolicyEntry) -> float:
        """When a policy is due that was poked while it was evaluated: once that is over. Infinite if it was not."""
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
        """End an evaluation that nobody ended. Whatever is wrong with one, the others of the batch go on."""
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
