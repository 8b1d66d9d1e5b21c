"""The operator's own parts around policies on Deployments, with a metric source and an API server that are scripted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from resilience_operator.api.v1alpha1 import API_VERSION, KIND
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import REPLICA_SETS
from resilience_operator.plugins.actions import Actions
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.resilience import Deadline
from resilience_operator.runtime.cache.configuration import ConfigurationReader
from resilience_operator.runtime.cache.nodes import ZoneMonitor
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.cache.targets import TargetCache
from resilience_operator.runtime.evaluation.assembly import Evaluation, Inputs
from resilience_operator.runtime.evaluation.context import EvaluationContext
from resilience_operator.runtime.scheduling.work_queue import Trigger
from resilience_operator.runtime.telemetry.tracing import Tracing
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.prometheus import response as wire
from resilience_operator.signals.query.cohorts import Cohorts
from resilience_operator.signals.sources.protocol import Answer
from resilience_operator.signals.sources.registry import SourceRegistry
from tests.unit.kube.server import serving

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
        return wire.answer(wire.parse_document(body, "test"), "test")

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

    def ready(self, entry: PolicyEntry) -> tuple[str, str]:
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

    def __init__(self, kube: KubeClient, api: ApiServer, clock: Any = time.time) -> None:
        self.api, self.source = api, MetricSource()
        self.store = PolicyCache()
        self.targets = TargetCache(kube, (), lambda _: None)
        inputs = Inputs(
            self.store, self.targets, ZoneMonitor(kube, watch=False, on_change=lambda: None),
            ConfigurationReader(kube, (), lambda _: None, clock),
            SignalCollector(SourceRegistry({"default": self.source})), Cohorts(), Actions(), Notifiers(),
        )  # fmt: skip
        context = EvaluationContext(Everywhere(), Tracing(), clock, keep_history=True)
        self.evaluation = Evaluation(kube, context, inputs, on_missing=lambda: None)
        self.scheduler, self.work = self.evaluation.scheduler, self.evaluation.work
        self.status_queue, self.evaluator = self.evaluation.status_queue, self.evaluation.evaluator

    def policy(self, namespace: str, name: str = "checkout", **changes: Any) -> PolicyEntry:
        """A policy and its Deployment, fully rolled out."""
        self.source.targets.append((namespace, name))
        self.targets._workloads["Deployment"]._upsert(deployment(namespace, name))
        self.targets._revisions[REPLICA_SETS]._upsert(replica_set(namespace, name))
        return self.put(namespace, name, **changes)

    def put(self, namespace: str, name: str = "checkout", **changes: Any) -> PolicyEntry:
        """A policy as the watch tells it."""
        entry, anew = self.store.upsert(self.document(namespace, name, **changes))
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
        await self.evaluate_batch(tuple(self.store))
        await self.written()

    async def evaluate_batch(self, entries: Sequence[PolicyEntry]) -> None:
        """Evaluate policies as the scheduler does."""
        for entry in entries:
            assert self.work.start(entry, self)
        await self.evaluator.evaluate(entries, Trigger.TIMER)

    async def written(self) -> None:
        """Write whatever waits to be written."""
        stop = asyncio.Event()
        writing = asyncio.create_task(self.status_queue.run(self.evaluation.write_status, stop))
        async with asyncio.timeout(20):
            while len(self.status_queue) or self.status_queue._tasks:
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
