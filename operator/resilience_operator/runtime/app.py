"""The process put together: connections, watches, the loop, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any

import kopf
from prometheus_client import REGISTRY

from resilience_operator import __version__
from resilience_operator.actions.executor import DryRunExecutor, LiveExecutor
from resilience_operator.kube.client import Kube
from resilience_operator.kube.decoding import Unreadable
from resilience_operator.kube.paths import POLICIES as POLICIES_RESOURCE
from resilience_operator.kube.policies import policy_pages
from resilience_operator.resilience import CallError, Deadline
from resilience_operator.runtime.access import Reviewer
from resilience_operator.runtime.announcer import Announcer
from resilience_operator.runtime.backlog import Backlog
from resilience_operator.runtime.beats import Beats
from resilience_operator.runtime.calls import ObservedRetry
from resilience_operator.runtime.census import Census
from resilience_operator.runtime.cleanup import Cleanup
from resilience_operator.runtime.config import Config
from resilience_operator.runtime.dashboard.routes import Dashboard
from resilience_operator.runtime.entry import Entry, TargetKey
from resilience_operator.runtime.errands import Errands
from resilience_operator.runtime.handlers import registry, settings
from resilience_operator.runtime.health import Health
from resilience_operator.runtime.heap import keep_set_aside
from resilience_operator.runtime.hosts import AllowedHosts, service_names
from resilience_operator.runtime.leadership import Leader, Namespaces
from resilience_operator.runtime.metrics import (
    POLICIES,
    POLICIES_OWNED,
    STATUS_WRITES_WAITING,
    count_unreadable,
    expect_breakers,
    tell_breaker,
)
from resilience_operator.runtime.pace import Pace
from resilience_operator.runtime.places import Places
from resilience_operator.runtime.plugged import Plugged, plug_in
from resilience_operator.runtime.reconcile import Reconciler
from resilience_operator.runtime.recorder import Recorder
from resilience_operator.runtime.scaled import ScaledTargets
from resilience_operator.runtime.scheduler import Scheduler
from resilience_operator.runtime.store import PolicyStore
from resilience_operator.runtime.targets import Targets
from resilience_operator.runtime.tracing import Tracing
from resilience_operator.runtime.turns import Turns
from resilience_operator.runtime.web import Endpoints, serve
from resilience_operator.runtime.zones import Zones
from resilience_operator.signals.breakers import Breakers
from resilience_operator.signals.collect import Collector
from resilience_operator.signals.crowds import Crowds

log = logging.getLogger(__name__)

SPREAD = 2.0
"""Seconds over which a replica begins with the policies that have become its own."""

IDENTITY: Any = "resilience-operator"
"""kopf's name for this process, which it would else make from the user's: a container's may have none."""

LIST_TIME = 60.0
"""Seconds for a full list of policies."""


class App:
    """One operator process. All its parts live between `start` and the end of `run`."""

    def __init__(self, config: Config, kube: Kube, plugged: Plugged, tracing: Tracing, stop: asyncio.Event) -> None:
        self._config = config
        self._stop = stop
        self._missing = asyncio.Event()
        self._leader = leader = Leader(
            kube, config, ready=self._read, busy=self._busy, on_gained=self._gained, on_lost=stop.set
        )
        # Whatever is written goes through the fence; only the election itself does not.
        self._kube = kube = kube.fenced(leader.may_write)
        crowds = Crowds()
        self._store = PolicyStore(dry_run=config.dry_run, sources=plugged.book, crowds=crowds)
        self._targets = Targets(kube, config.namespaces, self._target_changed)
        self._zones = Zones(kube, watch=config.watches_nodes, on_change=self._zones_changed)
        pace = Pace()
        self._recorder = Recorder(
            kube,
            refresh=config.refresh_seconds,
            writes_per_second=config.refresh_writes_per_second,
            pace=pace,
        )
        self._announcer = Announcer(kube)
        self._cleanup = Cleanup(kube, self._store, self._targets, dry_run=config.dry_run)
        self._notifiers = plugged.notifiers
        self._errands = Errands(plugged.actions, self._errand_done)
        self._scheduler = Scheduler(Beats(crowds), on_missed=pace.slow_down)
        places = Places()
        self._backlog = backlog = Backlog(places, pace)
        turns = Turns(
            scheduler=self._scheduler,
            places=places,
            backlog=backlog,
            live=LiveExecutor(kube),
            rehearsal=DryRunExecutor(),
            recorder=self._recorder,
            announcer=self._announcer,
            errands=self._errands,
            notifiers=self._notifiers,
            leadership=leader,
            tracing=tracing,
            clock=time.time,
            tracks=config.dashboard,
        )
        self._reconciler = Reconciler(
            store=self._store,
            targets=self._targets,
            scaled=ScaledTargets(kube, self._targets),
            collector=Collector(
                plugged.sources, retry=kube.retry, breakers=Breakers(on_change=tell_breaker), crowds=crowds
            ),
            zones=self._zones,
            turns=turns,
            scheduler=self._scheduler,
            backlog=backlog,
            recorder=self._recorder,
            announcer=self._announcer,
            errands=self._errands,
            leadership=leader,
            tracing=tracing,
            clock=time.time,
            # Deleted between this process' own list and kopf's, a policy is told of by neither.
            on_missing=self._missing.set,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._listed = asyncio.Event()
        self._scheduling: asyncio.Task[None] | None = None
        expect_breakers(plugged.sources.names)
        REGISTRY.register(Census(self._store, self._leader.owns))
        POLICIES_OWNED.set_function(self._owned)
        STATUS_WRITES_WAITING.set_function(lambda: len(backlog))

    def health(self) -> Health:
        """The checks behind /healthz and /readyz."""
        found = Health()
        found.live["scheduler"] = self._scheduler_alive
        found.ready["policies"] = lambda: "" if self._listed.is_set() else "the policies are not listed yet"
        found.ready["targets"] = self._targets.not_ready
        return found

    def dashboard(self) -> Dashboard | None:
        """The pages about the policies, unless they are turned off."""
        if not self._config.dashboard:
            return None
        return Dashboard(self._store, self._leader.owns, self._targets.get, time.time)

    async def run(self) -> None:
        """Watch and evaluate until told to stop, or until leadership is lost."""
        stop = self._stop
        kopf_stop = asyncio.Event()
        watching = asyncio.create_task(self._watch(kopf_stop), name="kopf")
        relisting = asyncio.create_task(self._relist(stop), name="relist")
        async with self._notifiers.working(), self._targets.watching(), self._zones.watching():
            async with self._leader.leading():
                self._scheduling = asyncio.create_task(self._schedule(stop), name="scheduler")
                ended: asyncio.Task[Any] = asyncio.create_task(stop.wait())
                done, _ = await asyncio.wait(
                    (watching, self._scheduling, relisting, ended), return_when=asyncio.FIRST_COMPLETED
                )
                unexpected = [task for task in done if task is not ended]
                stop.set()
                # kopf may hang when it is cancelled; its own flag ends it.
                kopf_stop.set()
                await asyncio.gather(self._scheduling, relisting, ended, return_exceptions=True)
                await self._errands.end()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
            # Only now that another replica may lead: kopf writes nothing, and takes seconds to end.
            await asyncio.wait((watching,), timeout=5.0)
        for task in unexpected:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _watch(self, kopf_stop: asyncio.Event) -> None:
        # It lists them once more: after what they are evaluated for first.
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
            tidying = asyncio.create_task(keep_set_aside(), name="heap")
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._scheduler.run(self._reconciler.evaluate, stop))
                    group.create_task(self._backlog.run(self._reconciler.write, stop))
            finally:
                tidying.cancel()

    def _scheduler_alive(self) -> str:
        task = self._scheduling
        return "the scheduler has ended" if task is not None and task.done() else ""

    def _on_policy(self, kind: str | None, body: Mapping[str, Any]) -> None:
        if kind == "DELETED":
            self._gone(self._store.drop(body["metadata"]["uid"]))
            return
        before = self._store.get(body["metadata"]["uid"])
        target = before.target if before is not None else None
        entry, anew = self._store.put(body)
        if anew:
            self._changed(entry, target)

    def _on_unreadable_policy(self, found: Unreadable) -> None:
        """Show a policy that cannot be read, and no longer act on what it said before."""
        self._kube.unreadable.report(POLICIES_RESOURCE.plural, found)
        entry, anew = self._store.put_unreadable(found)
        if entry is not None and anew:
            self._changed(entry, None)

    async def _read(self) -> None:
        """Return when everything there is has been read."""
        await self._targets.synced()
        await self._listed.wait()

    def _gained(self, namespaces: Namespaces) -> None:
        """Look at every policy there soon, spread so that thousands do not come at once."""
        for entry in self._store:
            if namespaces(entry.namespace):
                # It may have been ours before: what another replica did since is in the status.
                self._store.recall(entry)
                self._errands.forget(entry.uid)
                self._backlog.drop(entry)
                self._scheduler.poke(entry, entry.phase * min(entry.interval, SPREAD))
        self._spawn(self._sweep())

    def _busy(self, namespaces: Namespaces) -> bool:
        """Whether something is under way there that may write."""
        at_work = (entry.namespace for entry in self._store if entry.evaluating or entry.busy)
        return any(namespaces(namespace) for namespace in (*at_work, *self._cleanup.under_way))

    def _owned(self) -> float:
        return sum(self._leader.owns(entry.namespace) for entry in self._store)

    async def _sweep(self) -> None:
        await self._targets.synced()
        if self._listed.is_set():
            await self._cleanup.sweep(self._leader.owns)

    def _changed(self, entry: Entry, target_before: TargetKey | None) -> None:
        self._reconciler.expect(entry)
        self._backlog.drop(entry)
        self._scheduler.add(entry)
        for other in self._store.guarding(entry.target):
            self._scheduler.poke(other)
        if target_before is not None and target_before != entry.target:
            self._left(target_before)
        POLICIES.set(len(self._store))

    def _gone(self, entry: Entry | None) -> None:
        if entry is None:
            return
        self._scheduler.remove(entry)
        self._backlog.drop(entry)
        self._recorder.forget(entry.uid)
        self._announcer.forget(entry.uid)
        self._errands.forget(entry.uid)
        self._left(entry.target)
        POLICIES.set(len(self._store))

    def _left(self, target: TargetKey) -> None:
        """A policy no longer names `target`: the next one guards it, or it is given back."""
        for other in self._store.guarding(target):
            self._scheduler.poke(other)
        if not self._store.guarding(target):
            self._spawn(self._release(target))

    async def _release(self, target: TargetKey) -> None:
        if self._leader.owns(target[1]):
            await self._cleanup.release(target)

    def _zones_changed(self) -> None:
        for entry in self._store:
            if entry.zone_signals:
                self._scheduler.poke(entry)

    def _errand_done(self, entry: Entry) -> None:
        self._scheduler.poke(entry)

    def _target_changed(self, target: TargetKey) -> None:
        for entry in self._store.guarding(target):
            self._scheduler.poke(entry)

    async def _relist(self, stop: asyncio.Event) -> None:
        """The net below the watches: a full list now and then drops what was deleted unseen."""
        pause = 1.0
        while not stop.is_set():
            try:
                await self._list_once()
                pause = self._config.relist_seconds
            except CallError as error:
                log.warning("policies cannot be listed: %s", error)
                pause = min(30.0, pause * 2)
            await _first(stop, self._relist_due(pause))

    async def _relist_due(self, pause: float) -> None:
        """Return after `pause`, or soon once a policy turned out to be missing."""
        await asyncio.sleep(1.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, pause - 1.0)):
                await self._missing.wait()
        self._missing.clear()

    async def _list_once(self) -> None:
        changed: list[Entry] = []
        seen: set[str] = set()
        versions: list[int] = []
        try:
            for namespace in self._config.namespaces or (None,):
                async for page in policy_pages(self._kube, namespace, deadline=Deadline.after(LIST_TIME)):
                    for body in page.items:
                        entry, anew = self._store.put(body)
                        seen.add(entry.uid)
                        if anew:
                            changed.append(entry)
                    for found in page.unreadable:
                        self._kube.unreadable.report(POLICIES_RESOURCE.plural, found)
                        unreadable, anew = self._store.put_unreadable(found)
                        if unreadable is not None:
                            seen.add(unreadable.uid)
                            if anew:
                                changed.append(unreadable)
                versions.append(int(page.resource_version))
        finally:
            for entry in changed:
                self._changed(entry, None)
        for entry in self._store.drop_missing(seen, str(min(versions))):
            self._gone(entry)
        self._listed.set()
        await self._sweep()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _first(stop: asyncio.Event, work: Coroutine[Any, Any, Any]) -> bool:
    """Await `work` or `stop`; whether the work was done."""
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
    # Here and not above: it takes time and memory that an operator without traces does not spend.
    from resilience_operator.runtime import otlp

    with otlp.opened(config.otlp_endpoint) as tracing:
        log.info("traces are sent to an OpenTelemetry receiver")
        yield tracing


def end_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT, whoever handled them before."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _endpoints(config: Config, app: App, kube: Kube) -> Endpoints:
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
    """Run an operator until SIGTERM or SIGINT. Raises NoCluster, and what ended it unexpectedly."""
    stop = asyncio.Event()
    end_on_signals(stop)
    async with AsyncExitStack() as stack:
        tracing = stack.enter_context(_tracing(config))
        retry = ObservedRetry(tracing=tracing)
        kube = await stack.enter_async_context(
            Kube.connect(config.kubeconfig, retry=retry, on_unreadable=count_unreadable)
        )
        plugged = await stack.enter_async_context(plug_in(config, retry))
        app = App(config, kube, plugged, tracing, stop)
        ports = await stack.enter_async_context(serve(_endpoints(config, app, kube)))
        log.info(
            "resilience-operator %s on %s, endpoints on ports %s", __version__, kube.host, ", ".join(map(str, ports))
        )
        if not plugged.sources.names:
            log.warning("no metric source is configured: every signal is Unknown. Give --prometheus-url or sources")
        await app.run()
    log.info("ended")
