"""Reconciles one policy: decide → act → record.

The order of writes makes a crash harmless: 1. the intent (status): the commands about to run, with the timers that led
to them; 2. the actions, each of which checks its target again; 3. the Events, named after the decision, so that a
repeated Event is not a second one; 4. the status with the outcomes. A crash before step 4 leaves the intent, which the
next process recovers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import orjson

from resilience_operator.actions.executor import Executor
from resilience_operator.api.conditions import ConditionType, condition
from resilience_operator.api.status import PolicyStatus
from resilience_operator.decision.decide import Decision, decide
from resilience_operator.decision.fast_path import detect_steady_state, report_fingerprint
from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.memory import Intent, Memory
from resilience_operator.decision.model.memory_codec import dump_memory
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Mode
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.outcomes import apply_outcomes, recover_intent
from resilience_operator.decision.suspension import freeze_timers
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.resilience import CallError, Conflict, Deadline
from resilience_operator.runtime.cache.expectations import Expectations
from resilience_operator.runtime.cache.policies import lose_memory
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, StatusProblem, compact_json
from resilience_operator.runtime.cache.source_catalog import ReadyProblem
from resilience_operator.runtime.containment import Stage, contain
from resilience_operator.runtime.coordination import Ownership
from resilience_operator.runtime.evaluation.plugin_actions import PluginActionRunner
from resilience_operator.runtime.evaluation.skip import SkipReason, was_paused
from resilience_operator.runtime.reporting import notifications
from resilience_operator.runtime.reporting.event_recorder import EventRecorder
from resilience_operator.runtime.reporting.status_queue import StatusQueue, StatusWrite
from resilience_operator.runtime.reporting.status_writer import StatusWriter
from resilience_operator.runtime.scheduling.admission import FairSemaphore, Priority
from resilience_operator.runtime.scheduling.scheduler import Scheduler
from resilience_operator.runtime.telemetry.history import append_to
from resilience_operator.runtime.telemetry.metrics import ACTIONS, EVALUATIONS
from resilience_operator.runtime.telemetry.tracing import Tracing
from resilience_operator.status.history import history_entry, to_datetime
from resilience_operator.status.render import render, render_skipped

log = logging.getLogger(__name__)

STATUS_PROBLEM_SHOWN = 300.0
"""Seconds for which a policy reports that its status could not be read and was replaced."""

ACT_TIME = 12.0
"""Seconds for acting and recording, once admitted."""


class Execution(NamedTuple):
    """Result of executing a decision's commands.

    memory: updated with the outcomes. trace_id: of the evaluation, or empty if there is nothing to report.
    plugin_actions: started after the outcomes are recorded.
    """

    memory: Memory
    trace_id: str = ""
    outcomes: tuple[Outcome, ...] = ()
    plugin_actions: tuple[Command, ...] = ()


class PolicyReconciler:
    """Reconciles single policies. keep_history: whether to keep evaluation points for the dashboard."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        admission: FairSemaphore,
        status_queue: StatusQueue,
        expectations: Expectations,
        live: Executor,
        dry_run: Executor,
        status_writer: StatusWriter,
        event_recorder: EventRecorder,
        plugin_actions: PluginActionRunner,
        notifiers: Notifiers,
        leadership: Ownership,
        tracing: Tracing,
        clock: Callable[[], float],
        keep_history: bool,
    ) -> None:
        self._scheduler = scheduler
        self._admission, self._status_queue = admission, status_queue
        self._expectations = expectations
        self._live, self._dry_run = live, dry_run
        self._status_writer = status_writer
        self._event_recorder = event_recorder
        self._plugin_actions = plugin_actions
        self._notifiers = notifiers
        self._leadership = leadership
        self._tracing = tracing
        self._clock = clock
        self._keep_history = keep_history

    async def reconcile(
        self, entry: PolicyEntry, target: TargetState, observations: Mapping[str, Observation]
    ) -> StatusWrite | None:
        """Decide, act and report. Returns a deferred status write if nothing urgent had to be written."""
        try:
            return await self._reconcile(entry, target, observations)
        except CallError:
            raise
        except Exception as error:
            if not self._memory_fails(entry, target, observations):
                raise
            lose_memory(entry, error)
            self._scheduler.enqueue(entry)
            return None

    def _memory_fails(self, entry: PolicyEntry, target: TargetState, observations: Mapping[str, Observation]) -> bool:
        """Return True if evaluating fails with the stored memory and succeeds without it."""
        policy, now = entry.policy, self._clock()
        if policy is None:
            return False

        def succeeds(memory: Memory) -> bool:
            try:
                decision = decide(policy, observations, target, recover_intent(memory, target)[0], now)
                render(decision, target, decision.memory, entry.history, ())
            except Exception:
                return False
            return True

        return succeeds(Memory()) and not succeeds(entry.memory)

    async def _reconcile(
        self, entry: PolicyEntry, target: TargetState, observations: Mapping[str, Observation]
    ) -> StatusWrite | None:
        policy = entry.policy
        assert policy is not None
        now = self._clock()
        was, entry.reported_fingerprint = entry.reported_fingerprint, None
        entry.steady_state = entry.reported_skip = None
        if _shown_long_enough(entry.status_problem, now):
            entry.status_problem = was = None
        before = memory = entry.memory
        resumed = was_paused(entry) or memory.intent is not None or self._plugin_actions.has_results(entry.uid)
        if resumed:
            async with self._admission.acquire(entry.namespace, Priority.EVENT):
                memory = await self._resume(entry, target, now, Deadline.after(ACT_TIME))
            if entry.policy is not policy:
                raise _changed(entry)
        with self._tracing.span("decide"):
            decision = decide(policy, observations, target, memory, now)
        EVALUATIONS.labels("evaluated").inc()
        if self._keep_history:
            entry.evaluation_history = append_to(entry.evaluation_history, decision, target)
        found = report_fingerprint(decision)
        if resumed or decision.commands or decision.notices or self._event_recorder.has_pending(entry.uid):
            await self._act_and_record(entry, target, decision)
            return None
        if decision.memory != before:
            entry.memory = decision.memory
        else:
            if entry.status_problem is None:  # cleared by a full evaluation after it was shown long enough
                entry.steady_state = detect_steady_state(decision, observations, target, before)
            if found == was and not self._status_writer.refresh_due(entry):
                entry.reported_fingerprint = found
        self._schedule_next(entry, decision, (), now)
        return partial(self._write_decision, entry, target, decision) if entry.reported_fingerprint is None else None

    async def refresh_status(
        self, entry: PolicyEntry, target: TargetState, observations: Mapping[str, Observation]
    ) -> None:
        """Refresh the status of a policy in steady state. Re-evaluates first, because the write was deferred."""
        assert entry.policy is not None
        decision = decide(entry.policy, observations, target, entry.memory, self._clock())
        if decision.commands or decision.notices or decision.memory != entry.memory:
            entry.steady_state = None
            self._scheduler.enqueue(entry)
            return
        await self._write_decision(entry, target, decision)

    async def _write_decision(self, entry: PolicyEntry, target: TargetState, decision: Decision) -> None:
        """Write the status of a decision without commands or notices, unless the spec has changed since."""
        if entry.policy is not decision.policy:
            return
        written = await self._write(entry, decision, target, entry.memory, Deadline.after(ACT_TIME), why="verdict")
        if written and entry.policy is decision.policy:
            entry.reported_fingerprint = report_fingerprint(decision)

    async def _act_and_record(self, entry: PolicyEntry, target: TargetState, decision: Decision) -> None:
        """Act, then report and record. Each step waits for admission; actions have priority."""
        self._status_queue.discard(entry)
        done = Execution(decision.memory, self._tracing.trace_id() if decision.commands or decision.notices else "")
        if decision.commands:
            async with self._admission.acquire(entry.namespace, Priority.ACT):
                done = await self._act(entry, target, decision, done.trace_id, Deadline.after(ACT_TIME))
        async with self._admission.acquire(entry.namespace, Priority.EVENT):
            await self._record(entry, target, decision, done, Deadline.after(ACT_TIME))

    async def _act(
        self, entry: PolicyEntry, target: TargetState, decision: Decision, trace_id: str, deadline: Deadline
    ) -> Execution:
        """Execute the commands. The intent is stored first, so outcomes can be recorded after others have acted."""
        now, after = decision.at, decision.memory
        if entry.policy is not decision.policy or (entry.pause is not None and not entry.pause.over(self._clock())):
            raise _changed(entry)
        executor = self._dry_run if decision.policy.mode is Mode.DRY_RUN else self._live
        commands, plugin_actions = decision.commands, tuple[Command, ...]()
        if executor.changes_cluster:
            commands = tuple(c for c in decision.commands if c.verb is not Verb.PLUGIN)
            plugin_actions = tuple(c for c in decision.commands if c.verb is Verb.PLUGIN)
        if not commands:
            return Execution(after, trace_id, plugin_actions=plugin_actions)
        if executor.changes_cluster:
            fresh = {notice.key for notice in decision.notices}
            intent = replace(after, intent=Intent(now, commands, trace_id), announced=after.announced - fresh)
            await self._write(entry, decision, target, intent, deadline, why="intent")
        with self._tracing.span("act", {"resilience.actions": [c.verb.value for c in commands]}):
            executed = await executor.execute(target, commands, deadline)
        outcomes = executed.outcomes
        self._expectations.expect(entry.target, executed.changes)
        entry.memory = after = apply_outcomes(after, outcomes, target, now)
        entry.history = entry.history.add([history_entry(o, now, trace_id) for o in outcomes if o.applied])
        for outcome in outcomes:
            ACTIONS.labels(outcome.command.verb.value, outcome.result.value).inc()
            _log_outcome(entry, outcome, trace_id)
        return Execution(after, trace_id, outcomes, plugin_actions)

    async def _record(
        self, entry: PolicyEntry, target: TargetState, decision: Decision, done: Execution, deadline: Deadline
    ) -> None:
        """Report the decision and its outcomes, and write the status."""
        now, outcomes, trace_id = decision.at, done.outcomes, done.trace_id
        entry.memory = done.memory
        await self._event_recorder.record(entry, decision, outcomes, deadline, trace_id)
        notifications.notify_outcomes(self._notifiers, entry, target, outcomes, now, trace_id)
        notifications.notify_notices(self._notifiers, entry, decision, trace_id)
        why = "decision" if outcomes else "verdict"
        await self._write(entry, decision, target, done.memory, deadline, why=why, outcomes=outcomes)
        # Started only now: the status must hold the breach that the calls belong to.
        if self._leadership.owns(entry.namespace):
            for command in done.plugin_actions:
                self._plugin_actions.start(entry, target, command)
        self._schedule_next(entry, decision, outcomes, now)

    async def _resume(self, entry: PolicyEntry, target: TargetState, now: float, deadline: Deadline) -> Memory:
        """Return the memory, updated with what happened since the last evaluation. Reports and records it."""
        if was_paused(entry):
            await self._event_recorder.record_pause(entry, target, None, now, deadline)
        return await self._collect_plugin_results(
            entry, target, await self._recover_intent(entry, target, deadline), now, deadline
        )

    async def _recover_intent(self, entry: PolicyEntry, target: TargetState, deadline: Deadline) -> Memory:
        """Return the memory without the intent of an earlier process. Reports and records its outcomes."""
        intent = entry.memory.intent
        if intent is None:
            return entry.memory
        memory, done = recover_intent(entry.memory, target)
        entry.history = entry.history.add([history_entry(o, intent.at, intent.trace_id) for o in done])
        await self._event_recorder.record_outcomes(entry, target, done, intent.at, deadline, intent.trace_id)
        notifications.notify_outcomes(self._notifiers, entry, target, done, intent.at, intent.trace_id)
        for outcome in done:
            log.info("%s/%s: %s was completed before the restart", *entry.key, outcome.command.verb)
        entry.memory = memory
        return memory

    async def _collect_plugin_results(
        self, entry: PolicyEntry, target: TargetState, memory: Memory, now: float, deadline: Deadline
    ) -> Memory:
        """Return the memory, updated with finished plugin calls. Reports and records their outcomes."""
        outcomes = self._plugin_actions.drain_results(entry)
        if not outcomes:
            return memory
        trace_id = self._tracing.trace_id()
        entry.memory = memory = apply_outcomes(memory, outcomes, target, now)
        entry.history = entry.history.add([history_entry(o, now, trace_id) for o in outcomes])
        for outcome in outcomes:
            ACTIONS.labels(outcome.command.verb.value, outcome.result.value).inc()
            _log_outcome(entry, outcome, trace_id)
        await self._event_recorder.record_outcomes(entry, target, outcomes, now, deadline, trace_id)
        notifications.notify_outcomes(self._notifiers, entry, target, outcomes, now, trace_id)
        return memory

    async def _write(
        self,
        entry: PolicyEntry,
        decision: Decision,
        target: TargetState,
        memory: Memory,
        deadline: Deadline,
        *,
        why: str,
        outcomes: Sequence[Outcome] = (),
    ) -> bool:
        """Write the status. False: a flapping policy exceeded its write limit; try again later."""
        if why == "verdict" and not self._status_writer.verdict_due(entry):
            return False
        failures = [o for o in outcomes if o.result is Result.FAILED]
        if undelivered := self._event_recorder.undelivered(entry.uid):
            # If this process stops, the next one reports them.
            memory = replace(memory, announced=memory.announced - undelivered)
        rendered = render(
            decision,
            target,
            memory,
            entry.history,
            entry.status.conditions,
            failures=failures,
            problem=_unreadable_status(entry.status_problem) or entry.source_problem or self._plugin_problem(entry),
        )
        written = await self._status_writer.write_status(entry, rendered, deadline, why=why)
        if written and entry.status_problem is not None and not entry.status_problem.written:
            entry.status_problem.written = self._clock()
        return written

    def _plugin_problem(self, entry: PolicyEntry) -> ReadyProblem | None:
        """Return the problems of the plugins that the rules use. The rest of the policy still works."""
        names = {p.name for rule in entry.policy.rules for p in rule.plugins} if entry.policy is not None else ()
        problems = [
            problem for name in sorted(names) if (problem := self._plugin_actions.problem(name, entry.namespace))
        ]
        return ReadyProblem("PluginNotFound", "; ".join(problems)) if problems else None

    def _schedule_next(self, entry: PolicyEntry, decision: Decision, outcomes: Sequence[Outcome], now: float) -> None:
        if any(o.retryable for o in outcomes):
            self._scheduler.enqueue(entry, 1.0)
        self._scheduler.schedule_next(entry, None if decision.wake is None else decision.wake - now)

    async def skip(self, entry: PolicyEntry, skip: SkipReason) -> StatusWrite | None:
        """Record that the policy is paused, or return a deferred write of the skip reason."""
        EVALUATIONS.labels("refused").inc()
        if skip.pause is not None:
            self._status_queue.discard(entry)
            async with self._admission.acquire(entry.namespace, Priority.EVENT):
                await self._record_skip(entry, skip)
        elif skip != entry.reported_skip:
            return partial(self._record_skip, entry, skip)
        return None

    async def _record_skip(self, entry: PolicyEntry, skip: SkipReason) -> None:
        deadline = Deadline.after(ACT_TIME)
        if skip.pause is not None and skip.target is not None:
            now = self._clock()
            entry.memory = freeze_timers(entry.memory, now)
            if not was_paused(entry):
                await self._event_recorder.record_pause(entry, skip.target, skip.pause, now, deadline)
            if skip.pause.until is not None:
                self._scheduler.schedule_next(entry, skip.pause.until - now)
        await self._write_ready_condition(entry, skip, deadline)

    async def _write_ready_condition(self, entry: PolicyEntry, skip: SkipReason, deadline: Deadline) -> None:
        entry.reported_fingerprint = entry.steady_state = entry.reported_skip = None
        ready = condition(
            ConditionType.READY,
            skip.status,
            skip.reason,
            skip.message,
            now=to_datetime(self._clock()),
            generation=entry.generation,
        )
        memory = entry.memory if skip.pause is not None else None
        stored = PolicyStatus.model_validate(orjson.loads(entry.raw_status))
        await self._status_writer.write_status(entry, render_skipped(stored, ready, memory), deadline, why="refusal")
        if skip.pause is None:
            entry.reported_skip = skip

    async def report_failure(self, entry: PolicyEntry, stage: str, error: Exception) -> None:
        """Report an unexpected error in the policy's status. Raises only CancelledError."""
        skip = SkipReason(
            "False",
            "EvaluationFailed",
            f"the evaluation failed ({stage}: {type(error).__name__}). It is tried again at every interval; the log of "
            "the operator holds the details",
        )
        if skip == entry.reported_skip:
            return
        try:
            try:
                await self._write_ready_condition(entry, skip, Deadline.after(ACT_TIME))
            except CallError:
                raise
            except Exception as unreadable:
                # The stored status cannot be written back: keep the memory, replace the rest.
                contain(Stage.STATUS, *entry.key, unreadable)
                entry.raw_status, entry.rewrite = compact_json({"memory": dump_memory(entry.memory)}), True
                await self._write_ready_condition(entry, skip, Deadline.after(ACT_TIME))
        except CallError as failure:
            if not entry.deleted:
                log.warning("%s/%s: cannot report the failed evaluation in the status: %s", *entry.key, failure)
        except Exception as failure:
            contain(Stage.REPORT, *entry.key, failure)


def _changed(entry: PolicyEntry) -> Conflict:
    return Conflict(f"policy {entry.name} was changed or paused while it was evaluated", reason="superseded")


def _shown_long_enough(problem: StatusProblem | None, now: float) -> bool:
    return problem is not None and problem.written > 0 and not 0 <= now - problem.written < STATUS_PROBLEM_SHOWN


def _unreadable_status(problem: StatusProblem | None) -> ReadyProblem | None:
    return None if problem is None else ReadyProblem("StatusUnreadable", problem.message)


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
