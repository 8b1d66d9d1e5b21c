"""What is measured while time passes: costs, queries, writes and lag."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.bench.scale import usage
from tests.bench.scale.counters import quantile
from tests.bench.scale.stage import Stage
from tests.support import audit

LOOKS = frozenset({"get", "list", "watch"})
EVALUATED = "resilience_evaluations_total"
SKIPPED = "resilience_evaluations_skipped_total"
LAG = "resilience_evaluation_lag_seconds"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time with the operator running. Cores, bytes, seconds, counts.

    intervals: how many intervals it lasted. lag: p50 and p99. writes: by verb and resource, from the API server's log.
    """

    seconds: float
    interval: float
    policies: int
    cores: float
    resident: int
    most: int
    control_plane: float
    queries: float
    evaluations: float
    skipped: float
    lag: tuple[float, float]
    writes: Counter[str] = field(default_factory=Counter)
    peer: tuple[float, int] | None = None

    @property
    def queries_an_interval(self) -> float:
        """Queries in the time in which every policy is evaluated once."""
        return self.queries / self.seconds * self.interval

    @property
    def missed(self) -> float:
        """Evaluations that were due and did not happen; a window's edges may cut one in half."""
        due = self.policies * (self.seconds / self.interval - 1)
        return max(self.skipped, due - self.evaluations)


async def measure(stage: Stage, seconds: float, interval: float, policies: int, peer: int | None = None) -> Window:
    """Watch for so long, and disturb nothing meanwhile."""
    offset = stage.cluster.audit_log.stat().st_size
    before, asked = await stage.page(), await stage.queries()
    pids = [stage.pid]
    cost, plane = usage.of(pids), stage.control_plane()
    theirs = usage.of([peer]) if peer else None
    began = time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    spent, planes = usage.of(pids), stage.control_plane()
    after, answered = await stage.page(), await stage.queries()
    them = usage.of([peer]) if peer else None
    requests = audit.requests(stage.cluster.audit_log, offset)
    lag = before.buckets(LAG), after.buckets(LAG)
    return Window(
        seconds=took,
        interval=interval,
        policies=policies,
        cores=(spent.cpu - cost.cpu) / took,
        resident=spent.resident,
        most=spent.most,
        control_plane=(planes.cpu - plane.cpu) / took,
        queries=answered - asked,
        evaluations=after.total(EVALUATED, result="evaluated") - before.total(EVALUATED, result="evaluated"),
        skipped=after.total(SKIPPED) - before.total(SKIPPED),
        lag=(quantile(0.5, *lag), quantile(0.99, *lag)),
        writes=Counter(str(r.right) for r in requests if r.right.verb not in LOOKS),
        peer=((them.cpu - theirs.cpu) / took, them.resident) if them and theirs else None,
    )


async def control_plane_alone(stage: Stage, seconds: float) -> float:
    """Cores that the API server and etcd use while no operator runs."""
    assert stage.operator is None
    before, began = stage.control_plane(), time.monotonic()
    await asyncio.sleep(seconds)
    return (stage.control_plane().cpu - before.cpu) / (time.monotonic() - began)
