"""Reconciles one policy: decide → act → record.

The order of writes makes a crash harmless: 1. the intent (status): the commands about to run, with the timers that led
to them; 2. the actions, each of which checks its target again; 3. the Events, named after the decision, so that a
repeated Event is not a second one; 4. the status with the outcomes. A crash before step 4 leaves the intent, which the
next process recovers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from resilience_operator.actions.executor import Executor
from resilience_operator.decision.decide import Decision, decide
from resilience_operator.decision.fast_path import detect_steady_state, kept_memory, report_fingerprint
from resilience_operator.decision.model.commands import Command, Outcome, Verb
from resilience_operator.decision.model.memory import Intent, Memory
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Mode
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.outcomes import apply_outcomes, recover_intent
from resilience_operator.decision.suspension import freeze_timers
from resilience_operator.resilience import CallError, Conflict, Deadline
from resilience_operator.runtime.cache.policies import lose_memory
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, StatusProblem
from resilience_operator.runtime.cache.source_catalog import ReadyProblem
from resilience_operator.runtime.cache.targets import TargetCache
from resilience_operator.runtime.evaluation.concurrent_breaches import ConcurrentBreaches
from resilience_operator.runtime.evaluation.context import EvaluationContext
from resilience_operator.runtime.evaluation.plugin_actions import PluginActionRunner
from resilience_operator.runtime.evaluation.recovery import Recovery
from resilience_operator.runtime.reporting.pending import Evaluated, Unchanged
from resilience_operator.runtime.reporting.publication import Publication
from resilience_operator.runtime.reporting.reporter import Reporter
from resilience_operator.runtime.reporting.skip import SkipReason, was_paused
from resilience_operator.runtime.scheduling.admission import FairSemaphore, Priority
from resilience_operator.runtime.scheduling.scheduler import Scheduler
from resilience_operator.runtime.telemetry.history import append_to
from resilience_operator.runtime.telemetry.metrics import EVALUATIONS
from resilience_operator.runtime.telemetry.release_metrics import observe_release, release_exemplar
from resilience_operator.status.render import render

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
    """Reconciles single policies, and writes the statuses that were deferred."""

    def __init__(
        self,
        context: EvaluationContext,
        *,
        targets: TargetCache,
        live: Executor,
        dry_run: Executor,
        reporter: Reporter,
        plugin_actions: PluginActionRunner,
        scheduler: Scheduler,
        admission: FairSemaphore,
    ) -> None:
        self._context = context
        self._clock = context.clock
        self._targets = targets
        self._live, self._dry_run = live, dry_run
        self._reporter = reporter
        self._plugin_actions = plugin_actions
        self._scheduler = scheduler
        self._admission = admission
        self._recovery = Recovery(context, reporter, plugin_actions)
        self._breaches = ConcurrentBreaches()

    async def reconcile(
        self, entry: PolicyEntry, target: TargetState, observations: Mapping[str, Observation]
    ) -> float | None:
        """Decide, act and report. The status is deferred if nothing urgent has to be written.

        Returns the seconds until a timer is due, or None.
        """
        compiled = entry.compiled
        target = await self._targets.pods.read(target, entry.memory.release)
        if target.hold_marked:
            target = await self._targets.deliveries.read(target)
        if entry.compiled is not compiled or entry.deleted:
            raise _changed(entry)
        before = entry.memory.release
        try:
            wake = await self._reconcile(entry, target, observations)
            if entry.memory.release is not before and entry.policy is not None and entry.policy.mode is Mode.ENFORCE:
                exemplar = release_exemplar(entry.namespace, entry.name, self._context.tracing.exemplar())
                now, committed = self._clock(), target.committed
                observe_release(before, entry.memory.release, now, committed=committed, exemplar=exemplar)
            return wake
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
    ) -> float | None:
        policy, reported, now = entry.policy, entry.reported, self._clock()
        assert policy is not None
        was = reported.fingerprint
        reported.invalidate()
        if _shown_long_enough(reported.status_problem, now):
            reported.status_problem = was = None
        before = memory = entry.memory
        if recovered := self._recovery.is_due(entry):
            async with self._admission.acquire(entry.namespace, Priority.EVENT):
                memory = await self._recovery.recover(entry, target, now, Deadline.after(ACT_TIME))
            if entry.policy is not policy:
                raise _changed(entry)
        with self._context.tracing.span("decide"):
            shared = self._breaches.shared(policy, memory)
            decision = decide(policy, observations, target, memory, now, shared_incident=shared)
            self._breaches.record(policy, decision.memory)
        EVALUATIONS.labels("evaluated").inc()
        if self._context.keep_history:
            entry.evaluation_history = append_to(entry.evaluation_history, decision, target)
        if recovered or decision.commands or decision.notices or self._reporter.has_pending(entry.uid):
            await self._act_and_record(entry, target, decision)
            return _wake_in(decision)
        found = report_fingerprint(decision)
        changed = decision.memory != before
        # Also if it is equal: what is learned of the load is not compared, and is stored with the next event.
        entry.memory = kept_memory(before, decision.memory)
        if not changed:
            if reported.status_problem is None:  # cleared by a full evaluation after it was shown long enough
                reported.steady_state = detect_steady_state(decision, observations, target, before)
            if found == was and not self._reporter.refresh_due(entry):
                reported.fingerprint = found
        if reported.fingerprint is None:
            self._reporter.defer(entry, Evaluated(target, decision, found))
        return _wake_in(decision)

    async def write_pending(self, entry: PolicyEntry) -> None:
        """Write the status that was deferred, if it still applies."""
        pending, entry.reported.pending = entry.reported.pending, None
        if not self._context.ownership.owns(entry.namespace):
            return
        if isinstance(pending, SkipReason):
            await self._write_skip(entry, pending)
        elif isinstance(pending, Evaluated):
            await self._write_decision(entry, pending)
        elif isinstance(pending, Unchanged):
            assert entry.policy is not None
            decision = decide(entry.policy, pending.observations, pending.target, entry.memory, self._clock())
            if decision.commands or decision.notices or decision.memory != entry.memory:
                entry.reported.steady_state = None
                self._scheduler.enqueue(entry)
            else:
                await self._write_decision(entry, Evaluated(pending.target, decision, report_fingerprint(decision)))

    async def _write_decision(self, entry: PolicyEntry, evaluated: Evaluated) -> None:
        """Write the status of a decision without commands or notices, unless the spec has changed since."""
        target, decision, fingerprint = evaluated
        if entry.policy is not decision.policy:
            return
        written = await self._write(entry, decision, target, entry.memory, Deadline.after(ACT_TIME), why="verdict")
        if written and entry.policy is decision.policy:
            entry.reported.fingerprint = fingerprint

    async def _act_and_record(self, entry: PolicyEntry, target: TargetState, decision: Decision) -> None:
        """Act, then report and record. Each step waits for admission; actions have priority."""
        something = decision.commands or decision.notices
        done = Execution(decision.memory, self._context.tracing.trace_id() if something else "")
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
            commands = await self._targets.deliveries.with_hold(decision.policy, target, commands)
            fresh = {notice.key for notice in decision.notices}
            intent = replace(after, intent=Intent(now, commands, trace_id), announced=after.announced - fresh)
            await self._write(entry, decision, target, intent, deadline, why="intent")
        with self._context.tracing.span("act", {"resilience.actions": [c.verb.value for c in commands]}):
            executed = await executor.execute(target, commands, deadline)
        self._targets.expectations.expect(entry.target, executed.changes)
        entry.memory = after = apply_outcomes(after, executed.outcomes, target, now)
        return Execution(after, trace_id, executed.outcomes, plugin_actions)

    async def _record(
        self, entry: PolicyEntry, target: TargetState, decision: Decision, done: Execution, deadline: Deadline
    ) -> None:
        """Publish the decision and its outcomes, and write the status."""
        entry.memory = done.memory
        dry_run = decision.policy.mode is Mode.DRY_RUN
        publication = Publication(target, decision.at, done.outcomes, decision.notices, dry_run, done.trace_id)
        await self._reporter.publish(entry, publication, deadline)
        why = "decision" if done.outcomes else "verdict"
        await self._write(entry, decision, target, done.memory, deadline, why=why, outcomes=done.outcomes)
        # Started only now: the status must hold the breach that the calls belong to.
        if self._context.ownership.owns(entry.namespace):
            for command in done.plugin_actions:
                self._plugin_actions.start(entry, target, command)
        if any(o.retryable for o in done.outcomes):
            self._scheduler.enqueue(entry, 1.0)

    async def _write(
        self,
        entry: PolicyEntry,
        decision: Decision,
        target: TargetState,
        memory: Memory,
        deadline: Deadline,
        *,
        why: str,
        outcomes: tuple[Outcome, ...] = (),
    ) -> bool:
        problem = entry.compiled.source_problem or self._plugin_problem(entry)
        if problem is None and decision.policy.release.configuration is not None:
            problem = entry.configuration_problem
        return await self._reporter.write_status(
            entry, decision, target, memory, deadline, why=why, outcomes=outcomes, problem=problem
        )

    def _plugin_problem(self, entry: PolicyEntry) -> ReadyProblem | None:
        """Return the problems of the plugins that the rules use. The rest of the policy still works."""
        names = {p.name for rule in entry.policy.rules for p in rule.plugins} if entry.policy is not None else ()
        problems = [
            problem for name in sorted(names) if (problem := self._plugin_actions.problem(name, entry.namespace))
        ]
        return ReadyProblem("PluginNotFound", "; ".join(problems)) if problems else None

    async def skip(self, entry: PolicyEntry, skip: SkipReason) -> float | None:
        """Record that the policy is paused, or defer the status with the skip reason.

        Returns the seconds until the pause ends, or None.
        """
        EVALUATIONS.labels("refused").inc()
        if skip.pause is not None:
            entry.reported.pending = None
            async with self._admission.acquire(entry.namespace, Priority.EVENT):
                await self._write_skip(entry, skip)
            return None if skip.pause.until is None else skip.pause.until - self._clock()
        if skip != entry.reported.skip:
            self._reporter.defer(entry, skip)
        return None

    async def _write_skip(self, entry: PolicyEntry, skip: SkipReason) -> None:
        now, deadline = self._clock(), Deadline.after(ACT_TIME)
        if skip.pause is not None and skip.target is not None:
            entry.memory = freeze_timers(entry.memory, now)
            if not was_paused(entry):
                await self._reporter.publish_pause(entry, skip.target, skip.pause, now, deadline)
        if not skip.failed:
            await self._reporter.write_skip(entry, skip, now, deadline)
        elif skip != entry.reported.skip:
            await self._reporter.write_failure(entry, skip, now, deadline)


def _wake_in(decision: Decision) -> float | None:
    return None if decision.wake is None else decision.wake - decision.at


def _changed(entry: PolicyEntry) -> Conflict:
    return Conflict(f"policy {entry.name} was changed or paused while it was evaluated", reason="superseded")


def _shown_long_enough(problem: StatusProblem | None, now: float) -> bool:
    return problem is not None and problem.written > 0 and not 0 <= now - problem.written < STATUS_PROBLEM_SHOWN
