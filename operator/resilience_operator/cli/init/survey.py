"""Surveys the recorded metrics of a workload by preset family, with the operator's queries and joins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from resilience_operator.api.quantities import format_duration
from resilience_operator.cli.common.cluster import deadline
from resilience_operator.cli.common.console import CommandError, UsageError
from resilience_operator.cli.init.proposal import RULES, WorkloadProfile
from resilience_operator.cli.replay.archive import Archive
from resilience_operator.cli.replay.range_client import RangeSource
from resilience_operator.cli.replay.recording import Recording
from resilience_operator.cli.replay.signal_series import Measure, Owners, plan
from resilience_operator.cli.replay.target_history import Subject, load
from resilience_operator.cli.replay.time_grid import Grid, Span
from resilience_operator.decision.model.compile import DEFAULT_MIN_SAMPLES
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.cache.hpa import project_autoscaler
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import AUTOSCALERS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS
from resilience_operator.resilience import NotFound
from resilience_operator.signals.model import Signal
from resilience_operator.signals.presets.models import Families, load_families
from resilience_operator.signals.prometheus.config import SourceConfig

SAMPLES = 2000
"""Maximum number of sampled times."""
MIN_SPAN = 60.0
"""Minimum seconds between two of them."""
DAY = 86400.0
KINDS = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS}
SHORT_NAMES = {"deploy": "Deployment", "sts": "StatefulSet"}


@dataclass(frozen=True, slots=True)
class Workload:
    """The current workload. owners: of its pods, with their revisions."""

    namespace: str
    kind: str
    name: str
    replicas: int
    owners: Mapping[str, str]
    hpa: str = ""
    lowest: int | None = None
    highest: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def kind_and_name(text: str) -> tuple[str, str]:
    """Parse `checkout`, `sts/checkout` or `StatefulSet/checkout`. Raises UsageError."""
    kind, _, name = text.rpartition("/")
    wanted = SHORT_NAMES.get(kind.lower(), kind or "Deployment").lower()
    found = next((k for k in KINDS if wanted in (k.lower(), f"{k.lower()}s")), None)
    if found is None or not name:
        raise UsageError(f"{text} is not a valid workload: use NAME for a Deployment, or sts/NAME for a StatefulSet")
    return found, name


async def read_workload(kube: KubeClient, namespace: str, kind: str, name: str) -> Workload:
    """Read the workload. Raises CommandError if it does not exist."""
    until = deadline()
    try:
        body = await kube.get(KINDS[kind].item(namespace, name), deadline=until)
    except NotFound:
        raise CommandError(f"{kind} {name} not found in namespace {namespace}") from None
    owners = {name: "recorded"}
    if kind == "Deployment":
        sets = await kube.list(REPLICA_SETS.collection(namespace), deadline=until)
        owners = {
            one["metadata"]["name"]: one["metadata"]["name"].removeprefix(f"{name}-")
            for one in sets.items
            if (one.get("status") or {}).get("replicas")
            and any(o.get("uid") == body["metadata"]["uid"] for o in one["metadata"].get("ownerReferences") or ())
        }
    scalers = [
        project_autoscaler(one) for one in (await kube.list(AUTOSCALERS.collection(namespace), deadline=until)).items
    ]
    hpa = next((s.hpa for s in scalers if s.target == (kind, namespace, name)), None)
    replicas = body["spec"].get("replicas", 1)
    if hpa is None:
        return Workload(namespace, kind, name, int(replicas), owners)
    lowest = hpa.min_replicas if hpa.original_min is None else hpa.original_min
    return Workload(namespace, kind, name, int(replicas), owners, hpa.name, lowest, hpa.max_replicas)


async def survey(
    workload: Workload, config: SourceConfig, span: float, progress: Callable[[str], None]
) -> WorkloadProfile:
    """Query each preset family and select the one with the most data. Raises CallError, CommandError."""
    now = time.time()
    step = max(MIN_SPAN, -(-span // SAMPLES))
    grid = Grid.covering(now - span, now, step)
    archive = Archive(Recording(grid, {}), RangeSource(config))
    owners, crowded = await _owners(workload, archive)
    families = load_families()
    span_text = format_duration(span)
    progress(f"querying {grid.count} samples of the last {span_text} for {workload}")
    best, values = "", dict[str, list[float]]()
    for family in sorted(families.names, key=lambda name: (name != "http-generic", name)):
        found = await _family(family, families, workload, archive, owners, crowded)
        answers = ", ".join(f"{n} {len(v)}" if v else f"{n} no data" for n, v in found.items())
        progress(f"  {family}: {answers}")
        if _weight(found) > _weight(values):
            best, values = family, found
    if not any(values.values()):
        raise CommandError(
            f"metric source {config.name} has no data for {workload} in the last {span_text}: neither CPU (cAdvisor "
            f"and kube-state-metrics) nor requests of any preset family ({', '.join(families.names)}). "
            "docs/presets.md lists what each needs; a custom query can replace a preset"
        )
    served = any(values.get(name) for name in ("latency-p99", "error-rate"))
    return WorkloadProfile(
        workload.namespace, workload.kind, workload.name, workload.replicas, best if served else "",
        values, grid.count, span_text, workload.lowest, workload.highest, workload.hpa, config.name,
    )  # fmt: skip


def _weight(values: Mapping[str, list[float]]) -> tuple[int, int]:
    """Sort key: more signals first, then more measurements."""
    return sum(1 for v in values.values() if v), sum(map(len, values.values()))


async def _family(
    family: str,
    families: Families,
    workload: Workload,
    archive: Archive,
    owners: Callable[[int], Owners],
    crowded: list[Span],
) -> dict[str, list[float]]:
    """The measurements by signal."""
    wanted = [
        Signal(rule.signal, preset=rule.signal, unit=rule.unit, min_samples=DEFAULT_MIN_SAMPLES.get(rule.signal, 0))
        for rule in RULES
    ]
    everyone = {owner: revision for number in range(archive.recording.grid.count) for owner, revision in owners(number)}
    target = TargetState(
        workload.kind, workload.namespace, workload.name, "", "", workload.replicas, workload.replicas,
        rolled_out=True, revision=None, revisions=(),
    )  # fmt: skip
    measures = plan(wanted, families, family, target, everyone)
    for measure in measures:
        await measure.query(archive, crowded)
    return {measure.request.signal.name: list(_values(measure, archive.recording.grid, owners)) for measure in measures}


def _values(measure: Measure, grid: Grid, owners: Callable[[int], Owners]) -> Iterator[float]:
    """The measurements that are based on enough requests."""
    for number in range(grid.count):
        measured = measure.observe(number, grid.at(number), owners(number)).measured
        if measured is None:
            continue
        if measured.samples is None or measured.samples >= measure.request.signal.min_samples:
            yield measured.value


async def _owners(workload: Workload, archive: Archive) -> tuple[Callable[[int], Owners], list[Span]]:
    """The owners of the pods at each time, and the spans with several revisions."""
    constant = tuple(workload.owners.items())
    if workload.kind != "Deployment":
        return (lambda _: constant), []
    past = await load(archive, Subject(workload.namespace, workload.name, max(workload.replicas, 1), DAY))
    if not past.states or not any(past.owners(number) for number in range(past.first, past.end)):
        return (lambda _: constant), []
    return (lambda n: past.owners(n) if past.first <= n < past.end else ()), past.multi_revision_spans()
