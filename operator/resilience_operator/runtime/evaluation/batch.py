"""Evaluates policies in batches: resolve targets, collect signals, skip the unchanged, reconcile the rest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from http import HTTPStatus

from resilience_operator.api.spec import SHARED_INTERVAL
from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Mode, Policy
from resilience_operator.decision.model.target import TargetState
from resilience_operator.resilience import CallError, Conflict, Deadline, NotFound
from resilience_operator.runtime.cache.nodes import ZoneMonitor
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.cache.scale_targets import ScaleLookup, ScaleTargetReader
from resilience_operator.runtime.cache.targets import TargetCache
from resilience_operator.runtime.containment import Stage, contain
from resilience_operator.runtime.coordination import Ownership
from resilience_operator.runtime.evaluation.plugin_actions import PluginActionRunner
from resilience_operator.runtime.evaluation.reconciler import PolicyReconciler
from resilience_operator.runtime.evaluation.skip import SkipReason, paused
from resilience_operator.runtime.reporting.event_recorder import EventRecorder
from resilience_operator.runtime.reporting.status_queue import StatusQueue, StatusWrite
from resilience_operator.runtime.reporting.status_writer import StatusWriter
from resilience_operator.runtime.scheduling.scheduler import Scheduler
from resilience_operator.runtime.telemetry.history import Values
from resilience_operator.runtime.telemetry.metrics import EVALUATIONS
from resilience_operator.runtime.telemetry.tracing import Tracing
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.results import SignalResults

log = logging.getLogger(__name__)

_Ready = tuple[PolicyEntry, TargetState, Policy]
"""A policy to collect signals for. Spec and target are those that its requests were made from."""

_Collected = tuple[PolicyEntry, TargetState, Policy, SignalResults]

_Tasks = set[asyncio.Task[StatusWrite | None]]
"""Reconcile tasks of one batch that are still running."""

COLLECT_TIME = 7.0
"""Maximum seconds for metric sources to answer."""

COLLECT_AT_LEAST = 5.0
"""Minimum seconds to answer, even with a shorter interval: a late answer is better than none."""

SCALE_LABEL = "resilience-operator.io/aggregate-to-scale"
"""ClusterRoles with this label set to "true" extend the operator's right to scale."""

_EVALUATED = EVALUATIONS.labels("evaluated")

_BATCH = 25
"""Policies to process before yielding to the event loop."""

MAX_SPLITS = 64
"""Maximum number of splits of a batch to isolate the policies for which collecting fails."""

RELOG_AFTER = 600.0
"""Seconds after which a repeated error of a policy is logged with its traceback again."""


class BatchEvaluator:
    """Evaluates batches of policies. on_missing: called when a policy turns out to be deleted."""

    def __init__(
        self,
        *,
        store: PolicyCache,
        targets: TargetCache,
        scaled: ScaleTargetReader,
        collector: SignalCollector,
        zones: ZoneMonitor,
        reconciler: PolicyReconciler,
        scheduler: Scheduler,
        status_queue: StatusQueue,
        status_writer: StatusWriter,
        event_recorder: EventRecorder,
        plugin_actions: PluginActionRunner,
        leadership: Ownership,
        tracing: Tracing,
        clock: Callable[[], float],
        on_missing: Callable[[], None],
    ) -> None:
        self._store = store
        self._targets = targets
        self._scaled = scaled
        self._collector = collector
        self._zones = zones
        self._reconciler = reconciler
        self._scheduler = scheduler
        self._status_queue = status_queue
        self._status_writer = status_writer
        self._event_recorder = event_recorder
        self._plugin_actions = plugin_actions
        self._leadership = leadership
        self._tracing = tracing
        self._clock = clock
        self._on_missing = on_missing

    async def evaluate(self, entries: Sequence[PolicyEntry], planned: bool) -> None:
        """Evaluate a batch of policies that use the same metric source. Raises only CancelledError.

        planned: triggered by the interval or a timer. Otherwise an event triggered it, and recently cached query
        results are used.
        """
        entries = [entry for entry in entries if self._leadership.owns(entry.namespace)]
        if not entries:
            return
        with self._tracing.evaluation(len(entries)):
            deadline = Deadline.after(COLLECT_TIME)
            scaled = await self._scaled.read(entries, deadline)
            tasks: _Tasks = set()
            try:
                await self._collect_all(self._resolve(entries, scaled, tasks), deadline, planned, tasks)
                while tasks:
                    await asyncio.wait(tasks)
            finally:
                for task in tasks:
                    task.cancel()
                if tasks:
                    await asyncio.gather(*tasks, return_exceptions=True)

    def _resolve(
        self, entries: Sequence[PolicyEntry], scaled: Mapping[str, ScaleLookup], tasks: _Tasks
    ) -> list[_Ready]:
        """Return the policies that can be evaluated. Skip the others, each with its reason."""
        ready: list[_Ready] = []
        for entry in entries:
            try:
                found = self._resolve_target(entry, scaled)
                if found is None:
                    self._scheduler.done(entry)
                elif isinstance(found, SkipReason):
                    self._start(entry, partial(self._reconciler.skip, entry, found), tasks)
                elif entry.policy is not None:
                    watched = _has_release(entry, found)
                    if entry.requests_for is not found.revisions or entry.requests_watched is not watched:
                        owners = {r.owner: r.name for r in found.revisions if r.replicas > 0}
                        entry.requests = self._requests(entry, owners, watched=watched)
                        entry.requests_for, entry.requests_watched = found.revisions, watched
                    ready.append((entry, found, entry.policy))
            except Exception as error:
                self._report_failure(entry, Stage.RESOLVE, error)
        return ready

    async def _collect_all(self, ready: Sequence[_Ready], deadline: Deadline, planned: bool, tasks: _Tasks) -> None:
        """Collect signals for all policies and start reconciling. On an error, split the batch to isolate its cause."""
        batches, splits = [ready], 0
        while batches:
            remaining = dict(enumerate(batches.pop()))
            if not remaining:
                continue
            try:
                async with aclosing(self._collect(remaining, deadline, planned)) as collected:
                    async for portion in collected:
                        await self._dispatch(portion, tasks)
            except Exception as error:
                failed = tuple(remaining.values())
                if len(failed) > 1 and splits < MAX_SPLITS:
                    splits += 1
                    batches += [failed[: len(failed) // 2], failed[len(failed) // 2 :]]
                    continue
                for entry, _, _ in failed:
                    self._report_failure(entry, Stage.COLLECT, error)

    async def _dispatch(self, portion: Iterator[_Collected], tasks: _Tasks) -> None:
        """Start a reconcile task for each changed policy; then mark the unchanged ones as evaluated."""
        unchanged: list[tuple[PolicyEntry, TargetState, SignalResults, Values]] = []
        for number, (entry, target, policy, results) in enumerate(portion, 1):
            try:
                # Changed, deleted or paused while its signals were collected: the results no longer apply.
                if entry.policy is not policy or entry.deleted or (entry.pause is not None and self._is_paused(entry)):
                    self._retry_soon(entry)
                elif (values := self._unchanged_values(entry, target, results)) is not None:
                    unchanged.append((entry, target, results, values))
                else:
                    observations = self._observations(entry, results)
                    self._start(entry, partial(self._reconcile, entry, target, observations), tasks)
            except Exception as error:
                self._report_failure(entry, Stage.COMPARE, error)
            if number % _BATCH == 0:
                await asyncio.sleep(0)
        for first in range(0, len(unchanged), _BATCH):
            _EVALUATED.inc(sum([self._skip_unchanged(*one) for one in unchanged[first : first + _BATCH]]))
            await asyncio.sleep(0)

    async def _reconcile(
        self, entry: PolicyEntry, target: TargetState, observations: Mapping[str, Observation]
    ) -> StatusWrite | None:
        """Read the target's pods if they need a look, and reconcile."""
        policy = entry.policy
        target = await self._targets.pods.read(target, entry.memory.release)
        if entry.policy is not policy or entry.deleted:
            raise Conflict(f"policy {entry.name} was changed while its pods were listed", reason="superseded")
        return await self._reconciler.reconcile(entry, target, observations)

    async def write_status(self, entry: PolicyEntry, status_write: StatusWrite) -> None:
        """Write the status of a policy. Raises only CancelledError."""
        if self._leadership.owns(entry.namespace) and (
            failure := await self._isolate_errors(entry, status_write, Stage.WRITE)
        ):
            await failure()

    def _start(self, entry: PolicyEntry, work: Callable[[], Awaitable[StatusWrite | None]], tasks: _Tasks) -> None:
        """Start a reconcile task for a policy; retry soon if its status is being written.

        The task's done callback releases the lock. It runs on every path, even if the task is cancelled before it
        starts.
        """
        if entry.locked:
            self._retry_soon(entry)
            return
        entry.locked = True
        task = asyncio.create_task(self._isolate_errors(entry, work, Stage.RECONCILE))
        tasks.add(task)
        task.add_done_callback(partial(self._unlock, entry, tasks))

    def _unlock(self, entry: PolicyEntry, tasks: _Tasks, task: asyncio.Task[StatusWrite | None]) -> None:
        """Release the lock of a policy after reconciling, and queue the status write that it returned."""
        tasks.discard(task)
        entry.locked = False
        self._scheduler.done(entry)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            contain(Stage.RECONCILE, *entry.key, error)
        elif (status_write := task.result()) is not None and not entry.deleted:
            self._status_queue.add(entry, status_write)

    def _is_paused(self, entry: PolicyEntry) -> bool:
        return entry.pause is not None and not entry.pause.over(self._clock())

    def _retry_soon(self, entry: PolicyEntry) -> None:
        """Enqueue a policy for another evaluation soon."""
        self._scheduler.enqueue(entry)
        self._scheduler.done(entry)

    def _unchanged_values(self, entry: PolicyEntry, target: TargetState, results: SignalResults) -> Values | None:
        """Return the measured values if the steady state still holds and nothing is pending; else None.

        With values, `decide` can be skipped.
        """
        steady, policy = entry.steady_state, entry.policy
        if (
            steady is None
            or policy is None
            or self._plugin_actions.has_results(entry.uid)
            or self._event_recorder.has_pending(entry.uid)
            or self._status_writer.refresh_due(entry)
        ):
            return None
        now = self._clock()
        if steady.bounds is not None:
            numbers = results.scalars()
            if numbers is not None and steady.still_valid_for(policy, numbers, target, entry.memory, now):
                return numbers
        observations = self._observations(entry, results)
        if steady.still_valid(policy, observations, target, entry.memory, now):
            return {name: o.measured for name, o in observations.items() if o.measured is not None}
        return None

    def _skip_unchanged(self, entry: PolicyEntry, target: TargetState, results: SignalResults, values: Values) -> bool:
        """Record an unchanged policy as evaluated, and queue its status write if due. False if it changed since."""
        if entry.deleted or entry.steady_state is None:
            self._scheduler.done(entry)
            return False
        try:
            now = self._clock()
            if entry.evaluation_history is not None:
                entry.evaluation_history.add_unchanged(now, values)
            self._scheduler.schedule_next(entry, entry.steady_state.until - now)
            self._scheduler.done(entry)
            if entry.reported_fingerprint is None:
                observations = self._observations(entry, results)
                self._status_queue.add(entry, partial(self._reconciler.refresh_status, entry, target, observations))
        except Exception as error:
            self._report_failure(entry, Stage.COMPARE, error)
            return False
        return True

    def register_queries(self, entry: PolicyEntry) -> None:
        """Register the queries of a policy, so that shared queries cover it from its first evaluation."""
        self._collector.expect(self._requests(entry, {}))

    def _resolve_target(self, entry: PolicyEntry, scaled: Mapping[str, ScaleLookup]) -> TargetState | SkipReason | None:
        """Return the target's state, the reason to skip the policy, or None if it is too early to evaluate."""
        if entry.deleted:
            return None
        if entry.policy is None:
            return SkipReason("False", "PolicyUnreadable" if entry.unreadable else "InvalidSpec", str(entry.problem))
        if entry.policy.mode is Mode.SUSPENDED:
            return SkipReason("True", "Suspended", "spec.mode is Suspended: nothing is looked at and nothing is done")
        first = self._store.policies_on(entry.target)[0]
        kind, namespace, name = entry.target
        if first is not entry:
            return SkipReason(
                "False",
                "TargetConflict",
                f"the older policy {first.name} guards {kind} {name} already: delete one of the two, or choose "
                "another target",
            )
        if not self._targets.expectations.met(entry.target):
            return None  # it is enqueued when they are met
        target = scaled[entry.uid] if entry.uid in scaled else self._targets.get(entry.target)
        if isinstance(target, Exception):
            if isinstance(target, CallError):
                return _unreadable(entry, target)
            raise target
        if target is None and (reason := self._targets.unreadable(entry.target)):
            return SkipReason(
                "False", "TargetUnreadable", f"{reason}. Nothing is done until it can be read: correct it"
            )
        if target is None:
            return SkipReason(
                "False",
                "TargetNotFound",
                f"there is no {kind} {name} in namespace {namespace}: create it, or correct spec.targetRef",
            )
        if entry.pause is not None and self._is_paused(entry):
            return paused(entry, entry.pause, target)
        return target

    async def _collect(
        self, remaining: dict[int, _Ready], deadline: Deadline, planned: bool
    ) -> AsyncGenerator[Iterator[_Collected], None]:
        """Yield results in portions, as queries complete. Policies with results are removed from `remaining`."""
        ready = tuple(remaining.values())
        within = min(entry.interval for entry, _, _ in ready)
        portions = self._collector.collect(
            [entry.requests for entry, _, _ in ready],
            now=self._clock(),
            deadline=deadline.within(max(within, COLLECT_AT_LEAST)),
            # Events concern the target or the spec; for metrics, the last regular result is recent enough.
            max_age=min(1.0, within / 10) if planned else min(within, max(within / 2, SHARED_INTERVAL)),
            # Policies with custom queries are due at any time: they reuse recent results of shared queries.
            shared_age=0.0 if ready[0][0].shared_queries_only else min(within / 3, SHARED_INTERVAL),
        )
        async with aclosing(portions):
            with self._tracing.span("collect"):
                portion = await anext(portions, None)
            while portion is not None:
                yield ((*remaining.pop(number), results) for number, results in portion)
                portion = await anext(portions, None)

    def _observations(self, entry: PolicyEntry, results: SignalResults) -> dict[str, Observation]:
        observations = dict(zip((signal.name for signal in entry.signals), results.observations(), strict=True))
        return observations | self._lost_zones(entry)

    def _lost_zones(self, entry: PolicyEntry) -> dict[str, Observation]:
        """Return the signals computed from the nodes, for which no metric source is queried."""
        if not entry.zone_signals:
            return {}
        observation = self._zones.observe(self._targets.placement(entry.target), self._clock())
        return dict.fromkeys(entry.zone_signals, observation)

    @staticmethod
    def _requests(entry: PolicyEntry, owners: Mapping[str, str], *, watched: bool = False) -> tuple[SignalRequest, ...]:
        kind, namespace, name = entry.target
        return tuple(
            SignalRequest(namespace, name, kind, owners, signal, entry.source, entry.preset_family, watched)
            for signal in entry.signals
        )

    async def _isolate_errors(
        self, entry: PolicyEntry, work: Callable[[], Awaitable[StatusWrite | None]], stage: Stage
    ) -> StatusWrite | None:
        """Run `work`, and contain any error to this policy. Returns the status write that is still due."""
        try:
            with self._tracing.span("policy", {"k8s.namespace.name": entry.namespace, "resilience.policy": entry.name}):
                return await work()
        except Conflict as error:
            log.info("%s/%s changed during the evaluation; it is evaluated again: %s", *entry.key, error)
            EVALUATIONS.labels("superseded").inc()
            self._scheduler.enqueue(entry, 1.0)
        except NotFound:
            log.info("%s/%s no longer exists", *entry.key)
            EVALUATIONS.labels("missing").inc()
            self._on_missing()
        except CallError as error:
            if not entry.deleted:
                log.warning("%s/%s: %s", *entry.key, error)
            EVALUATIONS.labels("failed").inc()
        except Exception as error:
            return self._record_failure(entry, stage, error)
        return None

    def _record_failure(self, entry: PolicyEntry, stage: Stage, error: Exception) -> StatusWrite:
        """Count and log an unexpected error. Returns the status write that reports it."""
        EVALUATIONS.labels("error").inc()
        now, what = self._clock(), f"{stage}/{type(error).__name__}"
        known = entry.failure == what and now - entry.failure_logged < RELOG_AFTER
        contain(stage, *entry.key, error, known=known)
        if not known:
            entry.failure, entry.failure_logged = what, now
        return partial(self._reconciler.report_failure, entry, stage, error)

    def _report_failure(self, entry: PolicyEntry, stage: Stage, error: Exception) -> None:
        """End an evaluation that failed before reconciling. The next one runs at the usual time."""
        status_write = self._record_failure(entry, stage, error)
        self._scheduler.done(entry)
        if not entry.deleted:
            self._status_queue.add(entry, status_write)


def _has_release(entry: PolicyEntry, target: TargetState) -> bool:
    """Whether a release of the target is analysed, or begins with this evaluation."""
    release = entry.memory.release
    return release is not None and (release.phase is not Phase.STABLE or release.revision != target.revision)


def _unreadable(entry: PolicyEntry, error: CallError) -> SkipReason:
    """Explain why a target's /scale cannot be read, and what to change."""
    if error.status == HTTPStatus.FORBIDDEN:
        return SkipReason(
            "False",
            "Forbidden",
            f"the operator may not read the scale of {entry.kind} {entry.target[2]}: grant its account get and "
            "patch on the kind's scale subresource, with a ClusterRole that has the label "
            f'{SCALE_LABEL}: "true"',
        )
    return SkipReason("False", "UnsupportedTarget", str(error))
