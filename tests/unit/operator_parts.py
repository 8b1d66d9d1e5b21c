"""The operator's own parts around policies on Deployments, with a metric source and an API server that are scripted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from resilience_operator.actions.executor import DryRunExecutor, LiveExecutor
from resilience_operator.api.v1alpha1 import API_VERSION, KIND
from resilience_operator.kube.client import Kube
from resilience_operator.kube.paths import REPLICA_SETS
from resilience_operator.plugins.actions import Actions
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.resilience import Deadline
from resilience_operator.runtime.announcer import Announcer
from resilience_operator.runtime.backlog import Backlog
from resilience_operator.runtime.beats import Beats
from resilience_operator.runtime.entry import Entry
from resilience_operator.runtime.errands import Errands
from resilience_operator.runtime.pace import Pace
from resilience_operator.runtime.places import Places
from resilience_operator.runtime.reconcile import Reconciler
from resilience_operator.runtime.recorder import Recorder
from resilience_operator.runtime.scaled import ScaledTargets
from resilience_operator.runtime.scheduler import Scheduler
from resilience_operator.runtime.store import PolicyStore
from resilience_operator.runtime.targets import Targets
from resilience_operator.runtime.tracing import Tracing
from resilience_operator.runtime.turns import Turns
from resilience_operator.runtime.zones import Zones
from resilience_operator.signals import wire
from resilience_operator.signals.collect import Collector
from resilience_operator.signals.crowds import Crowds
from resilience_operator.signals.registry import Sources
from resilience_operator.signals.source import Answer
from tests.unit.kube_server import serving

Obj = dict[str, Any]

RULES = [{"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": [{"alert": {}}]}]
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "pause:1"}]}}


class MetricSource:
    """Every target has the same CPU. No query is answered before `go` is set; `asked` tells that one has come."""

    name = "default"
    concurrency = 4

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()
        self.targets: list[tuple[str, str]] = []

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        self.asked.set()
        await self.go.wait()
        result = [
            {"metric": {"namespace": namespace, "owner": f"{name}-1", "part": part}, "value": [time.time(), value]}
            for namespace, name in self.targets
            for part, value in (("numerator", "0.5"), ("denominator", "1"))
        ]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        return wire.answer(wire.document(body, "test"), "test")

    async def close(self) -> None:
        """Nothing is open."""


class ApiServer:
    """Takes statuses and events. What it holds of a policy's status is in `statuses`, by namespace and name."""

    def __init__(self) -> None:
        self.statuses: dict[tuple[str, str], Obj] = {}
        self.events: list[Obj] = []
        self.version = 1000

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.version += 1
        if request.method == "POST":
            self.events.append(body)
            return web.json_response(body, status=201)
        assert request.path.endswith("/status"), request.path
        *_, namespace, _, name, _ = request.path.split("/")
        if isinstance(body, list):
            self.statuses[namespace, name] = body[-1]["value"]
        else:
            self.statuses[namespace, name] = merged(self.statuses.get((namespace, name), {}), body["status"])
        meta = {"namespace": namespace, "name": name, "resourceVersion": str(self.version)}
        return web.json_response({"metadata": meta, "status": self.statuses[namespace, name]})

    def ready(self, entry: Entry) -> tuple[str, str]:
        """Status and reason of a policy's condition Ready."""
        found = [c for c in self.statuses.get(entry.key, {}).get("conditions", ()) if c["type"] == "Ready"]
        return (found[0]["status"], found[0]["reason"]) if found else ("", "")


def merged(before: Obj, patch: Obj) -> Obj:
    """RFC 7386, as the API server does it."""
    found = dict(before)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key) or {}, value) if isinstance(value, dict) else value
    return found


class Everywhere:
    """This replica acts everywhere."""

    def owns(self, namespace: str) -> bool:
        return True


class Parts:
    """All that an evaluation takes, put together as the operator does."""

    def __init__(self, kube: Kube, api: ApiServer, clock: Any = time.time) -> None:
        self.api, self.source = api, MetricSource()
        self.store = PolicyStore()
        self.targets = Targets(kube, (), lambda _: None)
        pace, places = Pace(), Places()
        self.scheduler = Scheduler(Beats(Crowds()), lambda: None)
        self.backlog = Backlog(places, pace)
        recorder = Recorder(kube, refresh=0, writes_per_second=0, pace=pace)
        announcer, errands = Announcer(kube), Errands(Actions(), lambda _: None)
        self.turns = Turns(
            scheduler=self.scheduler, places=places, backlog=self.backlog, live=LiveExecutor(kube),
            rehearsal=DryRunExecutor(), recorder=recorder, announcer=announcer, errands=errands,
            notifiers=Notifiers(), leadership=Everywhere(), tracing=Tracing(), clock=clock, tracks=True,
        )  # fmt: skip
        self.reconciler = Reconciler(
            store=self.store, targets=self.targets, scaled=ScaledTargets(kube, self.targets),
            collector=Collector(Sources({"default": self.source})),
            zones=Zones(kube, watch=False, on_change=lambda: None), turns=self.turns, scheduler=self.scheduler,
            backlog=self.backlog, recorder=recorder, announcer=announcer, errands=errands, leadership=Everywhere(),
            tracing=Tracing(), clock=clock, on_missing=lambda: None,
        )  # fmt: skip

    def policy(self, namespace: str, name: str = "checkout", **changes: Any) -> Entry:
        """A policy and its Deployment, fully rolled out."""
        self.source.targets.append((namespace, name))
        self.targets._workloads["Deployment"]._accept(deployment(namespace, name))
        self.targets._revisions[REPLICA_SETS]._accept(replica_set(namespace, name))
        return self.put(namespace, name, **changes)

    def put(self, namespace: str, name: str = "checkout", **changes: Any) -> Entry:
        """A policy as the watch tells it."""
        entry, anew = self.store.put(self.document(namespace, name, **changes))
        if anew:
            self.scheduler.add(entry)
        return entry

    def document(
        self, namespace: str, name: str = "checkout", version: int = 1, generation: int = 1, **changes: Any
    ) -> Obj:
        """A policy as the API server has it."""
        status, annotations = changes.pop("status", {}), changes.pop("annotations", {})
        return {
            "apiVersion": API_VERSION, "kind": KIND, "status": status,
            "metadata": {
                "name": name, "namespace": namespace, "uid": f"{namespace}/{name}", "resourceVersion": str(version),
                "generation": generation, "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": annotations,
            },
            "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "interval": "2s",
                     "rules": RULES, **changes},
        }  # fmt: skip

    async def evaluate(self) -> None:
        """One evaluation of all in one batch, and what it leaves to write."""
        await self.reconciler.evaluate(tuple(self.store), True)
        await self.written()

    async def written(self) -> None:
        """Write whatever waits to be written."""
        stop = asyncio.Event()
        writing = asyncio.create_task(self.backlog.run(self.reconciler.write, stop))
        async with asyncio.timeout(20):
            while len(self.backlog) or self.backlog._tasks:
                await asyncio.sleep(0.01)
        stop.set()
        await writing


@asynccontextmanager
async def operator_parts(tmp_path: Path) -> AsyncIterator[Parts]:
    """The parts, and an API server that they write to."""
    api = ApiServer()
    async with serving(tmp_path, api.answer) as (_, kube):
        yield Parts(kube, api)


def deployment(namespace: str, name: str) -> Obj:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"d/{namespace}/{name}", "resourceVersion": "7",
                     "generation": 1},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE},
        "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3},
    }  # fmt: skip


def replica_set(namespace: str, name: str) -> Obj:
    return {
        "metadata": {
            "name": f"{name}-1", "namespace": namespace, "uid": f"rs/{namespace}/{name}", "resourceVersion": "7",
            "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "a", "pod-template-hash": "1"},
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "controller": True, "uid": f"d/{namespace}/{name}"}
            ],
        },
        "spec": {"replicas": 3, "template": TEMPLATE},
        "status": {"replicas": 3, "readyReplicas": 3},
    }  # fmt: skip
