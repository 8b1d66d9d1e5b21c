"""The metric source for a Prometheus-compatible endpoint.

https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from resilience_operator.resilience.deadline import Deadline
from resilience_operator.resilience.errors import DeadlineExceeded, GiveUp, TryAgain
from resilience_operator.signals.prometheus import errors, response
from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.prometheus.credentials import Credentials
from resilience_operator.signals.prometheus.reader import ResponseReader
from resilience_operator.signals.prometheus.transport import HttpTransport
from resilience_operator.signals.sources.protocol import Answer

_LARGE = 1 << 20
"""Size in bytes from which a response is parsed in a thread, so that the event loop is not blocked."""


class PrometheusSource:
    """A MetricSource for one endpoint."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self._dependency = f"prometheus/{config.name}"
        self._credentials = Credentials(config)
        self._reader = ResponseReader(self._dependency, self._credentials)
        self._transport = HttpTransport(config, self._dependency, self._credentials, self._reader, "/api/v1/query")
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
        if self._closed:
            raise GiveUp("the source is closed", dependency=self._dependency, reason="closed")
        left = deadline.remaining()
        if left <= 0:
            raise DeadlineExceeded("no time is left for the query", dependency=self._dependency, reason="deadline")
        connect = min(self._config.connect_timeout_seconds, left)
        read = min(self._config.read_timeout_seconds, left)
        most = self._config.connect_timeout_seconds + self._config.read_timeout_seconds
        # Slightly less than our time-out, so that the server reports that the query took too long.
        parameters = {"query": promql, **self._config.parameters, "timeout": f"{max(1, int(read * 900))}ms"}
        if at is not None:
            parameters["time"] = f"{at:.3f}"
        try:
            # A server that sends single bytes never exceeds the socket's time-out, so the total is limited here.
            async with asyncio.timeout(min(most, left)):
                return await self._ask(parameters, connect, read)
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

    async def _ask(self, parameters: dict[str, str], connect: float, read: float) -> Answer:
        try:
            body, seconds = await self._transport.send(parameters, connect, read)
            if len(body) < _LARGE:
                return self._answer(body, seconds)
            return await asyncio.to_thread(self._answer, body, seconds)
        except Exception as error:
            found = errors.error_from_exception(error, self._dependency)
            found.message = self._credentials.redact(found.message)
            found.args = (found.message,)
            # `from None`: the text of the cause may contain headers.
            raise found from None

    def _answer(self, body: bytes, seconds: float) -> Answer:
        found = self._reader.document(body)
        return replace(response.answer(found, self._dependency), seconds=seconds)
