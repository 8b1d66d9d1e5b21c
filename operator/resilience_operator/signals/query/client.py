"""Executes queries: coalesces identical ones, limits concurrency, keeps to the deadline, and never raises.

Policies are evaluated at their own phase offsets, and their queries are often identical. Identical queries in flight
share one request (single flight). A cached result serves every caller that accepts its age.

A custom query may be arbitrarily expensive. So namespaces share the slots fairly (`slots`), each has a budget of query
seconds (`query_seconds`), and a query that keeps timing out is sent less often (`backoff`). Only time on the wire
counts against a query: one that waited for a slot fails with `SourceBusy` and is neither slow nor timed out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

from resilience_operator.api.quantities import format_duration
from resilience_operator.promql.errors import TemplateError
from resilience_operator.resilience.deadline import Clock, Deadline
from resilience_operator.resilience.errors import DeadlineExceeded, GiveUp, TryAgain
from resilience_operator.resilience.retry import Retry, RetryPolicy
from resilience_operator.signals import reasons
from resilience_operator.signals.query import backoff
from resilience_operator.signals.query.breakers import SourceBreakers
from resilience_operator.signals.query.errors import QueryFailure, SourceNotFoundError, failure_from_exception
from resilience_operator.signals.query.extract import raw_series
from resilience_operator.signals.query.pace import FASTEST, Pace, next_pace
from resilience_operator.signals.query.query_seconds import PER_MINUTE, QuerySeconds
from resilience_operator.signals.query.rewriter import Rewriter, RewriterUnavailableError
from resilience_operator.signals.query.slots import FairSlots
from resilience_operator.signals.sources.protocol import NATIVE, Answer, MetricSource, TimeRange
from resilience_operator.signals.sources.registry import SourceRegistry

Extractor = Callable[[Answer], Any]
"""Reduces an answer to the part that is kept. Pure. It is part of the query's identity, so it must be a module-level or
cached function.
"""

_KEEP_SECONDS = 60.0
_KEEP_FAILURE_SECONDS = 1.0
"""Maximum age of a failure that is served to another caller."""

_SWEEP_SECONDS = 10.0

COALESCE_WINDOW = 0.25
"""Seconds to wait for further results before yielding those that have arrived."""


MAX_SERIES = 10_000
"""Maximum number of series in the answer to a custom query. One is expected, or one per pod."""

MAX_POINTS = 50_000
"""Maximum number of points in the answer to a range query."""

_MANY_SERIES = "the query returns {} series: it must return one series, or one per pod"
_MANY_POINTS = f"the range query returns {{}} points, and at most {MAX_POINTS} are read"

_RANGE_SHARE = 0.5
"""Share of a namespace's query seconds that range queries leave to its evaluations."""

OnCustom = Callable[[str, str], None]
"""Called with (source, result) for a custom query: `sent`, `busy` (no free slot in time) or `throttled` (budget spent).
"""


@dataclass(frozen=True, slots=True)
class Query:
    """A query to one metric source. Equal queries share one request.

    custom: sent on behalf of one namespace, `namespace`, rather than for many.
    label: the label by which the query is restricted to that namespace before it is sent; empty if it is not
        restricted.
    refresh: seconds for which a result is recent enough, for what changes slowly.
    matchers: label values that every selector gets too.
    paced: a custom query that is sent less often than it is asked for, if it is expensive (`pace`).
    companions: queries that must also pass the restriction before this one is sent, since only all answers together are
        useful.
    """

    source: str
    promql: str
    extract: Extractor
    custom: bool = False
    namespace: str = ""
    label: str = ""
    companions: tuple[str, ...] = ()
    refresh: float = 0.0
    matchers: tuple[tuple[str, str], ...] = ()
    paced: bool = False


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of a query: a value or a failure.

    requested_at: monotonic seconds.
    at: seconds since the epoch by the source's clock; None if there were no series.
    value: what the extractor returned; None after a failure.
    consecutive_timeouts: time-outs of a custom query since its last answer.
    backoff_until: seconds from `requested_at` for which a failed query is not sent again.
    pace: how often the query is sent, if it is paced.
    """

    requested_at: float
    value: Any = None
    at: float | None = None
    failure: QueryFailure | None = None
    consecutive_timeouts: int = 0
    backoff_until: float = 0.0
    pace: Pace = FASTEST


class _ThrottledError(Exception):
    """The namespace has spent its query seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class _Limits(NamedTuple):
    """Limits for the queries of one source: `all` of them, and the custom ones.

    One slot is reserved for presets. One namespace may hold at most half of the slots.
    """

    all: asyncio.Semaphore
    custom: FairSlots
    seconds: QuerySeconds


class _Execution:
    """A query in flight: the seconds that it waited, and the seconds that it was on the wire."""

    __slots__ = ("_clock", "_sent", "_started", "_was_sent", "_wire_seconds", "checking", "subscribers", "task")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock()
        self._sent: float | None = None
        self._wire_seconds = 0.0
        self._was_sent = False
        self.checking = False
        self.task: asyncio.Task[QueryResult]
        self.subscribers = 0

    def start_attempt(self) -> None:
        self._sent, self._was_sent = self._clock(), True

    def end_attempt(self) -> float:
        """Stop the wire timer and return the seconds of this attempt."""
        assert self._sent is not None
        elapsed, self._sent = self._clock() - self._sent, None
        self._wire_seconds += elapsed
        return elapsed

    @property
    def wire_seconds(self) -> float:
        return self._wire_seconds + (self._clock() - self._sent if self._sent is not None else 0.0)

    @property
    def waited_seconds(self) -> float:
        return self._clock() - self._started - self.wire_seconds

    @property
    def had_fair_time(self) -> bool:
        """Whether it was on the wire for at least as long as it waited: then the query itself caused a time-out."""
        return self._was_sent and self.wire_seconds >= self.waited_seconds


class QueryClient:
    """Executes queries for the whole process: coalesces identical ones, caches results, limits concurrency."""

    def __init__(
        self,
        sources: SourceRegistry,
        *,
        retry: Retry | None = None,
        breakers: SourceBreakers | None = None,
        clock: Clock = time.monotonic,
        on_custom: OnCustom = lambda source, result: None,
    ) -> None:
        self._sources = sources
        self._retry = retry or Retry(RetryPolicy(base=0.1, cap=2.0, attempts=3))
        self._breakers = breakers
        self._clock = clock
        self._on_custom = on_custom
        self._rewriter = Rewriter()
        self._results: dict[Query, QueryResult] = {}
        self._in_flight: dict[Query, _Execution] = {}
        self._limits: dict[str, _Limits] = {}
        self._swept_at = clock()

    async def close(self) -> None:
        """Stop the process that checks custom queries."""
        await self._rewriter.close()

    async def fetch(
        self, queries: Iterable[Query], *, deadline: Deadline, max_age: float, shared_age: float = 0.0
    ) -> AsyncGenerator[Mapping[Query, QueryResult], None]:
        """Yield the results so far each time more have arrived, and all of them at the end, by the deadline at the
        latest.

        max_age: maximum age in seconds of a cached result.
        shared_age: the same for queries that serve many policies, if it is greater.
        """
        results: dict[Query, QueryResult] = {}
        executions: dict[Query, _Execution] = {}
        now = self._clock()
        self._sweep(now)
        for query in queries:
            if query in results or query in executions:
                continue
            result = self._results.get(query)
            age = max(query.refresh, max_age if query.custom else max(max_age, shared_age))
            if query.paced and result is not None:
                age = max(age, result.pace.reuse_for)
            if result is not None and now - result.requested_at <= _acceptable(result, age):
                results[query] = result
            else:
                executions[query] = self._subscribe(query, deadline)
        try:
            while executions and (left := deadline.remaining()) > 0:
                await asyncio.wait(
                    [execution.task for execution in executions.values()], timeout=min(left, COALESCE_WINDOW)
                )
                done = [query for query, execution in executions.items() if execution.task.done()]
                for query in done:
                    execution = executions.pop(query)
                    self._unsubscribe(query, execution)
                    cancelled = execution.task.cancelled()
                    results[query] = _timed_out(query, execution, now) if cancelled else execution.task.result()
                if done and executions:
                    yield results
        finally:
            unfinished = {query: _timed_out(query, execution, now) for query, execution in executions.items()}
            for query, execution in executions.items():
                self._unsubscribe(query, execution)
        yield results | unfinished

    async def fetch_range(self, query: Query, times: TimeRange, *, deadline: Deadline) -> QueryResult:
        """The points of a query over a range of times, by the deadline, not extracted.

        It shares slots, breaker, tenancy and query seconds with the custom queries of its namespace, and leaves half of
        these seconds to evaluations. It is not retried and not cached.
        """
        requested_at = self._clock()
        execution = _Execution(self._clock)
        try:
            async with asyncio.timeout(deadline.remaining()):
                answer = await self._request_range(query, times, deadline, execution)
        except TimeoutError:
            return QueryResult(requested_at, failure=_timeout_failure(query, execution))
        except _ThrottledError:
            text = f"the custom queries of namespace {query.namespace} have used most of their query seconds"
            return QueryResult(requested_at, failure=QueryFailure(reasons.QUERY_BUDGET_SPENT, text))
        except Exception as error:
            return QueryResult(requested_at, failure=_failure(query, error, execution))
        failure = _reject_answer(query, answer) or _too_long(query, answer, MAX_POINTS, _MANY_POINTS)
        if failure is not None:
            return QueryResult(requested_at, failure=failure)
        return QueryResult(requested_at, answer.series)

    async def _request_range(self, query: Query, times: TimeRange, deadline: Deadline, execution: _Execution) -> Answer:
        source = self._source(query)
        send = getattr(source, "query_range", None)
        if send is None:
            raise GiveUp("it has no range queries", dependency=f"prometheus/{query.source}", reason="range")
        limits = self._limits_of(source)
        promql = await self._restricted(query, execution) if query.label or query.matchers else query.promql

        async def send_query() -> Answer:
            return await self._timed(query, limits, execution, send(promql, times, deadline=deadline))

        async with self._slot(query, limits):
            if limits.seconds.used(query.namespace) > _RANGE_SHARE:
                raise _ThrottledError(0.0)
            if self._breakers is None:
                return await send_query()
            return await self._breakers.call(
                query.source, send_query, deadline, custom=True, had_fair_time=lambda: execution.had_fair_time
            )

    def _source(self, query: Query) -> MetricSource:
        """The source of a query. Raises SourceNotFoundError."""
        source = self._sources.find(query.source)
        if source is None:
            raise SourceNotFoundError(
                f"metric source {query.source!r} is not configured; available: "
                f"{', '.join(self._sources.names) or 'none'}"
            )
        return source

    def _subscribe(self, query: Query, deadline: Deadline) -> _Execution:
        execution = self._in_flight.get(query)
        if execution is None or execution.task.done():
            execution = self._in_flight[query] = _Execution(self._clock)
            execution.task = asyncio.get_running_loop().create_task(self._execute(query, deadline, execution))
        execution.subscribers += 1
        return execution

    def _unsubscribe(self, query: Query, execution: _Execution) -> None:
        if self._in_flight.get(query) is not execution:
            return
        execution.subscribers -= 1
        if execution.task.done() or execution.subscribers == 0:
            # No subscriber is left, so nobody needs the answer.
            execution.task.cancel()
            del self._in_flight[query]

    async def _execute(self, query: Query, deadline: Deadline, execution: _Execution) -> QueryResult:
        requested_at = self._clock()
        try:
            answer = await self._request(query, deadline, execution)
            if failure := _reject_answer(query, answer) or _too_long(query, answer, MAX_SERIES, _MANY_SERIES):
                result = QueryResult(requested_at, failure=failure)
            else:
                at = answer.series[0].at if answer.series else None
                result = QueryResult(requested_at, query.extract(answer), at, pace=self._pace(query, answer, execution))
        except asyncio.CancelledError:
            if query.custom and deadline.expired:
                self._results[query] = self._failed(query, requested_at, _timeout_failure(query, execution))
            raise
        except _ThrottledError as error:
            result = self._throttled(query, requested_at, error.seconds)
        except Exception as error:
            result = self._failed(query, requested_at, _failure(query, error, execution))
        self._results[query] = result
        return result

    def _pace(self, query: Query, answer: Answer, execution: _Execution) -> Pace:
        """How often a query is sent after one more answer."""
        if not query.paced:
            return FASTEST
        before = self._results.get(query)
        latency = execution.wire_seconds if answer.seconds is None else answer.seconds
        used = self._limits[query.source].seconds.used(query.namespace)
        return next_pace(before.pace if before is not None else FASTEST, latency, used)

    def _failed(self, query: Query, requested_at: float, failure: QueryFailure) -> QueryResult:
        """The result of a failed query. A custom query that keeps timing out gets a back-off."""
        before = self._results.get(query)
        timeouts, backoff_until = before.consecutive_timeouts if before is not None else 0, 0.0
        if failure.reason == reasons.SOURCE_BUSY:
            self._on_custom(query.source, "busy")
        if query.custom and failure.reason == reasons.SOURCE_TIMED_OUT and self._source_responds(query.source):
            timeouts += 1
            if pause := backoff.backoff(timeouts):
                message = f"{failure.message}: timed out {timeouts} times in a row; "
                message += f"next attempt in {format_duration(pause)}"
                failure, backoff_until = QueryFailure(failure.reason, message), self._clock() - requested_at + pause
        return QueryResult(
            requested_at,
            failure=failure,
            consecutive_timeouts=timeouts,
            backoff_until=backoff_until,
            pace=before.pace if before is not None else FASTEST,
        )

    def _throttled(self, query: Query, requested_at: float, seconds: float) -> QueryResult:
        self._on_custom(query.source, "throttled")
        before = self._results.get(query)
        per_minute = self._limits[query.source].seconds.per_minute
        failure = QueryFailure(
            reasons.QUERY_BUDGET_SPENT,
            f"the custom queries of namespace {query.namespace} have used their {per_minute:g} query seconds "
            f"per minute at metric source {query.source!r} and resume in {format_duration(ceil(seconds))}; "
            "make the queries cheaper or the interval longer",
        )
        timeouts = before.consecutive_timeouts if before is not None else 0
        return QueryResult(
            requested_at,
            failure=failure,
            consecutive_timeouts=timeouts,
            backoff_until=self._clock() - requested_at + seconds,
            pace=before.pace if before is not None else FASTEST,
        )

    def _source_responds(self, source: str) -> bool:
        """Whether the source has answered any query recently, so that a time-out is caused by the query."""
        since = self._clock() - backoff.ANSWERED_SECONDS
        return self._breakers is not None and self._breakers.answered(source, since)

    async def _request(self, query: Query, deadline: Deadline, execution: _Execution) -> Answer:
        source = self._source(query)
        limits = self._limits_of(source)
        promql = await self._restricted(query, execution) if query.label or query.matchers else query.promql

        async def send_query() -> Answer:
            return await self._timed(query, limits, execution, source.query(promql, deadline=deadline))

        attempts = 0

        async def attempt() -> Answer:
            nonlocal attempts
            async with self._slot(query, limits):
                attempts += 1
                if self._breakers is None:
                    return await send_query()
                try:
                    return await self._breakers.call(
                        query.source,
                        send_query,
                        deadline,
                        custom=query.custom,
                        is_retry=attempts > 1,
                        had_fair_time=lambda: execution.had_fair_time,
                    )
                except TryAgain as error:
                    if query.custom and error.reason == "timeout" and self._source_responds(query.source):
                        # The query is too expensive. An immediate retry would cost as much again.
                        raise DeadlineExceeded(
                            error.message, dependency=error.dependency, reason=error.reason
                        ) from None
                    raise

        return await self._retry.call(attempt, deadline=deadline, dependency=f"prometheus/{query.source}")

    async def _timed(self, query: Query, limits: _Limits, execution: _Execution, sending: Awaitable[Answer]) -> Answer:
        """Send one attempt. Its time counts as used by the query, and, of a custom one, by its namespace."""
        execution.start_attempt()
        try:
            return await sending
        finally:
            elapsed = execution.end_attempt()
            if query.custom:
                limits.seconds.spend(query.namespace, elapsed)
                self._on_custom(query.source, "sent")

    async def _restricted(self, query: Query, execution: _Execution) -> str:
        """The text of a query with the matchers of its tenant and its source. Raises TemplateError."""
        execution.checking = True
        promql = query.promql
        for label, value in query.matchers:
            promql = await self._rewriter.enforce(promql, label, value)
        if query.label:
            for other in query.companions:
                await self._rewriter.enforce(other, query.label, query.namespace)
            promql = await self._rewriter.enforce(promql, query.label, query.namespace)
        execution.checking = False
        return promql

    @asynccontextmanager
    async def _slot(self, query: Query, limits: _Limits) -> AsyncIterator[None]:
        """Hold a slot at the source. Raises _ThrottledError."""
        if not query.custom:
            async with limits.all:
                yield
            return
        namespace, seconds = query.namespace, limits.seconds
        if wait := seconds.wait(namespace):
            raise _ThrottledError(wait)
        async with limits.custom.acquire(namespace), limits.all:
            if wait := seconds.wait(namespace):  # spent by other queries of the namespace meanwhile
                raise _ThrottledError(wait)
            yield

    def _limits_of(self, source: MetricSource) -> _Limits:
        found = self._limits.get(source.name)
        if found is None:
            admission = max(1, getattr(source, "concurrency", 4))
            found = self._limits[source.name] = _Limits(
                asyncio.Semaphore(admission),
                FairSlots(max(1, admission - 1), max(1, admission // 2)),
                QuerySeconds(getattr(source, "query_seconds_per_minute", PER_MINUTE), self._clock),
            )
        return found

    def _sweep(self, now: float) -> None:
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = now
            self._results = {
                q: r
                for q, r in self._results.items()
                if now - r.requested_at < _KEEP_SECONDS + q.refresh + r.backoff_until
            }


def _acceptable(result: QueryResult, max_age: float) -> float:
    return max_age if result.failure is None else max(result.backoff_until, min(max_age, _KEEP_FAILURE_SECONDS))


def _reject_answer(query: Query, answer: Answer) -> QueryFailure | None:
    """Why an answer cannot be used, whatever its length; None if it can."""
    if answer.warnings:
        return QueryFailure(
            reasons.PARTIAL_ANSWER,
            f"metric source {query.source!r} returned a partial answer: {'; '.join(answer.warnings)}",
        )
    if query.namespace and query.extract is raw_series and any(NATIVE in labels for labels, _, _ in answer.series):
        return QueryFailure(
            reasons.BAD_QUERY, "the query returns a native histogram: return a quantile or a rate of it"
        )
    return None


def _too_long(query: Query, answer: Answer, most: int, text: str) -> QueryFailure | None:
    """Why the answer to a custom query is too long; None if it is not. text: takes the length."""
    if not query.custom or len(answer.series) <= most:
        return None
    return QueryFailure(reasons.BAD_ANSWER, text.format(len(answer.series)))


def _failure(query: Query, error: Exception, execution: _Execution) -> QueryFailure:
    if isinstance(error, TemplateError):
        return QueryFailure(reasons.BAD_QUERY, str(error))
    if isinstance(error, RewriterUnavailableError):
        return QueryFailure(reasons.INTERNAL_ERROR, f"the query could not be checked and was not sent: {error}")
    failure = failure_from_exception(error, query.source)
    if failure.reason == reasons.SOURCE_TIMED_OUT and query.custom and not execution.had_fair_time:
        return _timeout_failure(query, execution)
    return failure


def _timed_out(query: Query, execution: _Execution, requested_at: float) -> QueryResult:
    return QueryResult(requested_at, failure=_timeout_failure(query, execution))


def _timeout_failure(query: Query, execution: _Execution) -> QueryFailure:
    """Why there is no result by the deadline."""
    if not query.custom or execution.had_fair_time:
        return QueryFailure(reasons.SOURCE_TIMED_OUT, f"metric source {query.source!r} did not answer in time")
    if execution.checking:
        return QueryFailure(
            reasons.SOURCE_BUSY, "the query was not sent: it is queued behind others to be checked; it will be retried"
        )
    return QueryFailure(
        reasons.SOURCE_BUSY,
        f"the query waited too long for a free slot at metric source {query.source!r}, behind other custom queries; "
        "it will be retried",
    )
