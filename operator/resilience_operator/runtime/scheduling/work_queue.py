"""Delaying queue of policies by uid, with the semantics of client-go's workqueue.

A policy is in the queue at most once, with the earliest time it was added for. It is processed by one worker at a time:
by an evaluation, or by a write of its status. If it becomes due meanwhile, it is dirty: it is queued again when the
worker is done.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from math import inf

from resilience_operator.runtime.cache.policy_entry import PolicyEntry


class Trigger(Enum):
    """Why a policy is evaluated: its interval or one of its timers, or an event."""

    TIMER = "timer"
    EVENT = "event"


@dataclass(slots=True)
class _Item:
    """A policy in the queue. due, dirty: when it is to be processed; infinite if it is not queued, or not dirty.

    order: of its entry in the heap; an older entry there no longer counts. not_before: earliest time for which
    an event may queue it.
    """

    entry: PolicyEntry
    due: float = inf
    trigger: Trigger = Trigger.TIMER
    order: int = 0
    dirty: float = inf
    dirty_trigger: Trigger = Trigger.EVENT
    not_before: float = -inf


class WorkQueue:
    """Policies to be processed. clock: monotonic seconds.

    on_add: called when a policy was queued. on_done: called when a policy is no longer processed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._items: dict[str, _Item] = {}
        self._heap: list[tuple[float, int, _Item]] = []
        self._order = itertools.count(1)
        self._processing: dict[str, tuple[PolicyEntry, object]] = {}
        self.on_add: Callable[[], None] = _nothing
        self.on_done: Callable[[], None] = _nothing

    @property
    def first_due(self) -> float | None:
        """When the next policy is due, or None."""
        return self._heap[0][0] if self._heap else None

    @property
    def processing(self) -> Iterable[PolicyEntry]:
        """The policies that are processed."""
        return [entry for entry, _ in self._processing.values()]

    def is_processing(self, uid: str) -> bool:
        """Return True if a policy is evaluated or its status is written."""
        return uid in self._processing

    def due(self, uid: str) -> float:
        """Return when a policy is due; infinite if it is not queued."""
        item = self._items.get(uid)
        return item.due if item is not None else inf

    def not_before(self, uid: str) -> float:
        """Return the earliest time for which an event may queue a policy."""
        item = self._items.get(uid)
        return item.not_before if item is not None else -inf

    def add(self, entry: PolicyEntry, at: float, trigger: Trigger = Trigger.EVENT) -> None:
        """Queue a policy for `at`, unless it is due earlier. While it is processed, it becomes dirty."""
        item = self._item(entry)
        if entry.uid in self._processing:
            if at < item.dirty:
                item.dirty, item.dirty_trigger = at, trigger
        elif at < item.due:
            self._push(item, at, trigger)

    def remove(self, uid: str) -> None:
        """Remove a policy. A worker that processes it goes on."""
        if (item := self._items.pop(uid, None)) is not None:
            item.order = 0

    def pop_due(self, until: float) -> Iterator[tuple[float, PolicyEntry, Trigger]]:
        """Yield the policies that are due by `until`, with the time they were due at. `start` each of them."""
        while self._heap and self._heap[0][0] <= until:
            due, order, item = heapq.heappop(self._heap)
            if order != item.order:
                continue
            item.due, item.order = inf, 0
            if item.entry.uid in self._processing:
                if due < item.dirty:
                    item.dirty, item.dirty_trigger = due, item.trigger
            elif not item.entry.deleted:
                yield due, item.entry, item.trigger

    def start(self, entry: PolicyEntry, worker: object) -> bool:
        """Start to process a policy. Returns False if another worker does."""
        return self._processing.setdefault(entry.uid, (entry, worker))[1] is worker

    def done(self, entry: PolicyEntry, at: float = inf, not_before: float | None = None) -> object:
        """End the processing of a policy. Returns its worker, or None.

        It is queued for `at`, or earlier if it is dirty. not_before: the earliest time for which an event may queue it.
        """
        _, worker = self._processing.pop(entry.uid, (entry, None))
        item = self._items.get(entry.uid)
        if item is not None:
            if not_before is not None:
                item.not_before = not_before
            dirty, item.dirty = item.dirty, inf
            if dirty < at:
                dirty = max(self._clock(), dirty)
            if dirty < min(at, item.due):
                self._push(item, dirty, item.dirty_trigger)
            elif at < inf:
                self._push(item, at, Trigger.TIMER)
        self.on_done()
        return worker

    def processed_by(self, entry: PolicyEntry, worker: object) -> bool:
        """Return True if this worker processes the policy."""
        found = self._processing.get(entry.uid)
        return found is not None and found[1] is worker

    def _item(self, entry: PolicyEntry) -> _Item:
        item = self._items.get(entry.uid)
        if item is None:
            item = self._items[entry.uid] = _Item(entry)
        return item

    def _push(self, item: _Item, at: float, trigger: Trigger) -> None:
        item.due, item.trigger, item.order = at, trigger, next(self._order)
        heapq.heappush(self._heap, (at, item.order, item))
        self.on_add()


def _nothing() -> None:
    """Called in place of a callback that is not set."""
