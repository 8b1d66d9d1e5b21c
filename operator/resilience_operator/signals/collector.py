"""Collects the signals of a batch of requests: plans the queries, executes them and distributes the results."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing

from resilience_operator.decision.model.observation import Observation
from resilience_operator.resilience.deadline import Clock, Deadline
from resilience_operator.resilience.retry import Retry
from resilience_operator.signals import reasons
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.presets.models import Families, load_families
from resilience_operator.signals.query.breakers import SourceBreakers
from resilience_operator.signals.query.client import OnCustom, Query, QueryClient, QueryResult
from resilience_operator.signals.query.cohorts import Cohorts
from resilience_operator.signals.query.planner import ALL_PARTS, SCRAPES, Groups, QueryGroup, QueryPlanner, is_optional
from resilience_operator.signals.recorded import RangeReader, RecordedSignals
from resilience_operator.signals.results import SignalResults
from resilience_operator.signals.sources.protocol import TimeRange
from resilience_operator.signals.sources.registry import SourceRegistry

_DEFAULT_SKEW_SECONDS = 60.0


class SignalCollector:
    """Collects signals for the whole process and caches fresh answers. cohorts: which namespaces share queries."""

    def __init__(
        self,
        sources: SourceRegistry,
        families: Families | None = None,
        *,
        retry: Retry | None = None,
        breakers: SourceBreakers | None = None,
        cohorts: Cohorts | None = None,
        clock: Clock = time.monotonic,
        on_custom: OnCustom = lambda source, result: None,
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._query_client = QueryClient(sources, retry=retry, breakers=breakers, clock=clock, on_custom=on_custom)
        self._planner = QueryPlanner(sources, families or load_families(), cohorts or Cohorts())
        self._ranges = RangeReader(self._planner, self._query_client)

    async def close(self) -> None:
        """Stop the process that checks custom queries."""
        await self._query_client.close()

    def expect(self, requests: Sequence[SignalRequest]) -> None:
        """Announce future requests, so that the first grouped query already covers them all. No I/O."""
        self._planner.register(requests, self._clock())

    async def read_range(
        self, requests: Sequence[SignalRequest], times: TimeRange, *, deadline: Deadline
    ) -> RecordedSignals:
        """Read the past of one policy's signals, for people. Never raises for a failing source."""
        self._planner.register(requests, self._clock())
        return await self._ranges.read(requests, times, deadline=deadline)

    async def collect(
        self,
        batch: Sequence[Sequence[SignalRequest]],
        *,
        now: float,
        deadline: Deadline,
        max_age: float = 0.0,
        shared_age: float = 0.0,
    ) -> AsyncGenerator[Iterator[tuple[int, SignalResults]], None]:
        """Yield the results of each policy, with its index in `batch`, once all of its queries are answered.

        Policies that become ready together are yielded together. A failing source never raises.
        now: seconds since the epoch.
        deadline: time by which every signal has an observation, Unknown if necessary.
        max_age: maximum age in seconds of a cached answer.
        shared_age: the same for answers that serve many policies, if it is greater.
        """
        started = self._clock()
        self._planner.widen_scopes([request for requests in batch for request in requests], started)
        groups: Groups = {}
        plans = [[self._planner.plan(request, now, groups, requests) for request in requests] for requests in batch]
        unreported = dict(enumerate(plans))
        pending = {id(p[1]): p[1] for one in plans for p in one if not isinstance(p, Observation)}
        queries = {query for group in pending.values() for query in group.queries.values()}
        async with aclosing(
            self._query_client.fetch(queries, deadline=deadline, max_age=max_age, shared_age=shared_age)
        ) as answers:
            async for results in answers:
                for key, group in list(pending.items()):
                    if results.keys() >= set(group.queries.values()):
                        self._fill_group(group, results, now, started)
                        del pending[key]
                ready = [n for n, one in unreported.items() if not pending or not any(id(p[1]) in pending for p in one)]
                yield ((n, SignalResults(unreported.pop(n), now)) for n in ready)

    def _fault(self, query: Query, result: QueryResult, now: float, started: float) -> tuple[str, str] | None:
        """Why a result cannot be used: a reason and a message; None if it can."""
        if result.failure is not None:
            return result.failure.reason, result.failure.message
        if result.at is None:
            return None
        # The server evaluates an instant query at its own time. A difference to ours means that a clock is wrong.
        off = result.at - (now + result.requested_at - started)
        allowed = getattr(self._sources.find(query.source), "max_clock_skew", _DEFAULT_SKEW_SECONDS)
        if abs(off) <= allowed:
            return None
        side = "behind" if off < 0 else "ahead of"
        return (
            reasons.STALE,
            f"metric source {query.source!r} is {abs(off):.0f} s {side} the operator's clock; synchronize the clocks",
        )

    def _fill_group(self, group: QueryGroup, results: Mapping[Query, QueryResult], now: float, started: float) -> None:
        """Store the results in a group, once for all of its requests."""
        group.at = now
        for part, query in group.queries.items():
            result = results[query]
            if is_optional(part):
                if self._fault(query, result, now, started) is None:
                    if part == SCRAPES:
                        group.learn_intervals(result.value)
                    else:
                        group.answers[part] = result.value or {}
                continue
            group.note = group.note or result.pace.note
            group.fault = group.fault or self._fault(query, result, now, started)
            group.at = min(group.at, now if result.at is None else result.at)
            if part == ALL_PARTS:
                group.answers.update(result.value or {})
            else:
                group.answers[part] = result.value
