"""Signals of one target over a range of past times, computed by the code that computes their observations.

Only the dashboard reads them, for what this process has not evaluated. They may differ a little from what decisions
were based on: all revisions that the target still has are counted, and late samples are included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from resilience_operator.decision.model.observation import Observation
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.presets.models import PART
from resilience_operator.signals.query.client import Query, QueryClient
from resilience_operator.signals.query.errors import QueryFailure
from resilience_operator.signals.query.extract import raw_series
from resilience_operator.signals.query.planner import ALL_PARTS, Plan, QueryGroup, QueryPlanner
from resilience_operator.signals.results import SignalResults
from resilience_operator.signals.sources.protocol import Answer, Series, TimeRange

Column = list[float | None]
"""A value for each time; None if it is unknown."""


class RecordedSignals(NamedTuple):
    """Columns by signal, in the signals' base units, and the replicas. fault: why some could not be read; or empty."""

    times: TimeRange
    signals: Mapping[str, Column]
    replicas: Column
    ready: Column
    fault: str = ""


class RangeReader:
    """Reads the signals of one target at a time: one query after another."""

    def __init__(self, planner: QueryPlanner, client: QueryClient) -> None:
        self._planner, self._client = planner, client

    async def read(self, requests: Sequence[SignalRequest], times: TimeRange, *, deadline: Deadline) -> RecordedSignals:
        """Read the signals of a policy's requests. Never raises for a failing source."""
        columns: dict[str, Column] = {}
        fault = ""
        for request in requests:
            planned = self._planner.plan_alone(request, times.end, requests)
            if isinstance(planned, Observation):
                fault = fault or planned.message
                continue
            answers: dict[str, list[list[Series]]] = {}
            for part, query in planned[1].queries.items():
                found = await self._series(query, times, deadline)
                if isinstance(found, QueryFailure):
                    fault = fault or found.message
                    break
                answers[part] = found
            else:
                columns[request.signal.name] = [_value(planned, answers, n, times.at(n)) for n in range(times.count)]
        replicas, ready = await self._replicas(requests, times, deadline)
        return RecordedSignals(times, columns, replicas, ready, fault)

    async def _replicas(
        self, requests: Sequence[SignalRequest], times: TimeRange, deadline: Deadline
    ) -> tuple[Column, Column]:
        """The wanted and the ready replicas; unknown where kube-state-metrics is missing."""
        replicas: Column = [None] * times.count
        ready: Column = [None] * times.count
        query = self._planner.replica_query(requests[0]) if requests else None
        found = await self._series(query, times, deadline) if query is not None else None
        if isinstance(found, list):
            for number, points in enumerate(found):
                for column, part in ((replicas, "replicas"), (ready, "ready")):
                    of_part = [s.value for s in points if s.labels.get(PART) == part]
                    # Several values come from several clusters.
                    column[number] = of_part[0] if len(of_part) == 1 and math.isfinite(of_part[0]) else None
        return replicas, ready

    async def _series(self, query: Query, times: TimeRange, deadline: Deadline) -> list[list[Series]] | QueryFailure:
        """The series of a query at each time."""
        result = await self._client.fetch_range(query, times, deadline=deadline)
        if result.failure is not None:
            return result.failure
        at: list[list[Series]] = [[] for _ in range(times.count)]
        for one in result.value:
            if 0 <= (number := times.index(one.at)) < times.count:
                at[number].append(one)
        return at


def _value(plan: Plan, answers: Mapping[str, list[list[Series]]], number: int, at: float) -> float | None:
    """The value of a signal at one time; None if it is unknown."""
    target, group = plan
    here = QueryGroup(group.preset, group.queries, at=at)
    for part, query in group.queries.items():
        found = query.extract(Answer(answers[part][number]))
        if part == ALL_PARTS and query.extract is not raw_series:
            here.answers.update(found)
        else:
            here.answers[part] = found
    (observed,) = SignalResults([(target, here)], at).observations()
    return observed.measured.value if observed.measured is not None else None
