"""Builds the operator process: connections, watches, the main loop, and an orderly shutdown."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import kopf
from prometheus_client import REGISTRY

from resilience_operator import __version__
from resilience_operator.kube.cache.reflector import Reflector
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.decoding import Unreadable
from resilience_operator.kube.client.paths import POLICIES as POLICIES_RESOURCE
from resilience_operator.kube.writes.policies import policy_pages, probe_policies
from resilience_operator.resilience import CallError, Deadline
from resilience_operator.runtime.cache.contact import PROBE_EVERY, Contacts, PolicyContact
from resilience_operator.runtime.cache.kopf_watch import registry, settings
from resilience_operator.runtime.cache.nodes import ZoneMonitor
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, TargetKey
from resilience_operator.runtime.cache.targets import TargetCache
from resilience_operator.runtime.config import Config
from resilience_operator.runtime.containment import Stage, contain, count_unhandled, start
from resilience_operator.runtime.coordination import NamespaceFilter, ReplicaCoordinator
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
    POLICIES,
    POLICIES_OWNED,
    STATUS_WRITES_WAITING,
    count_custom_query,
    count_unreadable,
    init_breaker_series,
    record_breaker_change,
)
from resilience_operator.runtime.telemetry.policy_metrics import PolicyMetricsCollector
from resilience_operator.runtime.telemetry.tracing import Tracing
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.query.breakers import SourceBreakers
from resilience_operator.signals.query.cohorts import Cohorts

log = logging.getLogger(__name__)

SPREAD = 2.0
"""Seconds over which a replica spreads the first evaluations of policies that it has just acquired."""

IDENTITY: Any = "resilience-operator"
"""kopf's peer identity. By default kopf derives it from the user name, which a container may not have."""

PROBE_TIME = 15.0
"""Timeout in seconds for a list of one policy."""

LIST_TIME = 60.0
"""Timeout in seconds for a full list of policies."""


class App:
    """One operator process. Owns every component until `run` returns."""

    def __init__(
        self, config: Config, kube: KubeClient, plugged: LoadedPlugins, tracing: Tracing, stop: asyncio.Event
    ) -> None:
        self._config = config
        self._stop = stop
        self._missing = asyncio.Event()
        self._leader = leader = ReplicaCoordinator(
            kube,
            config,
            ready=self._caches_synced,
            busy=self._busy,
            on_gained=self._on_namespaces_acquired,
            on_lost=stop.set,
        )
        # Every write passes the fence. Only the election itself does not.
        self._kube = kube = kube.with_fence(leader.may_write)
        cohorts = Cohorts()
        self._store = PolicyCache(dry_run=config.dry_run, sources=plugged.catalog, cohorts=cohorts)
        self._targets = TargetCache(kube, config.namespaces, self._target_changed)
        self._zones = ZoneMonitor(kube, watch=config.watches_nodes, on_change=self._zones_changed)
        self._cleanup = Cleanup(kube, self._store, self._targets, dry_run=config.dry_run)
        self._notifiers = plugged.notifiers
        self._collector = SignalCollector(
            plugged.sources,
            retry=kube.retry,
            breakers=SourceBreakers(on_change=record_breaker_change),
            cohorts=cohorts,
            on_custom=count_custom_query,
        )
        inputs = Inputs(
            self._store,
            self._targets,
            self._zones,
            self._collector,
            cohorts,
            plugged.actions,
            plugged.notifiers,
            config.refresh_seconds,
            config.refresh_writes_per_second,
        )
        # A policy deleted between our list and kopf's is reported by neither.
        context = EvaluationContext(leader, tracing, time.time, config.dashboard)
        self._evaluation = Evaluation(kube, context, inputs, on_missing=self._missing.set)
        self._scheduler = self._evaluation.scheduler
        self._tasks: set[asyncio.Task[None]] = set()
        self._singletons: list[asyncio.Task[Any]] = []
        self._listed = asyncio.Event()
        self._policy_contact = PolicyContact()
        self._contacts = Contacts()
        self._contacts.add(POLICIES_RESOURCE.plural, self._policy_contact.last)
        for reflector in self._targets.reflectors:
            self._contacts.add(reflector.resource.plural, partial(_last_contact, reflector))
        for reflector in self._zones.reflectors:
            self._contacts.add(reflector.resource.plural, partial(_last_contact, reflector), optional=True)
        init_breaker_series(plugged.sources.names)
        REGISTRY.register(PolicyMetricsCollector(self._store, self._leader.owns))
        POLICIES_OWNED.set_function(self._owned)
        STATUS_WRITES_WAITING.set_function(lambda: len(self._evaluation.status_queue))

    def health(self) -> Health:
        """Return the checks behind /healthz and /readyz."""
        found = Health()
        found.live["scheduler"] = self._scheduler.stalled
        found.live["tasks"] = self._dead_tasks
        found.ready["policies"] = lambda: "" if self._listed.is_set() else "the policies are not listed yet"
        found.ready["targets"] = self._targets.not_ready
        found.ready["contact"] = self._contacts.not_ready
        return found

    def dashboard(self) -> Dashboard | None:
        """Return the dashboard, or None if it is disabled."""
        if not self._config.dashboard:
            return None
        return Dashboard(self._store, self._leader.owns, self._targets.get, time.time)

    async def run(self) -> None:
        """Watch and evaluate until `stop` is set or leadership is lost."""
        stop = self._stop
        kopf_stop = asyncio.Event()
        count_unhandled(asyncio.get_running_loop())
        watching = start(self._watch(kopf_stop), "kopf")
        relisting = start(self._relist(stop), "relist")
        self._singletons += [watching, relisting]
        async with self._notifiers.working(), self._targets.watching(), self._zones.watching():
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
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._collector.close()
            # Wait only after the lease is released: kopf writes nothing, and takes seconds to stop.
            await asyncio.wait((watching,), timeout=5.0)
        for task in unexpected:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _watch(self, kopf_stop: asyncio.Event) -> None:
        # kopf lists the policies again. Start it only after our own list, which feeds the first evaluations.
        if not await _first(kopf_stop, self._listed.wait()):
            return
        await kopf.operator(
            registry=registry(
                self._on_policy,
                self._on_unreadable_policy,
                self._config.kubeconfig,
                lambda: end_on_signals(self._stop),
            ),
            settings=settings(),
            standalone=True,
            identity=IDENTITY,
            clusterwide=not self._config.namespaces,
            namespaces=self._config.namespaces,
            stop_flag=kopf_stop,
        )

    async def _schedule(self, stop: asyncio.Event) -> None:
        if await _first(stop, self._targets.synced()):
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
            *self._singletons, *self._targets.tasks, *self._zones.tasks, *self._leader.tasks, *self._notifiers.tasks,
        )  # fmt: skip
        dead = [task.get_name() for task in tasks if task.done()]
        return f"ended unexpectedly: {', '.join(dead)}" if dead else ""

    def _on_policy(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Handle an event of kopf's watch. Never raises."""
        try:
            meta = body["metadata"]
            self._policy_contact.delivered(meta["uid"])
            if kind == "DELETED":
                self._on_policy_deleted(self._store.remove(meta["uid"]))
                return
            before = self._store.get(meta["uid"])
            target = before.target if before is not None else None
            entry, needs_evaluation = self._store.upsert(body)
            if needs_evaluation:
                self._on_policy_changed(entry, target)
        except Exception as error:
            contain(Stage.WATCH, *_name_of(body), error)

    def _on_unreadable_policy(self, found: Unreadable) -> None:
        """Report a policy that cannot be decoded, and stop acting on its earlier spec. Never raises."""
        try:
            self._policy_contact.delivered(found.uid)
            self._kube.unreadable.report(POLICIES_RESOURCE.plural, found)
            entry, needs_evaluation = self._store.put_unreadable(found)
            if entry is not None and needs_evaluation:
                self._on_policy_changed(entry, None)
        except Exception as error:
            contain(Stage.WATCH, found.namespace, found.name, error)

    async def _caches_synced(self) -> None:
        """Wait until the targets and the policies have been listed."""
        await self._targets.synced()
        await self._listed.wait()

    def _on_namespaces_acquired(self, namespaces: NamespaceFilter) -> None:
        """Enqueue every policy in `namespaces`, spread over `SPREAD` seconds to avoid a burst."""
        for entry in self._store:
            if namespaces(entry.namespace):
                # The status holds what another replica did since this one last owned the policy.
                self._store.restore_from_status(entry)
                self._evaluation.plugin_actions.forget(entry.uid)
                self._evaluation.status_queue.discard(entry)
                self._scheduler.enqueue(entry, entry.phase_offset * min(entry.interval, SPREAD))
        self._spawn(self._sweep(), "sweep")

    def _busy(self, namespaces: NamespaceFilter) -> bool:
        """Return True while an evaluation, a status write or a cleanup is in progress in `namespaces`."""
        at_work = (entry.namespace for entry in self._evaluation.work.processing)
        return any(namespaces(namespace) for namespace in (*at_work, *self._cleanup.under_way))

    def _owned(self) -> float:
        return sum(self._leader.owns(entry.namespace) for entry in self._store)

    async def _sweep(self) -> None:
        await self._targets.synced()
        if self._listed.is_set():
            await self._cleanup.restore_orphans(self._leader.owns)

    def _on_policy_changed(self, entry: PolicyEntry, target_before: TargetKey | None) -> None:
        """Evaluate a new or changed policy, and the other policies on its target."""
        self._evaluation.status_queue.discard(entry)
        self._scheduler.add(entry)
        try:
            self._evaluation.signals.register(entry)
        except Exception as error:  # costs at most one extra query; the evaluation reports the error
            contain(Stage.COLLECT, *entry.key, error)
        for other in self._store.policies_on(entry.target):
            self._scheduler.enqueue(other)
        if target_before is not None and target_before != entry.target:
            self._on_target_unreferenced(target_before)
        POLICIES.set(len(self._store))

    def _on_policy_deleted(self, entry: PolicyEntry | None) -> None:
        if entry is None:
            return
        self._policy_contact.delivered(entry.uid)
        self._evaluation.forget(entry)
        self._on_target_unreferenced(entry.target)
        POLICIES.set(len(self._store))

    def _on_target_unreferenced(self, target: TargetKey) -> None:
        """Handle a target that a policy no longer references: evaluate the next policy on it, or restore the target."""
        for other in self._store.policies_on(target):
            self._scheduler.enqueue(other)
        if not self._store.policies_on(target):
            self._spawn(self._restore_target(target), f"cleanup of {target[0]} {target[1]}/{target[2]}")

    async def _restore_target(self, target: TargetKey) -> None:
        if self._leader.owns(target[1]):
            await self._cleanup.restore_target(target)

    def _zones_changed(self) -> None:
        for entry in self._store:
            if entry.compiled.zone_signals:
                self._scheduler.enqueue(entry)

    def _target_changed(self, target: TargetKey) -> None:
        for entry in self._store.policies_on(target):
            self._scheduler.enqueue(entry)

    async def _relist(self, stop: asyncio.Event) -> None:
        """List all policies periodically, to drop those whose deletion the watch missed.

        Between full lists, a list of one object checks that policies can still be listed.
        """
        loop = asyncio.get_running_loop()
        due, failures = 0.0, 0
        while not stop.is_set():
            try:
                if self._missing.is_set() or loop.time() >= due:
                    self._missing.clear()
                    await self._list_once()
                    due = loop.time() + self._config.relist_seconds
                else:
                    await self._probe()
                failures = 0
            except CallError as error:
                log.warning("cannot list policies: %s", error)
                failures += 1
            except Exception as error:
                contain(Stage.LIST, "", "all policies", error)
                failures += 1
            pause = min(PROBE_EVERY, max(1.0, due - loop.time())) if not failures else min(30.0, 2.0**failures)
            await _first(stop, self._relist_due(pause))

    async def _probe(self) -> None:
        for namespace in self._config.namespaces or (None,):
            await probe_policies(self._kube, namespace, deadline=Deadline.after(PROBE_TIME))
        self._policy_contact.listed()

    async def _relist_due(self, pause: float) -> None:
        """Wait for `pause` seconds, but only about one second once a policy was found to be missing."""
        await asyncio.sleep(1.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, pause - 1.0)):
                await self._missing.wait()

    async def _list_once(self) -> None:
        changed: list[PolicyEntry] = []
        seen: set[str] = set()
        versions: list[str] = []
        try:
            for namespace in self._config.namespaces or (None,):
                async for page in policy_pages(self._kube, namespace, deadline=Deadline.after(LIST_TIME)):
                    for body in page.items:
                        try:
                            self._take_in(body, seen, changed)
                        except Exception as error:
                            contain(Stage.LIST, *_name_of(body), error)
                    for found in page.unreadable:
                        try:
                            self._take_in_unreadable(found, seen, changed)
                        except Exception as error:
                            contain(Stage.LIST, found.namespace, found.name, error)
                versions.append(page.resource_version)
        finally:
            for entry in changed:
                try:
                    self._on_policy_changed(entry, None)
                except Exception as error:
                    contain(Stage.LIST, *entry.key, error)
        for entry in self._store.prune(seen, min(versions, key=_as_number)):
            self._on_policy_deleted(entry)
        self._policy_contact.listed()
        self._listed.set()
        await self._sweep()

    def _take_in(self, body: Mapping[str, Any], seen: set[str], changed: list[PolicyEntry]) -> None:
        """Store one object of a list."""
        uid = body["metadata"]["uid"]
        seen.add(uid)
        known = self._store.get(uid)
        before = known.resource_version if known is not None else ""
        entry, needs_evaluation = self._store.upsert(body)
        if not entry.deleted and entry.resource_version != before:
            self._policy_contact.expect(uid)
        if needs_evaluation:
            changed.append(entry)

    def _take_in_unreadable(self, found: Unreadable, seen: set[str], changed: list[PolicyEntry]) -> None:
        """Store one object of a list that cannot be decoded."""
        seen.add(found.uid)
        self._kube.unreadable.report(POLICIES_RESOURCE.plural, found)
        entry, needs_evaluation = self._store.put_unreadable(found)
        if entry is not None and needs_evaluation:
            changed.append(entry)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = start(work, name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _last_contact(reflector: Reflector[Any]) -> float | None:
    return reflector.last_contact


def _name_of(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return namespace and name of an object; empty strings if they cannot be read."""
    try:
        return str(body["metadata"].get("namespace", "")), str(body["metadata"].get("name", ""))
    except Exception:
        return "", "an object without metadata"


def _as_number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


async def _first(stop: asyncio.Event, work: Coroutine[Any, Any, Any]) -> bool:
    """Wait for `work` or `stop`. Returns True if `work` finished."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
        return doing in done
    finally:
        doing.cancel()
        stopping.cancel()


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
