"""Assembles the parts of the evaluation, from the work queue to the reporter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from resilience_operator.actions.executor import DryRunExecutor, LiveExecutor
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.plugins.actions import Actions
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.runtime.cache.configuration import ConfigurationReader
from resilience_operator.runtime.cache.nodes import ZoneMonitor
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.cache.scale_targets import ScaleTargetReader
from resilience_operator.runtime.cache.targets import TargetCache
from resilience_operator.runtime.containment import Stage
from resilience_operator.runtime.evaluation.batch import BatchEvaluator
from resilience_operator.runtime.evaluation.context import EvaluationContext
from resilience_operator.runtime.evaluation.fast_path import FastPath
from resilience_operator.runtime.evaluation.isolation import ErrorIsolation
from resilience_operator.runtime.evaluation.plugin_actions import PluginActionRunner
from resilience_operator.runtime.evaluation.reconciler import PolicyReconciler
from resilience_operator.runtime.evaluation.resolver import TargetResolver
from resilience_operator.runtime.evaluation.signal_reader import SignalReader
from resilience_operator.runtime.reporting.event_recorder import EventRecorder
from resilience_operator.runtime.reporting.reporter import Reporter
from resilience_operator.runtime.reporting.status_queue import StatusQueue
from resilience_operator.runtime.reporting.status_writer import StatusWriter
from resilience_operator.runtime.scheduling.admission import FairSemaphore
from resilience_operator.runtime.scheduling.phase import PhaseSchedule
from resilience_operator.runtime.scheduling.rate_limit import AdaptiveRateLimiter
from resilience_operator.runtime.scheduling.scheduler import Scheduler
from resilience_operator.runtime.scheduling.work_queue import WorkQueue
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.query.cohorts import Cohorts


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an evaluation reads, and the plugins that it calls.

    refresh: minimum seconds between two refreshes of the values in a status. writes_per_second: budget of refreshes.
    """

    store: PolicyCache
    targets: TargetCache
    zones: ZoneMonitor
    configurations: ConfigurationReader
    collector: SignalCollector
    cohorts: Cohorts
    actions: Actions
    notifiers: Notifiers
    refresh: float = 0.0
    writes_per_second: float = 0.0


class Evaluation:
    """The parts of the evaluation. on_missing: called when a policy turns out to be deleted."""

    def __init__(
        self, kube: KubeClient, context: EvaluationContext, inputs: Inputs, on_missing: Callable[[], None]
    ) -> None:
        rate_limiter, admission = AdaptiveRateLimiter(), FairSemaphore()
        self._configurations = inputs.configurations
        self.work = WorkQueue()
        self.scheduler = Scheduler(self.work, PhaseSchedule(inputs.cohorts), on_overrun=rate_limiter.back_off)
        self.status_queue = StatusQueue(self.work, admission, rate_limiter)
        writer = StatusWriter(
            kube, refresh=inputs.refresh, writes_per_second=inputs.writes_per_second, rate_limiter=rate_limiter
        )
        self.reporter = Reporter(self.status_queue, writer, EventRecorder(kube), inputs.notifiers)
        self.plugin_actions = PluginActionRunner(inputs.actions, self.scheduler.enqueue)
        self.signals = SignalReader(context, inputs.collector, inputs.zones, inputs.targets)
        self.reconciler = PolicyReconciler(
            context,
            targets=inputs.targets,
            live=LiveExecutor(kube),
            dry_run=DryRunExecutor(),
            reporter=self.reporter,
            plugin_actions=self.plugin_actions,
            scheduler=self.scheduler,
            admission=admission,
        )
        self._isolation = ErrorIsolation(context, self.scheduler, self.reporter, on_missing)
        scales = ScaleTargetReader(kube, inputs.targets)
        self.evaluator = BatchEvaluator(
            context,
            resolver=TargetResolver(inputs.store, inputs.targets, scales, inputs.configurations, context.clock),
            signals=self.signals,
            fast_path=FastPath(context, self.signals, self.reporter, self.plugin_actions),
            reconciler=self.reconciler,
            scheduler=self.scheduler,
            isolation=self._isolation,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Evaluate policies and write statuses until `stop` is set."""
        # Both isolate the errors of one policy. If either ends, the process ends and is restarted.
        async with asyncio.TaskGroup() as group:
            group.create_task(self.scheduler.run(self.evaluator.evaluate, stop))
            group.create_task(self.status_queue.run(self.write_status, stop))

    async def write_status(self, entry: PolicyEntry) -> None:
        """Write the pending status of a policy. Raises only CancelledError."""
        await self._isolation.run(entry, Stage.WRITE, partial(self.reconciler.write_pending, entry))

    def forget(self, entry: PolicyEntry) -> None:
        """Drop the state of a deleted policy."""
        self.scheduler.remove(entry)
        self.reporter.forget(entry)
        self.plugin_actions.forget(entry.uid)
        self._configurations.forget(entry.uid)
