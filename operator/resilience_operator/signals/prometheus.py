"""A Prometheus-compatible endpoint, through prometheus-api-client.

The client is synchronous, so each endpoint has a few threads of its own, and each thread a client of its
own: an endpoint that hangs holds up its own threads and nobody else's. A query that is cancelled or out of
time has its socket cut, which ends the thread's wait at once.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from prometheus_api_client import PrometheusConnect
from urllib3.util.retry import Retry

from resilience_operator.resilience.deadline import Deadline
from resilience_operator.resilience.errors import Expired, GiveUp, TryAgain
from resilience_operator.signals import failures, wire
from resilience_operator.signals.config import SourceConfig
from resilience_operator.signals.credentials import Credentials
from resilience_operator.signals.handover import Handover
from resilience_operator.signals.source import Answer
from resilience_operator.signals.transport import Session


class _Job:
    """One query. client: who works on it now; abandoned: nobody waits for it any more. Guarded by the
    client's lock.
    """

    __slots__ = ("abandoned", "at", "client", "deadline", "promql")

    def __init__(self, promql: str, at: float | None, deadline: Deadline) -> None:
        self.promql = promql
        self.at = at
        self.deadline = deadline
        self.client: _Client | None = None
        self.abandoned = False


class _Client:
    """What one thread keeps: a session and the client upon it."""

    def __init__(self, config: SourceConfig, credentials: Credentials, dependency: str) -> None:
        self._config = config
        self._dependency = dependency
        self.tls = credentials.tls_fingerprint()
        if None in self.tls:
            raise GiveUp(
                "a certificate, key or authorities file cannot be read",
                dependency=dependency,
                reason="credentials",
            )
        self._session = Session(config, dependency, credentials)
        self.sockets = self._session.sockets
        self._connect = PrometheusConnect(url=config.url, session=self._session, retry=Retry(0), method=config.method)

    def ask(self, job: _Job) -> Answer:
        """Send the query and wait."""
        left = job.deadline.remaining()
        read = min(self._config.read_timeout_seconds, left)
        if left <= 0:
            raise Expired("no time is left to ask", dependency=self._dependency, reason="deadline")
        # A little less than ours, so that it is the server who says that the query was too long.
        parameters = {**self._config.parameters, "timeout": f"{max(1, int(read * 900))}ms"}
        if job.at is not None:
            parameters["time"] = f"{job.at:.3f}"
        raw = self._connect.custom_query(
            job.promql, params=parameters, timeout=(min(self._config.connect_timeout_seconds, left), read)
        )
        return Answer(wire.series(raw, self._dependency), self._session.warnings, self._session.seconds)

    def close(self) -> None:
        self._session.close()


class PrometheusSource:
    """A MetricSource on one endpoint."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self._dependency = f"prometheus/{config.name}"
        self._credentials = Credentials(config)
        self._threads = ThreadPoolExecutor(config.concurrency, thread_name_prefix=f"source-{config.name}")
        self._lock = threading.Lock()
        self._clients: dict[int, _Client] = {}
        self._answers = Handover[Answer]()
        self._closed = False

    def __repr__(self) -> str:
        return f"PrometheusSource({self._config.name!r})"

    @property
    def name(self) -> str:
        """The name in the operator's configuration."""
        return self._config.name

    @property
    def concurrency(self) -> int:
        """Queries under way at once."""
        return self._config.concurrency

    @property
    def max_clock_skew(self) -> float:
        """Seconds that the endpoint's clock may be off."""
        return self._config.max_clock_skew_seconds

    @property
    def tenant_label(self) -> str:
        """The label that policies' own queries are held to; empty where they are not."""
        return self._config.tenancy.label if self._config.tenancy else ""

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        """Ask once. Raises TryAgain, LoginAgain, GiveUp, Expired of `resilience.errors`."""
        if self._closed:
            raise GiveUp("the source is closed", dependency=self._dependency, reason="closed")
        job = _Job(promql, at, deadline)
        most = self._config.connect_timeout_seconds + self._config.read_timeout_seconds
        answered = self._answers.begin()
        work = self._threads.submit(self._work, job, answered)
        try:
            # A server that sends a byte now and then never runs into a socket's time-out: the whole is
            # bounded here.
            async with asyncio.timeout(deadline.timeout(most)):
                return await answered
        except TimeoutError:
            if deadline.expired:
                raise Expired(
                    "the deadline passed during the query", dependency=self._dependency, reason="deadline"
                ) from None
            raise TryAgain(
                f"no whole answer within {most:g} s", dependency=self._dependency, reason="timeout"
            ) from None
        finally:
            self._abandon(job)
            if work.cancel():
                self._answers.give(answered, _unwanted(self._dependency))

    async def close(self) -> None:
        """Cut what is under way, and let the threads end."""
        self._closed = True
        self._threads.shutdown(wait=False)
        with self._lock:
            for client in self._clients.values():
                client.sockets.cut()
                client.close()
            self._clients.clear()

    def _abandon(self, job: _Job) -> None:
        with self._lock:
            job.abandoned = True
            if job.client is not None:
                job.client.sockets.cut()

    def _work(self, job: _Job, answered: asyncio.Future[Answer]) -> None:
        """In a thread of the pool: one query from begin to end, whatever becomes of it."""
        found: Answer | Exception
        try:
            found = self._ask(job)
        except Exception as error:
            found = error
        self._answers.give(answered, found)

    def _ask(self, job: _Job) -> Answer:
        if self._closed:
            raise _unwanted(self._dependency)
        try:
            client = self._client()
            with self._lock:
                if job.abandoned or self._closed:
                    raise _unwanted(self._dependency)
                job.client = client
            try:
                return client.ask(job)
            finally:
                with self._lock:
                    job.client = None
                    if self._closed:
                        client.close()
        except Exception as error:
            found = failures.of_exception(error, self._dependency)
            found.message = self._credentials.scrub(found.message)
            found.args = (found.message,)
            # `from None`: what lies beneath may quote headers in its text.
            raise found from None

    def _client(self) -> _Client:
        """The client of the calling thread, made anew when its certificates were replaced."""
        thread = threading.get_ident()
        client = self._clients.get(thread)
        if client is not None and client.tls != self._credentials.tls_fingerprint():
            client.close()
            client = None
        if client is None:
            client = _Client(self._config, self._credentials, self._dependency)
            with self._lock:
                self._clients[thread] = client
        return client


def _unwanted(dependency: str) -> Expired:
    return Expired("nobody waits for the answer", dependency=dependency, reason="cancelled")
