"""The figures of DORA over a time range, from the operator's counters.

| figure | from |
|---|---|
| deployments | `resilience_releases_total{result="begun"}` |
| change failure rate | `result="rolled_back"` / `result="begun"` |
| time to restore | `resilience_release_restore_seconds`: median and mean |
| lead time | `resilience_release_lead_time_seconds`: median and mean |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from resilience_operator.cli.common.console import CommandError, UsageError
from resilience_operator.cli.replay.recording import Tracks
from resilience_operator.cli.replay.time_grid import Grid, Span
from resilience_operator.resilience import Deadline

RELEASES = "resilience_releases_total"
RESTORE, LEAD_TIME = "resilience_release_restore_seconds", "resilience_release_lead_time_seconds"
DAY = 86400.0
TIMEOUT = 60.0
"""Maximum seconds for all queries."""


class Source(Protocol):
    """A metrics endpoint that answers range queries."""

    async def query(self, query: str, grid: Grid, span: Span, deadline: Deadline) -> Tracks:
        """The series of a query."""
        ...


class Period(NamedTuple):
    """The seconds before `until` that are reported on. matchers: of the operator's series, as PromQL."""

    until: float
    seconds: float
    matchers: str = ""

    def selector(self, name: str, *more: str) -> str:
        """The operator's series of that name, over the period."""
        inner = ",".join(part for part in (*more, self.matchers.strip().strip("{}")) if part)
        return f"{name}{{{inner}}}[{self.seconds:.0f}s]"


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took. median: None if it is above the largest bucket. All are None without a sample."""

    count: float
    mean: float | None
    median: float | None

    def document(self) -> dict[str, Any]:
        """For scripts, in seconds."""
        return {"count": round(self.count), "meanSeconds": self.mean, "medianSeconds": self.median}


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a period of `seconds`."""

    seconds: float
    begun: float
    good: float
    rolled_back: float
    restore: Durations
    lead_time: Durations

    @property
    def failure_rate(self) -> float | None:
        """Releases that were rolled back, as a share of those that began; None without releases."""
        return min(1.0, self.rolled_back / self.begun) if self.begun > 0 else None

    @property
    def per_day(self) -> float:
        """Releases per day."""
        return self.begun / (self.seconds / DAY)

    def document(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "seconds": round(self.seconds),
            "deployments": round(self.begun),
            "deploymentsPerDay": self.per_day,
            "good": round(self.good),
            "rolledBack": round(self.rolled_back),
            "changeFailureRate": self.failure_rate,
            "timeToRestore": self.restore.document(),
            "leadTime": self.lead_time.document(),
        }


async def read_figures(source: Source, period: Period) -> Figures:
    """Query the figures. Raises CallError, UsageError, and CommandError if the operator's metrics are missing."""
    if period.seconds < 60:
        raise UsageError("--since must be at least 1m")
    deadline = Deadline.after(TIMEOUT)
    grid = Grid(math.floor(period.until) - 1, 1.0, 2)

    async def values(query: str, label: str) -> dict[str, float]:
        """The newest value of each series by one label."""
        found: dict[str, float] = {}
        for track in await source.query(query, grid, grid.whole, deadline):
            newest = next((v for v in reversed(track.values) if v is not None), None)
            if newest is not None:
                found[track.labels.get(label, "")] = newest
        return found

    results = await values(f"sum by (result) (increase({period.selector(RELEASES)}))", "result")
    if not results:
        raise CommandError(
            f"Prometheus has no series {RELEASES} in this time. It has to scrape the operator (docs/observability.md)"
        )

    async def durations(name: str) -> Durations:
        buckets = await values(f"sum by (le) (increase({period.selector(f'{name}_bucket')}))", "le")
        totals = await values(f"sum(increase({period.selector(f'{name}_sum')}))", "")
        return durations_of(buckets, totals.get("", 0.0))

    begun, good, rolled_back = (results.get(name, 0.0) for name in ("begun", "good", "rolled_back"))
    return Figures(period.seconds, begun, good, rolled_back, await durations(RESTORE), await durations(LEAD_TIME))


def durations_of(buckets: dict[str, float], total: float) -> Durations:
    """Return the durations in cumulative buckets by upper bound; the median is interpolated within its bucket."""
    known = sorted((float(bound), count) for bound, count in buckets.items() if bound)
    count = known[-1][1] if known else 0.0
    # `increase` extrapolates, so less than half of a sample is none.
    if not math.isfinite(count) or count < 0.5:
        return Durations(0.0, None, None)
    lower, below = 0.0, 0.0
    median = None
    for bound, so_far in known:
        if so_far >= count / 2:
            inside = so_far - below
            if math.isfinite(bound):
                median = lower + (bound - lower) * ((count / 2 - below) / inside if inside > 0 else 1.0)
            break
        lower, below = bound, so_far
    return Durations(count, total / count, median)
