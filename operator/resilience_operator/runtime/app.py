"""Builds the operator process: connections, watches, the main loop, and an orderly shutdown."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Any

from prometheus_client import REGISTRY

from resilience_operator import __version__
from resilience_operator.kube.cache.reflector import Reflector
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import POLICIES as POLICIES_RESOURCE
from resilience_operator.runtime.cache.configuration import ConfigurationReader
from resilience_operator.runtime.cache.contact import Contacts
from resilience_operator.runtime.cache.nodes import ZoneMonitor
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_source import PolicySource, first
from resilience_operator.runtime.cache.targets import TargetCache
from resilience_operator.runtime.config import Config
from resilience_operator.runtime.containment import count_unhandled, start
from resilience_operator.runtime.coordination import ReplicaCoordinator
from resilience_operator.runtime.dashboard.routes import Dashboard
from resilience_operator.runtime.evaluation.assembly import Evaluation, Inputs
from resilience_operator.runtime.evaluation.cleanup import Cleanup
from resilience_operator.runtime.evaluation.context import EvaluationContext
from resilience_operator.runtime.http.access import Reviewer
from resilience_operator.runtime.http.health import Health
from resilience_operator.runtime.http.hosts import AllowedHosts, service_names
from resilience_operator.runtime.http.server import Endpoints, serve
from resilience_operator.runtime.plugin_loading import LoadedPlugins, load_plugins
from resilience_operator.runtime.telemetry.gc_tuning import refreeze_periodically
from resilience_operator.runtime.telemetry.instrumented_retry import InstrumentedRetry
from resilience_operator.runtime.telemetry.metrics import (
    POLICIES_OWNED,
    STATUS_WRITES_WAITING,
    count_custom_query,
    count_unreadable,
    init_breaker_series,
    record_breaker_change,
)
from resilience_operator.runtime.telemetry.policy_metrics import PolicyMetricsCollector
from resilience_operator.runtime.telemetry.recorded_history import RecordedHistory
from resilience_operator.runtime.telemetry.tracing import Tracing
from resilience_operator.runtime.triggers import Triggers
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.query.breakers import SourceBreakers
from resilience_operator.signals.query.cohorts import Cohorts

log = logging.getLogger(__name__)


class App:
    """One operator process. Owns every component until `run` returns."""

    def __init__(
        self, config: Config, kube: KubeClient, plugged: LoadedPlugins, tracing: Tracing, stop: asyncio.Event
    ) -> None:
        self._config = config
        self._stop = stop
        cohorts = Cohorts()
        self._store = store = PolicyCache(dry_run=config.dry_run, sources=plugged.catalog, cohorts=cohorts)
        self._triggers = triggers = Triggers(store)
        self._leader = leader = ReplicaCoordinator(
            kube,
            config,
            ready=self._caches_synced,
            busy=triggers.busy,
            on_gained=lambda namespaces: triggers.namespaces_acquired(namespaces, listed=self._source.listed.is_set()),
            on_lost=stop.set,
        )
        # Every write passes the fence. Only the election itself does not.
        kube = kube.with_fence(leader.may_write)
        self._targets = targets = TargetCache(kube, config.namespaces, triggers.target_changed)
        self._configurations = ConfigurationReader(kube, config.namespaces, triggers.target_changed, time.time)
        self._zones = ZoneMonitor(kube, watch=config.watches_nodes, on_change=triggers.zones_changed)
        self._source = PolicySource(kube, config, store, triggers)
        self._collector = _collector(plugged, kube, cohorts)
        self._recorded = RecordedHistory(self._collector.read_range, targets.get, time.time)
        self._notifiers = plugged.notifiers
        context = EvaluationContext(leader, tracing, time.time, config.dashboard)
        inputs = Inputs(
            store=store,
            targets=targets,
            zones=self._zones,
            configurations=self._configurations,
            collector=self._collector,
            cohorts=cohorts,
            actions=plugged.actions,
            notifiers=plugged.notifiers,
            refresh=config.refresh_seconds,
            writes_per_second=config.refresh_writes_per_second,
        )
        self._evaluation = Evaluation(kube, context, inputs, on_missing=self._source.list_soon)
        triggers.evaluation, triggers.ownership = self._evaluation, leader
        triggers.cleanup = Cleanup(kube, store, targets, dry_run=config.dry_run)
        self._singletons: list[asyncio.Task[Any]] = []
        self._contacts = Contacts()
        self._contacts.add(POLICIES_RESOURCE.plural, self._source.contact.last)
        for reflector in (*targets.reflectors, *self._zones.reflectors):
            optional = reflector in self._zones.reflectors
            self._contacts.add(reflector.resource.plural, partial(_last_contact, reflector), optional=optional)
        init_breaker_series(plugged.sources.names)
        REGISTRY.register(PolicyMetricsCollector(store, leader.owns))
        POLICIES_OWNED.set_function(lambda: sum(leader.owns(entry.namespace) for entry in store))
        STATUS_WRITES_WAITING.set_function(lambda: len(self._evaluation.status_queue))

    def health(self) -> Health:
        """Return the checks behind /healthz and /readyz."""
        found = Health()
        found.live["scheduler"] = self._evaluation.scheduler.stalled
        found.live["tasks"] = self._dead_tasks
        found.ready["policies"] = lambda: "" if self._source.listed.is_set() else "the policies are not listed yet"
        found.ready["targets"] = self._targets.not_ready
        found.ready["contact"] = self._contacts.not_ready
        return found

    def dashboard(self) -> Dashboard | None:
        """Return the dashboard, or None if it is disabled."""
        if not self._config.dashboard:
            return None
        return Dashboard(self._store, self._leader.owns, self._targets.get, time.time, self._recorded)

    async def run(self) -> None:
        """Watch and evaluate until `stop` is set or leadership is lost."""
        stop = self._stop
        kopf_stop = asyncio.Event()
        count_unhandled(asyncio.get_running_loop())
        watching = start(self._source.watch(kopf_stop, lambda: end_on_signals(stop)), "kopf")
        relisting = start(self._source.relist(stop), "relist")
        self._singletons += [watching, relisting]
        async with (
            self._notifiers.working(),
            self._targets.watching(),
            self._zones.watching(),
            self._configurations.watching(),
        ):
            async with self._leader.running():
                scheduling = start(self._schedule(stop), "scheduler")
                self._singletons.append(scheduling)
                ended: asyncio.Task[Any] = asyncio.create_task(stop.wait())
                done, _ = await asyncio.wait(
                    (watching, scheduling, relisting, ended), return_when=asyncio.FIRST_COMPLETED
                )
                unexpected = [task for task in done if task is not ended]
                stop.set()
                # kopf may hang when it is cancelled; its own stop flag ends it.
                kopf_stop.set()
                await asyncio.gather(scheduling, relisting, ended, return_exceptions=True)
                await self._evaluation.plugin_actions.shutdown()
                cleanups = tuple(self._triggers.tasks)
                for task in cleanups:
                    task.cancel()
                await asyncio.gather(*cleanups, return_exceptions=True)
                await self._recorded.close()
                await self._collector.close()
            # Wait only after the lease is released: kopf writes nothing, and takes seconds to stop.
            await asyncio.wait((watching,), timeout=5.0)
        for task in unexpected:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _schedule(self, stop: asyncio.Event) -> None:
        if await first(stop, self._targets.synced()):
            tidying = start(refreeze_periodically(), "heap")
            self._singletons.append(tidying)
            try:
                await self._evaluation.run(stop)
            finally:
                tidying.cancel()

    def _dead_tasks(self) -> str:
        """Name the background tasks that have ended; empty while all of them run."""
        if self._stop.is_set():
            return ""
        tasks = (
            *self._singletons, *self._targets.tasks, *self._zones.tasks, *self._configurations.tasks,
            *self._leader.tasks, *self._notifiers.tasks,
        )  # fmt: skip
        dead = [task.get_name() for task in tasks if task.done()]
        return f"ended unexpectedly: {', '.join(dead)}" if dead else ""

    async def _caches_synced(self) -> None:
        """Wait until the targets and the policies have been listed."""
        await self._targets.synced()
        await self._source.listed.wait()


def _last_contact(reflector: Reflector[Any]) -> float | None:
    return reflector.last_contact


def _collector(plugged: LoadedPlugins, kube: KubeClient, cohorts: Cohorts) -> SignalCollector:
    return SignalCollector(
        plugged.sources,
        retry=kube.retry,
        breakers=SourceBreakers(on_change=record_breaker_change),
        cohorts=cohorts,
        on_custom=count_custom_query,
    )


@contextmanager
def _tracing(config: Config) -> Iterator[Tracing]:
    if not config.traces:
        yield Tracing()
        return
    # Imported here: without traces the operator does not pay the time and memory of this import.
    from resilience_operator.runtime.telemetry import otlp

    with otlp.opened(config.otlp_endpoint) as tracing:
        log.info("sending traces to an OpenTelemetry receiver")
        yield tracing


def end_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT, replacing any earlier handler."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _endpoints(config: Config, app: App, kube: KubeClient) -> Endpoints:
    return Endpoints(
        health=app.health(),
        listen=config.listen,
        port=config.port,
        dashboard=app.dashboard(),
        dashboard_port=config.dashboard_port,
        hosts=AllowedHosts((*service_names(config.service_name, config.lease_namespace), *config.dashboard_hosts)),
        reviewer=Reviewer(kube) if config.auth == "kubernetes" else None,
    )


async def run(config: Config) -> None:
    """Run an operator until SIGTERM or SIGINT. Raises NoCluster, or the error that ended the process unexpectedly."""
    stop = asyncio.Event()
    end_on_signals(stop)
    async with AsyncExitStack() as stack:
        tracing = stack.enter_context(_tracing(config))
        retry = InstrumentedRetry(tracing=tracing)
        kube = await stack.enter_async_context(
            KubeClient.connect(config.kubeconfig, retry=retry, on_unreadable=count_unreadable)
        )
        plugged = await stack.enter_async_context(load_plugins(config, retry))
        app = App(config, kube, plugged, tracing, stop)
        ports = await stack.enter_async_context(serve(_endpoints(config, app, kube)))
        log.info(
            "resilience-operator %s on %s, endpoints on ports %s", __version__, kube.host, ", ".join(map(str, ports))
        )
        if not plugged.sources.names:
            log.warning("no metric source is configured, so every signal is Unknown: set --prometheus-url or sources")
        await app.run()
    log.info("stopped")
