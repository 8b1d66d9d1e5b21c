"""The protocol of a metrics backend, and the types of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from resilience_operator.resilience.deadline import Deadline

NATIVE = "__native__"
"""A label of the series that a native histogram is split into, one per bucket bound (label `le`)."""


class Series(NamedTuple):
    """One series of an instant query's answer. A tuple, since answers with 30,000 of them are common.

    value: may be NaN or infinite.
    at: seconds since the epoch by the backend's clock. For an instant query this is the evaluation time, not the time
        of the newest sample.
    """

    labels: Mapping[str, str]
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Evenly spaced times: `count` of them, `step` seconds apart, from `start` (seconds since the epoch)."""

    start: float
    step: float
    count: int

    @classmethod
    def before(cls, end: float, span: float, step: float) -> TimeRange:
        """The multiples of `step` in the `span` seconds before `end`, so that repeated queries are identical."""
        last = end // step * step
        count = int(span // step)
        return cls(last - (count - 1) * step, step, count)

    @property
    def end(self) -> float:
        """The last time."""
        return self.at(self.count - 1)

    def at(self, number: int) -> float:
        """The time with that index."""
        return self.start + number * self.step

    def index(self, at: float) -> int:
        """The index of a time."""
        return round((at - self.start) / self.step)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one query. That to a range query has one series per point, told apart by `at`.

    warnings: what the backend reported about missing data; empty if the answer is complete.
    seconds: latency of the backend, without the time to parse the response here; None if not measured.
    """

    series: Sequence[Series]
    warnings: tuple[str, ...] = ()
    seconds: float | None = None


@runtime_checkable
class MetricSource(Protocol):
    """A metrics backend, under the name that policies use.

    An implementation returns by the deadline whatever the backend does, releases the resources of each attempt, and
    raises only the errors of `resilience.errors`: TryAgain (with `reason`) for transient failures, GiveUp for permanent
    ones. The caller limits concurrency, by the attribute `concurrency` if there is one.

    It may also have `query_range(promql, times, deadline=...)`, with a TimeRange. Only the dashboard calls it, and not
    that of plugins.
    """

    @property
    def name(self) -> str:
        """The name in the operator's configuration."""
        ...

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        """Send one instant query for time `at` (seconds since the epoch), or for the backend's current time."""
        ...

    async def close(self) -> None:
        """Close the connections. Queries in flight end with an error."""
        ...
