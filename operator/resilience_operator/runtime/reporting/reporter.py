"""Reports what evaluations lead to: metrics, log, history, Events, notifications, and the status.

`publish` reports outcomes and notices to all of them but the status. The dashboard shows the status that was written.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from resilience_operator.api.conditions import ConditionType, condition
from resilience_operator.api.pause import Pause
from resilience_operator.api.status import PolicyStatus
from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.commands import Outcome, Result, Verb
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.memory_codec import dump_memory
from resilience_operator.decision.model.target import TargetState
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.resilience import CallError, Deadline
from resilience_operator.runtime.cache.packed_status import pack, unpack
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.cache.source_catalog import ReadyProblem
from resilience_operator.runtime.containment import Stage, contain
from resilience_operator.runtime.reporting.event_recorder import EventRecorder
from resilience_operator.runtime.reporting.notifications import notifications_of
from resilience_operator.runtime.reporting.publication import Publication
from resilience_operator.runtime.reporting.skip import SkipReason
from resilience_operator.runtime.reporting.status_queue import StatusQueue
from resilience_operator.runtime.reporting.status_writer import StatusWriter
from resilience_operator.runtime.telemetry.metrics import ACTIONS
from resilience_operator.status.history import history_entry, notice_entry, to_datetime
from resilience_operator.status.render import render, render_skipped

log = logging.getLogger(__name__)


class Reporter:
    """Reports the evaluations of all policies. queue: of the policies whose status can wait."""

    def __init__(
        self, queue: StatusQueue, status_writer: StatusWriter, event_recorder: EventRecorder, notifiers: Notifiers
    ) -> None:
        self._queue = queue
        self._status_writer = status_writer
        self._event_recorder = event_recorder
        self._notifiers = notifiers

    def forget(self, entry: PolicyEntry) -> None:
        """Drop the state of a deleted policy."""
        entry.reported.pending = None
        self._status_writer.forget(entry.uid)
        self._event_recorder.forget(entry.uid)

    def has_pending(self, uid: str) -> bool:
        """Return True if Events of a policy are pending."""
        return self._event_recorder.has_pending(uid)

    def refresh_due(self, entry: PolicyEntry) -> bool:
        """Return True if the values displayed in the status may be refreshed now."""
        return self._status_writer.refresh_due(entry)

    def report_due(self, entry: PolicyEntry) -> bool:
        """Return True if Events are pending, or displayed values may be refreshed."""
        return self._event_recorder.has_pending(entry.uid) or self._status_writer.refresh_due(entry)

    def defer(self, entry: PolicyEntry, pending: object) -> None:
        """Write the status later. `pending` replaces an older one of the same policy."""
        if not entry.deleted:
            entry.reported.pending = pending
            self._queue.add(entry)

    async def publish(self, entry: PolicyEntry, publication: Publication, deadline: Deadline) -> None:
        """Report outcomes and notices. The status is written after this."""
        outcomes, at, trace_id = publication.outcomes, publication.at, publication.trace_id
        for outcome in outcomes:
            ACTIONS.labels(outcome.command.verb.value, outcome.result.value).inc()
            _log_outcome(entry, outcome, trace_id)
        done = [o for o in outcomes if o.applied or o.command.verb is Verb.PLUGIN]
        marked = [notice_entry(n.history, n, at, trace_id) for n in publication.notices if n.history is not None]
        entry.history = entry.history.add([*marked, *(history_entry(o, at, trace_id) for o in done)])
        await self._event_recorder.record(entry, publication, deadline)
        for notification in notifications_of(entry, publication):
            self._notifiers.enqueue(notification)

    async def publish_pause(
        self, entry: PolicyEntry, target: TargetState, pause: Pause | None, at: float, deadline: Deadline
    ) -> None:
        """Report the start of a manual pause (`pause` is set) or its end (None)."""
        await self._event_recorder.record_pause(entry, target, pause, at, deadline)

    async def write_status(
        self,
        entry: PolicyEntry,
        decision: Decision,
        target: TargetState,
        memory: Memory,
        deadline: Deadline,
        *,
        why: str,
        outcomes: Sequence[Outcome] = (),
        problem: ReadyProblem | None = None,
    ) -> bool:
        """Write the status of a decision. False: a flapping policy exceeded its write limit; try again later.

        memory: to be stored. problem: of the policy, if its status was readable.
        """
        if undelivered := self._event_recorder.undelivered(entry.uid):
            # If this process stops, the next one reports them.
            memory = replace(memory, announced=memory.announced - undelivered)
        unreadable = entry.reported.status_problem
        rendering = partial(
            render,
            decision,
            target,
            memory,
            entry.history,
            entry.status.conditions,
            failures=[o for o in outcomes if o.result is Result.FAILED],
            problem=ReadyProblem("StatusUnreadable", unreadable.message) if unreadable is not None else problem,
        )
        written = await self._status_writer.write_status(entry, rendering, deadline, why=why)
        if written and unreadable is not None and not unreadable.written:
            unreadable.written = decision.at
        return written

    async def write_skip(self, entry: PolicyEntry, skip: SkipReason, now: float, deadline: Deadline) -> None:
        """Write why a policy is not evaluated to its condition Ready."""
        entry.reported.invalidate()
        ready = condition(
            ConditionType.READY,
            skip.status,
            skip.reason,
            skip.message,
            now=to_datetime(now),
            generation=entry.compiled.generation,
        )
        memory = entry.memory if skip.pause is not None else None
        stored = PolicyStatus.model_validate(unpack(entry.packed_status))
        rendering = partial(render_skipped, stored, ready, memory)
        await self._status_writer.write_status(entry, rendering, deadline, why="refusal")
        if skip.pause is None:
            entry.reported.skip = skip

    async def write_failure(self, entry: PolicyEntry, skip: SkipReason, now: float, deadline: Deadline) -> None:
        """Write that the evaluation failed with an unexpected error. Raises only CancelledError."""
        try:
            try:
                await self.write_skip(entry, skip, now, deadline)
            except CallError:
                raise
            except Exception as unreadable:
                # The stored status cannot be written back: keep the memory, replace the rest.
                contain(Stage.STATUS, *entry.key, unreadable)
                entry.packed_status, entry.reported.rewrite = pack({"memory": dump_memory(entry.memory)}), True
                await self.write_skip(entry, skip, now, deadline)
        except CallError as failure:
            if not entry.deleted:
                log.warning("%s/%s: cannot report the failed evaluation in the status: %s", *entry.key, failure)
        except Exception as failure:
            contain(Stage.REPORT, *entry.key, failure)


def _log_outcome(entry: PolicyEntry, outcome: Outcome, trace_id: str) -> None:
    level = logging.WARNING if outcome.result is Result.FAILED else logging.INFO
    extra = {
        "policy": f"{entry.namespace}/{entry.name}",
        "action": outcome.command.verb.value,
        "result": outcome.result.value,
        "rule": outcome.command.rule,
        "trace_id": trace_id,
    }
    why = f" ({outcome.message})" if outcome.message else ""
    log.log(
        level,
        "%s/%s: %s %s%s: %s",
        *entry.key,
        outcome.command.verb,
        outcome.result,
        why,
        outcome.command.message,
        extra=extra,
    )
