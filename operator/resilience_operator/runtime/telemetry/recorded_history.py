"""What the metric source recorded before this process evaluated a policy, read when a page asks for it.

Nothing is read at start, and nothing while nobody looks. One policy is read at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from resilience_operator.decision.model.target import TargetState
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, TargetKey
from resilience_operator.runtime.containment import start
from resilience_operator.runtime.telemetry.history import Marker
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.recorded import Column, RecordedSignals
from resilience_operator.signals.sources.protocol import TimeRange

log = logging.getLogger(__name__)

SPANS: Mapping[float, float] = {3600.0: 15.0, 6 * 3600.0: 60.0}
"""Seconds that a page can show, and the step between two points read from the source."""

WITHIN = 10.0
"""Seconds for all queries of one policy."""

RETRY = 60.0
"""Seconds after which a failed read is repeated, if a page still asks. Ten times as many if a part was read."""

MAX_KEPT = 100
"""Policies whose answers are kept."""

MAX_WAITING = 20
"""Reads that wait for their turn. Further pages ask again later."""


class ReadRange(Protocol):
    """Reads the signals of a policy's requests over past times. Never raises for a failing source."""

    async def __call__(
        self, requests: Sequence[SignalRequest], times: TimeRange, *, deadline: Deadline
    ) -> RecordedSignals: ...


@dataclass(slots=True)
class Recorded:
    """What was read for one policy. at: when, in seconds since the epoch.

    source: the name of the metric source. state: `reading`, `ready` or `failed`; fault: why a part could not be read.
    columns: by signal, as the decision compares them. marks: new revisions that the target still has.
    """

    at: float
    generation: int
    source: str
    times: TimeRange
    state: str = "reading"
    fault: str = ""
    columns: Mapping[str, Column] = field(default_factory=dict)
    replicas: Column = field(default_factory=list)
    ready: Column = field(default_factory=list)
    marks: Sequence[Marker] = ()


class RecordedHistory:
    """Reads and keeps the past of policies. target: returns the current target. clock: seconds since the epoch."""

    def __init__(
        self, read: ReadRange, target: Callable[[TargetKey], TargetState | None], clock: Callable[[], float]
    ) -> None:
        self._read, self._target, self._clock = read, target, clock
        self._kept: OrderedDict[tuple[str, float], Recorded] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._read_lock = asyncio.Lock()

    def get(self, entry: PolicyEntry, span: float) -> Recorded | None:
        """What was recorded of a policy in the last `span` seconds before its oldest point in memory.

        None if the memory covers the span, or if it cannot be read now. The first call starts the read; later ones
        return its result. It is repeated after a failure, and once its end is older than the oldest point in memory.
        """
        history, policy = entry.evaluation_history, entry.policy
        if history is None or policy is None:
            return None
        now, step = self._clock(), SPANS[span]
        oldest = history.oldest
        if oldest is None or oldest - step <= now - span:
            return None
        key = entry.uid, span
        kept = self._kept.get(key)
        if kept is not None and kept.generation == entry.compiled.generation:
            covers = kept.times.end >= oldest - 2 * step
            wait = 10 * RETRY if kept.columns else RETRY
            if kept.state == "reading" or (kept.state == "ready" and covers) or now - kept.at < wait:
                self._kept.move_to_end(key)
                return kept
        target = self._target(entry.target)
        if target is None or len(self._tasks) >= MAX_WAITING:
            return kept
        found = Recorded(now, entry.compiled.generation, entry.compiled.source, TimeRange.before(now, span, step))
        self._keep(key, found)
        task = start(self._fill(entry, target, found), "recorded history")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return found

    async def close(self) -> None:
        """End the reads under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(self, key: tuple[str, float], found: Recorded) -> None:
        self._kept[key] = found
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    async def _fill(self, entry: PolicyEntry, target: TargetState, found: Recorded) -> None:
        """Read, and complete `found`. A failure is shown on the page."""
        try:
            async with self._read_lock:
                answer = await self._read(_requests(entry, target), found.times, deadline=Deadline.after(WITHIN))
        except Exception as error:
            log.exception("the recorded history of %s/%s could not be read", entry.namespace, entry.name)
            found.fault, found.state, found.at = f"{error!r}; this is a bug in the operator", "failed", self._clock()
            return
        policy = entry.policy
        totals = {name for name, signal in policy.signals.items() if signal.total} if policy is not None else set()
        found.columns = {
            name: _per_pod(column, answer.replicas) if name in totals else column
            for name, column in answer.signals.items()
        }
        found.replicas, found.ready, found.fault = answer.replicas, answer.ready, answer.fault
        found.marks = [
            Marker(r.created, "revision", r.name)
            for r in sorted(target.revisions, key=lambda r: r.created)
            if r.created >= found.times.start
        ]
        found.at, found.state = self._clock(), "failed" if answer.fault else "ready"


def _requests(entry: PolicyEntry, target: TargetState) -> list[SignalRequest]:
    """The requests of a policy, for all revisions that its target still has."""
    compiled = entry.compiled
    kind, namespace, name = compiled.target
    owners = {r.owner: "" for r in target.revisions} or dict.fromkeys(target.pod_owners, "")
    return [
        SignalRequest(namespace, name, kind, owners, signal, compiled.source, compiled.preset_family)
        for signal in compiled.signals
    ]


def _per_pod(total: Column, replicas: Column) -> Column:
    """The totals divided by the replicas; unknown where these are."""
    return [None if v is None or not n else v / n for v, n in zip(total, replicas, strict=True)]
