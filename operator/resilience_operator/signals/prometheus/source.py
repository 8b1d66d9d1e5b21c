"""The metric source for a Prometheus-compatible endpoint.

https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from resilience_operator.resilience.deadline import Deadline
from resilience_operator.resilience.errors import DeadlineExceeded, GiveUp, TryAgain
from resilience_operator.signals.prometheus import errors, response
from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.prometheus.credentials import Credentials
from resilience_operator.signals.prometheus.reader import ResponseReader
from resilience_operator.signals.prometheus.transport import HttpTransport
from resilience_operator.signals.sources.protocol import Answer, TimeRange

_LARGE = 1 << 20
"""Size in bytes from which a response is parsed in a thread, so that the event loop is not blocked."""


Parser = Callable[[Mapping[str, Any], str], Answer]
"""Parses a document of the source with that name. Raises the errors of `resilience.errors`."""


class PrometheusSource:
    """A MetricSource for one endpoint."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self._dependency = f"prometheus/{config.name}"
        self._credentials = Credentials(config)
        self._reader = ResponseReader(self._dependency, self._credentials)
        self._transport = HttpTransport(config, self._dependency, self._credentials, self._reader, "/api/v1/query")
        # Opens no connection before the first range query.
        self._ranges = HttpTransport(config, self._dependency, self._credentials, self._reader, "/api/v1/query_range")
        self._closed = False

    def __repr__(self) -> str:
        return f"PrometheusSource({self._config.name!r})"

    @property
    def name(self) -> str:
        """The name in the operator's configuration."""
        return self._config.name

    @property
    def concurrency(self) -> int:
        """Maximum number of concurrent queries."""
        return self._config.concurrency

    @property
    def query_seconds_per_minute(self) -> float:
        """Query seconds per minute for the custom queries of each namespace."""
        return self._config.query_seconds_per_minute

    @property
    def max_clock_skew(self) -> float:
        """Maximum difference in seconds between the endpoint's clock and ours."""
        return self._config.max_clock_skew_seconds

    @property
    def tenant_label(self) -> str:
        """The label by which custom queries are restricted; empty if they are not."""
        return self._config.tenant_label

    @property
    def matchers(self) -> Mapping[str, str]:
        """Label values of every series that is read."""
        return self._config.matchers

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        """Send one instant query, without retries. Raises TryAgain, Unauthorized, GiveUp, DeadlineExceeded."""
        times = {} if at is None else {"time": f"{at:.3f}"}
        return await self._call(self._transport, {"query": promql, **times}, response.answer, deadline)

    async def query_range(self, promql: str, times: TimeRange, *, deadline: Deadline) -> Answer:
        """Send one range query, without retries. Raises as `query`."""
        start, end, step = f"{times.start:.3f}", f"{times.end:.3f}", f"{times.step:g}"
        parameters = {"query": promql, "start": start, "end": end, "step": step}
        return await self._call(self._ranges, parameters, response.matrix, deadline)

    async def _call(
        self, transport: HttpTransport, parameters: Mapping[str, str], parse: Parser, deadline: Deadline
    ) -> Answer:
        if self._closed:
            raise GiveUp("the source is closed", dependency=self._dependency, reason="closed")
        left = deadline.remaining()
        if left <= 0:
            raise DeadlineExceeded("no time is left for the query", dependency=self._dependency, reason="deadline")
        connect = min(self._config.connect_timeout_seconds, left)
        read = min(self._config.read_timeout_seconds, left)
        most = self._config.connect_timeout_seconds + self._config.read_timeout_seconds
        # Slightly less than our time-out, so that the server reports that the query took too long.
        sent = {**self._config.parameters, **parameters, "timeout": f"{max(1, int(read * 900))}ms"}
        try:
            # A server that sends single bytes never exceeds the socket's time-out, so the total is limited here.
            async with asyncio.timeout(min(most, left)):
                return await self._ask(transport, sent, parse, (connect, read))
        except TimeoutError:
            if deadline.expired:
                raise DeadlineExceeded(
                    "the deadline passed during the query", dependency=self._dependency, reason="deadline"
                ) from None
            raise TryAgain(
                f"no complete response within {most:g} s", dependency=self._dependency, reason="timeout"
            ) from None

    async def close(self) -> None:
        """Close the connections and abort the queries in flight."""
        self._closed = True
        await self._transport.close()
        await self._ranges.close()

    async def _ask(
        self, transport: HttpTransport, parameters: Mapping[str, str], parse: Parser, timeouts: tuple[float, float]
    ) -> Answer:
        """Send a request and parse its response. timeouts: as of `HttpTransport.send`."""
        try:
            body, seconds = await transport.send(parameters, *timeouts)
            if len(body) < _LARGE:
                return self._answer(body, seconds, parse)
            return await asyncio.to_thread(self._answer, body, seconds, parse)
        except Exception as error:
            found = errors.error_from_exception(error, self._dependency)
            found.message = self._credentials.redact(found.message)
            found.args = (found.message,)
            # `from None`: the text of the cause may contain headers.
            raise found from None

    def _answer(self, body: bytes, seconds: float, parse: Parser) -> Answer:
        return replace(parse(self._reader.document(body), self._dependency), seconds=seconds)
