"""Evaluates policies in batches: resolve targets, collect signals, skip the unchanged, reconcile the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial

from resilience_operator.resilience import Deadline
from resilience_operator.runtime.cache.policy_entry import CompiledPolicy, PolicyEntry
from resilience_operator.runtime.containment import Stage, contain
from resilience_operator.runtime.evaluation.context import EvaluationContext
from resilience_operator.runtime.evaluation.fast_path import FastPath
from resilience_operator.runtime.evaluation.isolation import ErrorIsolation
from resilience_operator.runtime.evaluation.reconciler import PolicyReconciler
from resilience_operator.runtime.evaluation.resolver import TargetResolver
from resilience_operator.runtime.evaluation.signal_reader import Resolved, SignalReader
from resilience_operator.runtime.reporting.skip import SkipReason
from resilience_operator.runtime.scheduling.scheduler import Scheduler
from resilience_operator.runtime.scheduling.work_queue import Trigger
from resilience_operator.runtime.telemetry.history import Values
from resilience_operator.runtime.telemetry.metrics import EVALUATIONS
from resilience_operator.signals.results import SignalResults

_Tasks = set[asyncio.Task[float | None]]
"""Reconcile tasks of one batch that are still running."""

COLLECT_TIME = 7.0
"""Maximum seconds for metric sources to answer."""

_EVALUATED = EVALUATIONS.labels("evaluated")

_BATCH = 25
"""Policies to process before yielding to the event loop."""

MAX_SPLITS = 64
"""Maximum number of splits of a batch to isolate the policies for which collecting fails."""


class BatchEvaluator:
    """Evaluates batches of policies. Ends the evaluation of each with `Scheduler.done`, whatever happens to others."""

    def __init__(
        self,
        context: EvaluationContext,
        *,
        resolver: TargetResolver,
        signals: SignalReader,
        fast_path: FastPath,
        reconciler: PolicyReconciler,
        scheduler: Scheduler,
        isolation: ErrorIsolation,
    ) -> None:
        self._context = context
        self._resolver = resolver
        self._signals = signals
        self._fast_path = fast_path
        self._reconciler = reconciler
        self._scheduler = scheduler
        self._isolation = isolation

    async def evaluate(self, entries: Sequence[PolicyEntry], trigger: Trigger) -> None:
        """Evaluate a batch of policies that use the same metric source. Raises only CancelledError.

        trigger: if it is an event, recently cached query results are used.
        """
        entries = [entry for entry in entries if self._context.ownership.owns(entry.namespace)]
        if not entries:
            return
        with self._context.tracing.evaluation(len(entries)):
            deadline = Deadline.after(COLLECT_TIME)
            tasks: _Tasks = set()
            resolved: list[Resolved] = []
            try:
                for entry, target in await self._resolver.resolve(entries, deadline):
                    if target is None:
                        self._scheduler.done(entry)
                    elif isinstance(target, SkipReason):
                        self._start(entry, partial(self._reconciler.skip, entry, target), tasks)
                    elif isinstance(target, Exception):
                        self._failed(entry, Stage.RESOLVE, target)
                    else:
                        resolved.append(Resolved(entry, target, entry.compiled))
                await self._collect(resolved, deadline, trigger, tasks)
                while tasks:
                    await asyncio.wait(tasks)
            finally:
                for task in tasks:
                    task.cancel()
                if tasks:
                    await asyncio.gather(*tasks, return_exceptions=True)

    async def _collect(self, resolved: Sequence[Resolved], deadline: Deadline, trigger: Trigger, tasks: _Tasks) -> None:
        """Collect the signals and start reconciling. On an error, split the batch to isolate its cause."""
        batches, splits = [resolved], 0
        while batches:
            remaining = dict(enumerate(batches.pop()))
            if not remaining:
                continue
            try:
                async with aclosing(self._signals.collect(tuple(remaining.values()), deadline, trigger)) as portions:
                    with self._context.tracing.span("collect"):
                        portion = await anext(portions, None)
                    while portion is not None:
                        await self._dispatch(((remaining.pop(number), found) for number, found in portion), tasks)
                        portion = await anext(portions, None)
            except Exception as error:
                failed = tuple(remaining.values())
                if len(failed) > 1 and splits < MAX_SPLITS:
                    splits += 1
                    batches += [failed[: len(failed) // 2], failed[len(failed) // 2 :]]
                    continue
                for one in failed:
                    self._failed(one.entry, Stage.COLLECT, error)

    async def _dispatch(self, portion: Iterator[tuple[Resolved, SignalResults]], tasks: _Tasks) -> None:
        """Start a reconcile task for each changed policy; then mark the unchanged ones as evaluated."""
        unchanged: list[tuple[Resolved, SignalResults, Values]] = []
        for number, (one, results) in enumerate(portion, 1):
            entry, target, compiled = one
            try:
                if not self._is_current(entry, compiled):
                    self._scheduler.enqueue(entry)  # the results no longer apply
                    self._scheduler.done(entry)
                elif (values := self._fast_path.values(entry, target, results)) is not None:
                    unchanged.append((one, results, values))
                else:
                    observations = self._signals.observations(entry, results)
                    self._start(entry, partial(self._reconciler.reconcile, entry, target, observations), tasks)
            except Exception as error:
                self._failed(entry, Stage.COMPARE, error)
            if number % _BATCH == 0:
                await asyncio.sleep(0)
        for first in range(0, len(unchanged), _BATCH):
            _EVALUATED.inc(sum([self._skip_unchanged(*one) for one in unchanged[first : first + _BATCH]]))
            await asyncio.sleep(0)

    def _is_current(self, entry: PolicyEntry, compiled: CompiledPolicy) -> bool:
        """Return False if the policy was changed, deleted or paused while its signals were collected."""
        pause = entry.pause
        if entry.compiled is not compiled or entry.deleted:
            return False
        return pause is None or pause.over(self._context.clock())

    def _skip_unchanged(self, one: Resolved, results: SignalResults, values: Values) -> bool:
        """Record an unchanged policy as evaluated. False if it changed since."""
        entry = one.entry
        try:
            wake_in = self._fast_path.record(entry, one.target, results, values)
            self._scheduler.done(entry, wake_in)
        except Exception as error:
            self._failed(entry, Stage.COMPARE, error)
            return False
        return wake_in is not None

    def _start(self, entry: PolicyEntry, work: Callable[[], Awaitable[float | None]], tasks: _Tasks) -> None:
        """Start a reconcile task. Its done callback runs on every path, even if it is cancelled before it starts."""
        task = asyncio.create_task(self._isolation.run(entry, Stage.RECONCILE, work))
        tasks.add(task)
        task.add_done_callback(partial(self._reconciled, entry, tasks))

    def _reconciled(self, entry: PolicyEntry, tasks: _Tasks, task: asyncio.Task[float | None]) -> None:
        tasks.discard(task)
        failed = task.cancelled() or task.exception() is not None
        if failed and not task.cancelled() and (error := task.exception()) is not None:
            contain(Stage.RECONCILE, *entry.key, error)
        self._scheduler.done(entry, None if failed else task.result())

    def _failed(self, entry: PolicyEntry, stage: Stage, error: Exception) -> None:
        """End an evaluation that failed before reconciling. The next one runs at the usual time."""
        self._isolation.failed(entry, stage, error)
        self._scheduler.done(entry)
