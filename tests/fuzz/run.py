"""The run: steps made from a seed, put to the API server by several workers, and what came of it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

from kubernetes import client
from kubernetes.config import new_client_from_config

from tests.cluster import Cluster
from tests.fuzz.api import Api
from tests.fuzz.healthy import Healthy, Watch, evaluated_again
from tests.fuzz.objects import KINDS, Kind, Maker
from tests.fuzz.text import dumps
from tests.support.operator import Operator

Say = Callable[[str], None]
WORKERS = 4
HOSTILE = 4
"""Namespaces of the hostile objects. Their quota lets no pod be made, so any number of replicas may be asked for."""
MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class Step:
    """One request. verb: create, update, status or delete."""

    verb: str
    kind: Kind
    namespace: str
    name: str
    body: str = ""

    @property
    def path(self) -> str:
        where = f"namespaces/{self.namespace}/" if self.kind.namespaced else ""
        collection = f"{self.kind.api}/{where}{self.kind.plural}"
        match self.verb:
            case "create":
                return collection
            case "status":
                return f"{collection}/{self.name}/status"
            case _:
                return f"{collection}/{self.name}"

    def put(self, api: Api) -> tuple[int, bytes]:
        """Send it."""
        method = {"create": "POST", "delete": "DELETE"}.get(self.verb, "PATCH")
        return api.call(method, self.path, self.body, MERGE if method == "PATCH" else "application/json")


@dataclass
class Report:
    """What came of a run. requests: by verb, kind and whether it was accepted, refused (4xx) or failed (5xx)."""

    seed: int
    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    slowest: list[tuple[float, Step]] = field(default_factory=list)
    seconds: float = 0.0
    evaluations: int = 0
    missed: dict[tuple[str, str], int] = field(default_factory=dict)
    longest: float = 0.0
    unready: list[tuple[float, int, str]] = field(default_factory=list)
    exited: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """The report as text."""
        yield f"seed {self.seed}, {self.seconds:.0f} s"
        yield f"{'kind':<26}{'created':>9}{'refused':>9}{'updated':>9}{'refused':>9}{'deleted':>9}{'failed':>8}"
        for kind in (*(k.name for k in KINDS), "status"):
            yield f"{kind:<26}" + "".join(f"{number:>{width}}" for number, width in self._row(kind))
        objects = sum(n for (verb, _, _), n in self.requests.items() if verb == "create")
        accepted = sum(n for (verb, _, what), n in self.requests.items() if (verb, what) == ("create", "accepted"))
        yield f"objects: {objects} generated, {accepted} accepted by the API server"
        yield f"evaluations of healthy policies: {self.evaluations} seen, longest gap {self.longest:.1f} s"
        yield f"missed evaluations: {sum(self.missed.values())} {dict(self.missed) or ''}"
        yield f"not ready: {len(self.unready)} looks {self.unready[:3] or ''}"
        yield f"operator exited: {'no' if self.exited is None else self.exited}"
        yield "metrics: " + ", ".join(f"{name} {value:g}" for name, value in self.metrics.items())

    def _row(self, kind: str) -> list[tuple[int, int]]:
        verbs = ("status",) if kind == "status" else ("update",)
        counted = self.requests

        def total(verbs: Sequence[str], what: str) -> int:
            return sum(counted[verb, kind if kind != "status" else "ResiliencePolicy", what] for verb in verbs)

        create = () if kind == "status" else ("create",)
        delete = () if kind == "status" else ("delete",)
        return [
            (total(create, "accepted"), 9),
            (total(create, "refused"), 9),
            (total(verbs, "accepted"), 9),
            (total(verbs, "refused"), 9),
            (total(delete, "accepted"), 9),
            (total((*create, *verbs, *delete), "failed"), 8),
        ]


def steps(maker: Maker, random: Random, objects: int) -> Iterator[Step]:
    """Creations, and updates and deletions of what was created before, in random order."""
    made: list[tuple[Kind, str, str]] = []
    weights = [kind.weight for kind in KINDS]
    created = 0
    while created < objects:
        if made and random.random() < 0.3:
            kind, namespace, name = random.choice(made)
            draw = random.random()
            if draw < 0.3:
                made.remove((kind, namespace, name))
                yield Step("delete", kind, namespace, name)
            elif kind.name == "ResiliencePolicy" and draw < 0.7:
                yield Step("status", kind, namespace, name, dumps(maker.status()))
            else:
                meta: dict[str, Any] = {"name": name, **({"namespace": namespace} if kind.namespaced else {})}
                yield Step("update", kind, namespace, name, dumps(maker.filled(kind, meta)))
            continue
        kind = random.choices(KINDS, weights)[0]
        # Few names for workloads, so that policies and HPAs meet them.
        name = f"f{created if random.random() < 0.7 else created % 300}"
        body = maker.make(kind, name)
        namespace = body["metadata"].get("namespace", "")
        made.append((kind, namespace, name))
        created += 1
        yield Step("create", kind, namespace, name, dumps(body))


def fuzz(
    cluster: Cluster, kubeconfig: Path, log: Path, *, objects: int, seed: int, say: Say, arguments: Sequence[str] = ()
) -> Report:
    """Run it. kubeconfig: the operator's. Raises AssertionError where the healthy policies do not act in the end."""
    report = Report(seed)
    random = Random(seed)
    hostile = [f"hostile-{seed}-{number}" for number in range(HOSTILE)]
    healthy = Healthy.create(cluster, f"healthy-{seed}")
    core = client.CoreV1Api(new_client_from_config(str(cluster.kubeconfig)))
    for namespace in hostile:
        core.create_namespace({"metadata": {"name": namespace}})
        core.create_namespaced_resource_quota(
            namespace, {"metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}}
        )
    planned = list(steps(Maker(random, hostile, healthy.victims()), random, objects))
    operator = Operator(kubeconfig, cluster.prometheus_url, log, arguments).start()
    try:
        healthy.measured()
        say(f"{len(planned)} requests for {objects} objects, beside {len(healthy.all())} healthy policies")
        with Watch(operator, healthy) as watch:
            began = time.monotonic()
            _put(cluster, planned, report)
            report.seconds = time.monotonic() - began
            say(f"all requests were made, in {report.seconds:.0f} s")
            healthy.act()
        report.evaluations, report.missed, report.longest = watch.evaluations, watch.missed(), watch.longest()
        report.unready, report.exited = watch.unready, watch.exited
        for name in (
            "resilience_evaluations_skipped_total",
            "resilience_policies",
        ):
            report.metrics[name] = operator.metric(name)
        report.metrics["errors"] = operator.metric("resilience_evaluations_total", result="error")
        say("every healthy policy acted; the operator is restarted beside all objects")
        operator.stop()
        operator.start()
        evaluated_again(operator, healthy)
        say("it became ready, and evaluated every healthy policy")
    finally:
        for line in report.lines():
            say(line)
        if operator.process is not None and operator.process.poll() is None:
            operator.kill()
    return report


def _put(cluster: Cluster, planned: Sequence[Step], report: Report) -> None:
    """All steps; those of one object by one worker, in order."""
    shares: list[list[Step]] = [[] for _ in range(WORKERS)]
    for step in planned:
        shares[crc32(f"{step.kind.name}/{step.namespace}/{step.name}".encode()) % WORKERS].append(step)

    def work(share: Sequence[Step]) -> list[tuple[Step, int, bytes, float]]:
        api = Api(cluster.kubeconfig)
        try:
            return [_timed(step, api) for step in share]
        finally:
            api.close()

    with ThreadPoolExecutor(WORKERS) as at_once:
        for answers in at_once.map(work, shares):
            for step, status, text, seconds in answers:
                report.slowest = sorted([*report.slowest, (seconds, step)], key=lambda one: -one[0])[:8]
                what = "accepted" if status < 400 else "refused" if status < 500 else "failed"
                report.requests[step.verb, step.kind.name, what] += 1
                if step.verb in ("create", "status") and what == "refused":
                    report.refusals[_reason(step, text)] += 1
                if what == "failed":
                    report.failures.append(f"{step.verb} {step.path}: {status} {text[:200]!r}")


def _timed(step: Step, api: Api) -> tuple[Step, int, bytes, float]:
    began = time.monotonic()
    status, text = step.put(api)
    return step, status, text, time.monotonic() - began


def _reason(step: Step, text: bytes) -> str:
    """The API server's words, without names and numbers, so that like ones count together."""
    message = text.decode(errors="replace").partition('"message":"')[2].partition(": ")[2][:60]
    return f"{step.verb} {step.kind.name}: {re.sub('[0-9]+', '0', message)}"


def problems(report: Report) -> list[str]:
    """What a run found against the operator."""
    found: list[str] = []
    if report.missed:
        found.append(f"healthy policies missed evaluations: {report.missed}")
    if report.unready:
        found.append(f"/readyz was not 200: {report.unready[:5]}")
    if report.exited is not None:
        found.append(f"the operator exited with {report.exited}")
    return found
