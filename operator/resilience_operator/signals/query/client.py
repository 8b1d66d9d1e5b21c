"""Asking sources: equal questions once, few at a time, within the deadline, and never an exception.

Policies are evaluated at their own times, spread over the interval; what they ask is often the same. A
question under way is shared by all who ask it (single flight), an answer by all who accept its age.

Custom queries may cost whatever their author likes. So namespaces take turns (`slots`), each has a budget of query
seconds (`query_seconds`), and a query that times out again and again is sent less often (`heavy`). Only time on the
wire counts against a query: one that waited for a place is `SourceBusy`, and neither slow nor late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

from resilience_operator.api.quantities import format_duration
from resilience_operator.promql.errors import TemplateError
from resilience_operator.resilience.deadline import Clock, Deadline
from resilience_operator.resilience.errors import DeadlineExceeded, TryAgain
from resilience_operator.resilience.retry import Retry, RetryPolicy
from resilience_operator.signals import reasons
from resilience_operator.signals.query import backoff as heavy
from resilience_operator.signals.query.breakers import SourceBreakers
from resilience_operator.signals.query.errors import QueryFailure, SourceNotFoundError, failure_of
from resilience_operator.signals.query.query_seconds import PER_MINUTE, QuerySeconds
from resilience_operator.signals.query.rewriter import Rewriter, RewriterUnavailableError
from resilience_operator.signals.query.slots import FairSlots
from resilience_operator.signals.sources.protocol import Answer, MetricSource
from resilience_operator.signals.sources.registry import SourceRegistry

Extractor = Callable[[Answer], Any]
"""Makes of an answer what is kept of it. Pure; part of the question's identity, so it must be a module's
function.
"""

_KEEP_SECONDS = 60.0
_KEEP_FAILURE_SECONDS = 1.0
"""A failure is shared by those who ask at about the same time, and no longer."""

_SWEEP_SECONDS = 10.0

COALESCE_WINDOW = 0.25
"""Seconds that the replies which are there wait for others, so that they can be dealt with together."""


MAX_SERIES = 10_000
"""Series of an answer to a custom query: one is asked for, or one per pod."""

OnCustom = Callable[[str, str], None]
"""Called with (source, result) of a custom query: `sent`, `busy` (no place in time) or `throttled` (budget spent)."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of whom.

    own: it is asked on the account of one namespace, `namespace`, and not for many. label: the label by which its
    selectors are held to that namespace before it is sent; empty where they are not. with_: what must be held to it
    too for this to be sent, since the answers are of use only together.
    """

    source: str
    promql: str
    extract: Extractor
    own: bool = False
    namespace: str = ""
    label: str = ""
    with_: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What came of a question.

    asked: monotonic seconds. at: seconds since the epoch by the source's clock, None when no series came.
    value: what the digest made, None after a failure. late: how many times it was too heavy to be answered since it
    last was. stands: seconds from `asked` for which, after a failure, it is left alone.
    """

    asked: float
    value: Any = None
    at: float | None = None
    failure: QueryFailure | None = None
    consecutive_timeouts: int = 0
    backoff_until: float = 0.0


class _ThrottledError(Exception):
    """The namespace has spent its query seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class _Limits(NamedTuple):
    """What bounds the queries of one source: `all` of them, and the custom ones.

    One place is kept from custom queries, and one namespace has at most half of the places.
    """

    all: asyncio.Semaphore
    custom: FairSlots
    seconds: QuerySeconds


class _Execution:
    """A question under way: how much of its time it waited, and how much it was on the wire. Seconds."""

    __slots__ = ("_began", "_clock", "_sent", "_was_sent", "_wire", "checking", "task", "waiting")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock()
        self._sent: float | None = None
        self._wire = 0.0
        self._was_sent = False
        self.checking = False
        self.task: asyncio.Task[QueryResult]
        self.waiting = 0

    def send(self) -> None:
        self._sent, self._was_sent = self._clock(), True

    def back(self) -> float:
        """End the time on the wire. Gives what this attempt took."""
        assert self._sent is not None
        took, self._sent = self._clock() - self._sent, None
        self._wire += took
        return took

    @property
    def wire(self) -> float:
        return self._wire + (self._clock() - self._sent if self._sent is not None else 0.0)

    @property
    def waited(self) -> float:
        return self._clock() - self._began - self.wire

    @property
    def had_its_time(self) -> bool:
        """Whether it was on the wire for at least as long as it waited, so that a time-out is its own."""
        return self._was_sent and self.wire >= self.waited


class QueryClient:
    """Executes queries for the whole process: shares equal ones, keeps answers for a while, limits concurrency."""

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
        self._replies: dict[Query, QueryResult] = {}
        self._in_flight: dict[Query, _Execution] = {}
        self._limits: dict[str, _Limits] = {}
        self._swept = clock()

    async def close(self) -> None:
        """End what runs beside the event loop."""
        await self._rewriter.close()

    async def fetch(
        self, questions: Iterable[Query], *, deadline: Deadline, max_age: float, shared_age: float = 0.0
    ) -> AsyncGenerator[Mapping[Query, QueryResult], None]:
        """The replies so far, once all are there and now and then until; by the deadline there is one to each question.

        shared_age will do, if more, where one serves many.
        """
        replies: dict[Query, QueryResult] = {}
        flights: dict[Query, _Execution] = {}
        now = self._clock()
        self._sweep(now)
        for question in questions:
            if question in replies or question in flights:
                continue
            reply = self._replies.get(question)
            age = max_age if question.own else max(max_age, shared_age)
            if reply is not None and now - reply.asked <= _acceptable(reply, age):
                replies[question] = reply
            else:
                flights[question] = self._subscribe(question, deadline)
        try:
            while flights and (left := deadline.remaining()) > 0:
                await asyncio.wait([flight.task for flight in flights.values()], timeout=min(left, COALESCE_WINDOW))
                landed = [question for question, flight in flights.items() if flight.task.done()]
                for question in landed:
                    flight = flights.pop(question)
                    self._unsubscribe(question, flight)
                    late = flight.task.cancelled()
                    replies[question] = _late(question, flight, now) if late else flight.task.result()
                if landed and flights:
                    yield replies
        finally:
            overdue = {question: _late(question, flight, now) for question, flight in flights.items()}
            for question, flight in flights.items():
                self._unsubscribe(question, flight)
        yield replies | overdue

    def _subscribe(self, question: Query, deadline: Deadline) -> _Execution:
        flight = self._in_flight.get(question)
        if flight is None or flight.task.done():
            flight = self._in_flight[question] = _Execution(self._clock)
            flight.task = asyncio.get_running_loop().create_task(self._execute(question, deadline, flight))
        flight.waiting += 1
        return flight

    def _unsubscribe(self, question: Query, flight: _Execution) -> None:
        if self._in_flight.get(question) is not flight:
            return
        flight.waiting -= 1
        if flight.task.done() or flight.waiting == 0:
            # The last who waited is gone: nobody needs the answer.
            flight.task.cancel()
            del self._in_flight[question]

    async def _execute(self, question: Query, deadline: Deadline, flight: _Execution) -> QueryResult:
        asked = self._clock()
        try:
            answer = await self._answer(question, deadline, flight)
            if failure := _unusable(question, answer):
                reply = QueryResult(asked, failure=failure)
            else:
                at = answer.series[0].at if answer.series else None
                reply = QueryResult(asked, question.extract(answer), at)
        except asyncio.CancelledError:
            if question.own and deadline.expired:
                self._replies[question] = self._failed(question, asked, _overdue(question, flight))
            raise
        except _ThrottledError as error:
            reply = self._throttled(question, asked, error.seconds)
        except Exception as error:
            reply = self._failed(question, asked, _failure(question, error, flight))
        self._replies[question] = reply
        return reply

    def _failed(self, question: Query, asked: float, failure: QueryFailure) -> QueryResult:
        """The reply after a failure. A custom query that times out again and again is sent less often."""
        before = self._replies.get(question)
        late, stands = before.consecutive_timeouts if before is not None else 0, 0.0
        if failure.reason == reasons.SOURCE_BUSY:
            self._on_custom(question.source, "busy")
        if question.own and failure.reason == reasons.SOURCE_TIMED_OUT and self._answers(question.source):
            late += 1
            if rest := heavy.backoff(late):
                told = f"{failure.message}: {late} times in a row, so it is not asked again for {format_duration(rest)}"
                failure, stands = QueryFailure(failure.reason, told), self._clock() - asked + rest
        return QueryResult(asked, failure=failure, consecutive_timeouts=late, backoff_until=stands)

    def _throttled(self, question: Query, asked: float, seconds: float) -> QueryResult:
        self._on_custom(question.source, "throttled")
        before = self._replies.get(question)
        per_minute = self._limits[question.source].seconds.per_minute
        failure = QueryFailure(
            reasons.QUERY_BUDGET_SPENT,
            f"the custom queries of namespace {question.namespace} have used their {per_minute:g} query seconds a "
            f"minute of metric source {question.source!r}: they are sent again in {format_duration(ceil(seconds))}; "
            "make them cheaper, or the interval longer",
        )
        late = before.consecutive_timeouts if before is not None else 0
        return QueryResult(
            asked, failure=failure, consecutive_timeouts=late, backoff_until=self._clock() - asked + seconds
        )

    def _answers(self, source: str) -> bool:
        """Whether the source has answered somebody of late, so that a time-out speaks of what was asked."""
        since = self._clock() - heavy.ANSWERED_SECONDS
        return self._breakers is not None and self._breakers.answered(source, since)

    async def _answer(self, question: Query, deadline: Deadline, flight: _Execution) -> Answer:
        source = self._sources.find(question.source)
        if source is None:
            raise SourceNotFoundError(
                f"metric source {question.source!r} is not configured; there are: "
                f"{', '.join(self._sources.names) or 'none'}"
            )
        limits = self._limits_of(source)
        promql = question.promql
        if question.label:
            flight.checking = True
            for other in question.with_:
                await self._rewriter.enforce(other, question.label, question.namespace)
            promql = await self._rewriter.enforce(promql, question.label, question.namespace)
            flight.checking = False

        async def ask() -> Answer:
            flight.send()
            try:
                return await source.query(promql, deadline=deadline)
            finally:
                took = flight.back()
                if question.own:
                    limits.seconds.spend(question.namespace, took)
                    self._on_custom(question.source, "sent")

        attempts = 0

        async def attempt() -> Answer:
            nonlocal attempts
            async with self._place(question, limits):
                attempts += 1
                if self._breakers is None:
                    return await ask()
                try:
                    return await self._breakers.call(
                        question.source,
                        ask,
                        deadline,
                        own=question.own,
                        again=attempts > 1,
                        fair=lambda: flight.had_its_time,
                    )
                except TryAgain as error:
                    if question.own and error.reason == "timeout" and self._answers(question.source):
                        # Too heavy: at once again would be as much once more.
                        raise DeadlineExceeded(
                            error.message, dependency=error.dependency, reason=error.reason
                        ) from None
                    raise

        return await self._retry.call(attempt, deadline=deadline, dependency=f"prometheus/{question.source}")

    @asynccontextmanager
    async def _place(self, question: Query, limits: _Limits) -> AsyncIterator[None]:
        """Wait for a place at the source. Raises _ThrottledError."""
        if not question.own:
            async with limits.all:
                yield
            return
        namespace, seconds = question.namespace, limits.seconds
        if wait := seconds.wait(namespace):
            raise _ThrottledError(wait)
        async with limits.custom.acquire(namespace), limits.all:
            if wait := seconds.wait(namespace):  # spent by others of the namespace meanwhile
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
        if now - self._swept >= _SWEEP_SECONDS:
            self._swept = now
            self._replies = {q: r for q, r in self._replies.items() if now - r.asked < _KEEP_SECONDS + r.backoff_until}


def _acceptable(reply: QueryResult, max_age: float) -> float:
    return max_age if reply.failure is None else max(reply.backoff_until, min(max_age, _KEEP_FAILURE_SECONDS))


def _unusable(question: Query, answer: Answer) -> QueryFailure | None:
    """Why an answer is not used."""
    if answer.warnings:
        return QueryFailure(
            reasons.PARTIAL_ANSWER,
            f"metric source {question.source!r} answered only in part: {'; '.join(answer.warnings)}",
        )
    if question.own and len(answer.series) > MAX_SERIES:
        return QueryFailure(
            reasons.BAD_ANSWER,
            f"the query answers {len(answer.series)} series: write one that answers one series, or one per pod",
        )
    return None


def _failure(question: Query, error: Exception, flight: _Execution) -> QueryFailure:
    if isinstance(error, TemplateError):
        return QueryFailure(reasons.BAD_QUERY, str(error))
    if isinstance(error, RewriterUnavailableError):
        return QueryFailure(reasons.INTERNAL_ERROR, f"the query could not be checked and was not sent: {error}")
    failure = failure_of(error, question.source)
    if failure.reason == reasons.SOURCE_TIMED_OUT and question.own and not flight.had_its_time:
        return _overdue(question, flight)
    return failure


def _late(question: Query, flight: _Execution, asked: float) -> QueryResult:
    return QueryResult(asked, failure=_overdue(question, flight))


def _overdue(question: Query, flight: _Execution) -> QueryFailure:
    """Why there was no reply by the deadline."""
    if not question.own or flight.had_its_time:
        return QueryFailure(reasons.SOURCE_TIMED_OUT, f"metric source {question.source!r} did not answer in time")
    if flight.checking:
        return QueryFailure(
            reasons.SOURCE_BUSY, "the query was not sent: it waits to be checked behind others; it is tried again"
        )
    return QueryFailure(
        reasons.SOURCE_BUSY,
        f"the query waited too long for a place at metric source {question.source!r}, where other custom queries of "
        "its namespace or of others were under way; it is tried again",
    )
