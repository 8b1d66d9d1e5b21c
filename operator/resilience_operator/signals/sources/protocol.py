"""What a metrics backend must be able to do, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from resilience_operator.resilience.deadline import Deadline


class Series(NamedTuple):
    """One series of an instant answer. A tuple, since answers of 30,000 of them are ordinary.

    value: may be NaN or infinite. at: seconds since the epoch by the backend's clock; for an instant query
    that is the time of evaluation, not the time of the newest sample behind it.
    """

    labels: Mapping[str, str]
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one instant query. warnings: what the backend said about missing parts; empty is a
    whole answer. seconds: how long the backend took for it, without what reading it took here; None where
    nobody measured.
    """

    series: Sequence[Series]
    warnings: tuple[str, ...] = ()
    seconds: float | None = None


@runtime_checkable
class MetricSource(Protocol):
    """A metrics backend, under the name that policies use.

    An implementation bounds its own concurrency, ends by the deadline whatever the backend does, frees what
    an attempt took, and raises only the errors of `resilience.errors`: TryAgain (with `reason`) for what
    may pass, GiveUp for what will not.
    """

    @property
    def name(self) -> str:
        """The name in the operator's configuration."""
        ...

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        """Ask once, at time `at` (seconds since the epoch), or now by the backend's clock."""
        ...

    async def close(self) -> None:
        """Free the connections. Queries under way end with an error."""
        ...
