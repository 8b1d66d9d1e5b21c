"""What evaluating many policies costs the operator itself, stage by stage, in one process and without a cluster.

    python -m tests.bench.evaluation_cost [--policies 10000] [--rounds 5] [--profile FILE]

Policies with three preset signals each, on Deployments that are steady; the answers are JSON as Prometheus sends them,
and read as the operator reads them. All parts are the operator's own but two: the metric source makes its answers here,
and what is written to the API server is only counted. The first round is a start (everything is decided and written),
the next ones are the steady state. Bounds: of one round's CPU at 15 s, and of `resident` memory.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import random
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from resilience_operator.api.v1alpha1 import API_VERSION, KIND
from resilience_operator.kube.client.paths import DEPLOYMENTS, REPLICA_SETS
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
from resilience_operator.runtime.reporting import status_writer as recording
from resilience_operator.runtime.scheduling.work_queue import Trigger
from resilience_operator.runtime.telemetry import gc_tuning as heap
from resilience_operator.runtime.telemetry.tracing import Tracing
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.prometheus import response as wire
from resilience_operator.signals.query.cohorts import Cohorts
from resilience_operator.signals.sources.protocol import Answer
from resilience_operator.signals.sources.registry import SourceRegistry

BOUND_CORES = 0.2
INTERVAL = 15.0
NAMESPACES = 50
NOW = 9_999_999_999
"""Stands for the present moment in what is made beforehand."""
TEMPLATE = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]},
}
SPEC: dict[str, Any] = {
    "replicas": {"min": 3, "max": 20},
    "rules": [
        {"name": "cpu-saturation", "when": {"signal": "cpu", "above": "70%", "for": "2m"},
         "then": [{"scaleUp": {"pods": 2}}]},
        {"name": "slow-requests", "when": {"signal": "latency-p99", "above": "1s"},
         "then": [{"alert": {}}, {"scaleUp": {"percent": 50}}]},
        {"name": "failing-release", "when": {"signal": "error-rate", "above": "1%"},
         "then": [{"pauseRollout": {}}, {"rollback": {"after": "30s"}}]},
    ],
}  # fmt: skip


class Prometheus:
    """A metric source whose answers are made here: JSON bytes, about all targets, of the present moment."""

    name = "default"
    concurrency = 4

    def __init__(self, policies: int) -> None:
        self._policies = policies
        self._bodies: dict[str, bytes] = {}
        self.queries = 0

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        """Read in a thread, as the real source does."""
        self.queries += 1
        body = await asyncio.to_thread(self._body, promql)
        return await asyncio.to_thread(lambda: wire.answer(wire.parse_document(body, "bench"), "bench"))

    async def close(self) -> None:
        """Nothing is open."""

    def _body(self, promql: str) -> bytes:
        usual = _usual_values(promql)
        found = self._bodies.get(promql)
        if found is None:
            found = self._bodies[promql] = json.dumps({"status": "success", "data": {"resultType": "vector", "result": [
                {"metric": {"namespace": f"ns-{n % NAMESPACES}", "owner": f"app-{n}-7c9f", "part": part},
                 "value": [NOW, f"{value if part == 'scrapes' else value * random.uniform(0.9, 1.1):.6g}"]}
                for part, value in usual.items()
                for n in range(self._policies)
            ]}}).encode()  # fmt: skip
        return found.replace(b"%d" % NOW, b"%.3f" % time.time())


def _usual_values(promql: str) -> dict[str, float]:
    """What a query finds of each target, by part: targets scraped every 15 s, whose containers all have requests."""
    if "count_over_time" in promql:
        return {"scrapes": 40.0}
    if "unless on (namespace, pod, container)" in promql or 'code!~"' in promql:
        return {}
    if "histogram_quantile" in promql:
        return {"value": 0.2, "samples": 6000.0}
    if "cpu_usage" in promql:
        return {"numerator": 0.5, "denominator": 1.0}
    return {"events": 2.0, "samples": 6000.0}


class Everything:
    """This replica acts everywhere."""

    def owns(self, namespace: str) -> bool:
        """Yes."""
        del namespace
        return True


def policy(n: int) -> dict[str, Any]:
    """One policy, as the API server has it."""
    return {
        "apiVersion": API_VERSION, "kind": KIND,
        "metadata": {
            "name": f"app-{n}", "namespace": f"ns-{n % NAMESPACES}", "uid": f"policy-{n}", "resourceVersion": "1",
            "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"app-{n}"}, **SPEC},
    }  # fmt: skip


def deployment(n: int) -> dict[str, Any]:
    """A Deployment that is fully rolled out."""
    return {
        "metadata": {"name": f"app-{n}", "namespace": f"ns-{n % NAMESPACES}", "uid": f"deployment-{n}",
                     "resourceVersion": str(n), "generation": 1},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE},
        "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3},
    }  # fmt: skip


def replica_set(n: int) -> dict[str, Any]:
    """Its ReplicaSet, old enough to be good."""
    return {
        "metadata": {
            "name": f"app-{n}-7c9f", "namespace": f"ns-{n % NAMESPACES}", "uid": f"rs-{n}", "resourceVersion": str(n),
            "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "a", "pod-template-hash": "7c9f"},
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "controller": True, "uid": f"deployment-{n}"}
            ],
        },
        "spec": {"replicas": 3, "template": TEMPLATE},
        "status": {"replicas": 3, "readyReplicas": 3},
    }  # fmt: skip


async def put_together(policies: int) -> tuple[Evaluation, PolicyCache, list[int], Prometheus]:
    """The operator's parts around a crowd that is known. The list counts writes."""
    writes = [0]

    async def written(kube: Any, namespace: str, name: str, status: dict[str, Any], **_: Any) -> dict[str, Any]:
        del kube, namespace, name
        writes[0] += 1
        return {"metadata": {"resourceVersion": "2"}, "status": json.loads(json.dumps(status))}

    recording.patch_status = written  # type: ignore[attr-defined,assignment]
    kube: Any = None
    source = Prometheus(policies)
    store = PolicyCache()
    targets = TargetCache(kube, (), lambda _: None)
    for n in range(policies):
        store.upsert(policy(n))
        targets._workloads["Deployment"]._upsert(deployment(n))
        targets._revisions[REPLICA_SETS]._upsert(replica_set(n))
    assert targets._workloads["Deployment"].resource is DEPLOYMENTS
    zones = ZoneMonitor(kube, watch=False, on_change=lambda: None)
    collector = SignalCollector(SourceRegistry({"default": source}))
    configurations = ConfigurationReader(kube, (), lambda _: None, time.time)
    inputs = Inputs(store, targets, zones, configurations, collector, Cohorts(), Actions(), Notifiers())
    evaluation = Evaluation(kube, EvaluationContext(Everything(), Tracing(), time.time), inputs, lambda: None)
    for entry in store:
        evaluation.signals.register(entry)
    return evaluation, store, writes, source


async def measure(policies: int, rounds: int, profile: str | None) -> tuple[list[float], float, int]:
    """CPU seconds of each round, resident MB, writes after the first round."""
    evaluation, store, writes, source = await put_together(policies)
    entries: Sequence[PolicyEntry] = tuple(store)
    costs: list[float] = []
    heap.raise_gc_threshold()
    profiler = cProfile.Profile()
    stop = asyncio.Event()
    writing = asyncio.create_task(evaluation.status_queue.run(evaluation.write_status, stop))
    for number in range(rounds + 1):
        begun, asked, wrote = time.process_time(), source.queries, writes[0]
        with profiler if profile and number == rounds else nullcontext():
            await evaluation.evaluator.evaluate(entries, Trigger.TIMER)
            while len(evaluation.status_queue):
                await asyncio.sleep(0.01)
        costs.append(time.process_time() - begun)
        kind = "start " if number == 0 else "steady"
        print(
            f"{kind}  {costs[-1]:6.3f} s of CPU, {1e6 * costs[-1] / policies:6.1f} us a policy, "
            f"{source.queries - asked} queries, {writes[0] - wrote} writes",
            flush=True,
        )
        if number == 1:
            heap.freeze_heap()
        await asyncio.sleep(1.1)
    stop.set()
    await writing
    if profile:
        profiler.dump_stats(profile)
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    return costs[1:], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, writes[0] - policies


def main() -> int:
    """Print the costs; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", metavar="FILE", help="profile the last round, and keep the profile here")
    given = parser.parse_args()
    costs, memory, writes = asyncio.run(measure(given.policies, given.rounds, given.profile))
    best = min(costs)
    print(f"{best / INTERVAL:.3f} core at {INTERVAL:g} s, {best / 5:.3f} at 5 s; at most {memory:.0f} MB resident")
    return int(best / INTERVAL > BOUND_CORES or writes > 0)


if __name__ == "__main__":
    sys.exit(main())
