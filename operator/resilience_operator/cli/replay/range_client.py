"""Range queries with the same credentials and error mapping as the operator's instant queries."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from prometheus_api_client import PrometheusConnect
from urllib3.util.retry import Retry as NoRetry

from resilience_operator.cli.replay.recording import Track, Tracks
from resilience_operator.cli.replay.session import Session
from resilience_operator.cli.replay.time_grid import Grid, Span
from resilience_operator.resilience import CallError, Deadline, Retry, RetryPolicy
from resilience_operator.signals.prometheus import errors as failures
from resilience_operator.signals.prometheus import response
from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.prometheus.credentials import Credentials

TIMEOUT = 60.0
"""Maximum seconds of one range query, which reads as much as hundreds of instant ones."""
_CONCURRENCY = 4
_MIN_POINTS = 100
_LARGE_ANSWER = "too many samples"
"""Prometheus's error text for a query above the sample limit (promql/engine.go)."""


def _track(found: dict[tuple[tuple[str, str], ...], Track], labels: Mapping[str, str], grid: Grid) -> Track:
    key = tuple(sorted(labels.items()))
    if key not in found:
        found[key] = Track(labels, [None] * grid.count)
    return found[key]


class RangeSource:
    """Range queries on one metrics endpoint. warnings: its warnings about missing data."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config.model_copy(update={"max_answer_bytes": max(config.max_answer_bytes, 512 << 20)})
        self._dependency = f"prometheus/{config.name}"
        self._credentials = Credentials(config)
        self._local = threading.local()
        self._places = asyncio.Semaphore(min(_CONCURRENCY, config.concurrency))
        self._retry = Retry(RetryPolicy(base=0.2, cap=2.0, attempts=3))
        self.warnings: set[str] = set()

    @property
    def tenant_label(self) -> str:
        """The label by which custom queries are restricted to their namespace; empty if they are not."""
        return self._config.tenant_label

    async def query(self, query: str, grid: Grid, span: Span, deadline: Deadline) -> Tracks:
        """The series of `query` within `span`, on the whole grid. Raises CallError."""
        found: dict[tuple[tuple[str, str], ...], Track] = {}
        parts = await asyncio.gather(*(self._piece(query, grid, piece, deadline) for piece in grid.pieces(span)))
        for series in (one for part in parts for one in part):
            values = _track(found, series["metric"], grid).values
            for at, text in series.get("values", ()):
                values[grid.number(at)] = float(text)
            for at, histogram in series.get("histograms", ()):
                for labels, value, _ in response.histogram_series(series["metric"], at, histogram):
                    _track(found, labels, grid).values[grid.number(at)] = value
        return tuple(found.values())

    async def _piece(self, query: str, grid: Grid, span: Span, deadline: Deadline) -> list[Any]:
        async def attempt() -> list[Any]:
            async with self._places:
                return await asyncio.to_thread(self._send, query, grid, span, deadline)

        try:
            return await self._retry.call(attempt, deadline=deadline, dependency=self._dependency)
        except CallError as error:
            first, end = span
            heavy = _LARGE_ANSWER in error.message or error.reason == "timeout"
            if not heavy or end - first < _MIN_POINTS or deadline.expired:
                raise
            middle = (first + end) // 2
            halves = await asyncio.gather(
                self._piece(query, grid, (first, middle), deadline), self._piece(query, grid, (middle, end), deadline)
            )
            return halves[0] + halves[1]

    def _send(self, query: str, grid: Grid, span: Span, deadline: Deadline) -> list[Any]:
        """Send one request, in a thread."""
        try:
            session, client = self._client()
            left = deadline.timeout(TIMEOUT)
            answer: list[Any] = client.custom_query_range(
                query,
                datetime.fromtimestamp(grid.at(span[0]), UTC),
                datetime.fromtimestamp(grid.at(span[1] - 1), UTC),
                f"{grid.step:g}",
                params={**self._config.parameters, "timeout": f"{max(1, int(left * 900))}ms"},
                timeout=(min(self._config.connect_timeout_seconds, left), left),
            )
            self.warnings.update(session.warnings)
            return answer
        except Exception as error:
            raise failures.error_from_exception(error, self._dependency) from None

    def _client(self) -> tuple[Session, PrometheusConnect]:
        if not hasattr(self._local, "pair"):
            session = Session(self._config, self._dependency, self._credentials)
            client = PrometheusConnect(
                url=self._config.url, session=session, retry=NoRetry(0), method=self._config.method
            )
            self._local.pair = session, client
        pair: tuple[Session, PrometheusConnect] = self._local.pair
        return pair
