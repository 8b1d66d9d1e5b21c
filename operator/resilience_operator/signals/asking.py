"""Asking sources: equal questions once, few at a time, within the deadline, and never an exception.

Policies are evaluated at their own times, spread over the interval; what they ask is often the same. A
question under way is shared by all who ask it (single flight), an answer by all who accept its age. A policy's own
query that takes too long time after time is left alone for a while (`heavy`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

from resilience_operator.api.quantities import format_duration
from resilience_operator.resilience.deadline import Clock, Deadline
from resilience_operator.resilience.errors import Expired, TryAgain
from resilience_operator.resilience.retry import Retry, RetryPolicy
from resilience_operator.signals import heavy, reasons
from resilience_operator.signals.breakers import Breakers
from resilience_operator.signals.registry import Sources
from resilience_operator.signals.source import Answer, MetricSource
from resilience_operator.signals.unanswered import Failure, SourceNotFoundError, failure_of

Digest = Callable[[Answer], Any]
"""Makes of an answer what is kept of it. Pure; part of the question's identity, so it must be a module's
function.
"""

_KEEP_SECONDS = 60.0
_KEEP_FAILURE_SECONDS = 1.0
"""A failure is shared by those who ask at about the same time, and no longer."""

_SWEEP_SECONDS = 10.0

_PATIENCE = 0.25
"""Seconds that the replies which are there wait for others, so that they can be dealt with together."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of whom. own: it is a policy's own query, not one that serves many."""

    source: str
    promql: str
    digest: Digest
    own: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a question.

    asked: monotonic seconds. at: seconds since the epoch by the source's clock, None when no series came.
    value: what the digest made, None after a failure. late: how many times it was too heavy to be answered since it
    last was. stands: seconds from `asked` for which, after a failure, it is left alone.
    """

    asked: float
    value: Any = None
    at: float | None = None
    failure: Failure | None = None
    late: int = 0
    stands: float = 0.0


class _Places(NamedTuple):
    """How many may ask a source at once. One place is kept from policies' own queries, which may be of any cost."""

    all: asyncio.Semaphore
    own: asyncio.Semaphore


class Desk:
    """Where questions are put. One for the process."""

    def __init__(
        self,
        sources: Sources,
        *,
        retry: Retry | None = None,
        breakers: Breakers | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._sources = sources
        self._retry = retry or Retry(RetryPolicy(base=0.1, cap=2.0, attempts=3))
        self._breakers = breakers
        self._clock = clock
        self._replies: dict[Question, Reply] = {}
        self._flights: dict[Question, asyncio.Task[Reply]] = {}
        self._waiting: dict[Question, int] = {}
        self._limits: dict[str, _Places] = {}
        self._swept = clock()

    async def ask(
        self, questions: Iterable[Question], *, deadline: Deadline, max_age: float, shared_age: float = 0.0
    ) -> AsyncGenerator[Mapping[Question, Reply], None]:
        """The replies so far, once all are there and now and then until; by the deadline there is one to each question.

        shared_age will do, if more, where one serves many.
        """
        replies: dict[Question, Reply] = {}
        flights: dict[Question, asyncio.Task[Reply]] = {}
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
                flights[question] = self._join(question, deadline)
        try:
            while flights and (left := deadline.remaining()) > 0:
                await asyncio.wait(flights.values(), timeout=min(left, _PATIENCE))
                landed = [question for question, task in flights.items() if task.done()]
                for question in landed:
                    task = flights.pop(question)
                    self._leave(question, task)
                    replies[question] = _late(question, now) if task.cancelled() else task.result()
                if landed and flights:
                    yield replies
        finally:
            for question, task in flights.items():
                self._leave(question, task)
        yield replies | {question: _late(question, now) for question in flights}

    def _join(self, question: Question, deadline: Deadline) -> asyncio.Task[Reply]:
        task = self._flights.get(question)
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(self._fly(question, deadline))
            self._flights[question] = task
            self._waiting[question] = 0
        self._waiting[question] += 1
        return task

    def _leave(self, question: Question, task: asyncio.Task[Reply]) -> None:
        if self._flights.get(question) is not task:
            return
        self._waiting[question] -= 1
        if task.done() or self._waiting[question] == 0:
            # The last who waited is gone: nobody needs the answer.
            task.cancel()
            del self._flights[question], self._waiting[question]

    async def _fly(self, question: Question, deadline: Deadline) -> Reply:
        asked = self._clock()
        try:
            answer = await self._answer(question, deadline)
            if answer.warnings:
                failure = Failure(
                    reasons.PARTIAL_ANSWER,
                    f"metric source {question.source!r} answered only in part: {'; '.join(answer.warnings)}",
                )
                reply = Reply(asked, failure=failure)
            else:
                at = answer.series[0].at if answer.series else None
                reply = Reply(asked, question.digest(answer), at)
        except asyncio.CancelledError:
            if question.own and deadline.expired:
                self._replies[question] = self._failed(question, asked, _overdue(question))
            raise
        except Exception as error:
            reply = self._failed(question, asked, failure_of(error, question.source))
        self._replies[question] = reply
        return reply

    def _failed(self, question: Question, asked: float, failure: Failure) -> Reply:
        """The reply after a failure; a query that is too heavy again and again is given a rest."""
        before = self._replies.get(question)
        late, stands = before.late if before is not None else 0, 0.0
        if question.own and failure.reason == reasons.SOURCE_TIMED_OUT and self._answers(question.source):
            late += 1
            if rest := heavy.rest(late):
                told = f"{failure.message}: {late} times in a row, so it is not asked again for {format_duration(rest)}"
                failure, stands = Failure(failure.reason, told), self._clock() - asked + rest
        return Reply(asked, failure=failure, late=late, stands=stands)

    def _answers(self, source: str) -> bool:
        """Whether the source has answered somebody of late, so that a time-out speaks of what was asked."""
        since = self._clock() - heavy.ANSWERED_SECONDS
        return self._breakers is not None and self._breakers.answered(source, since)

    async def _answer(self, question: Question, deadline: Deadline) -> Answer:
        source = self._sources.find(question.source)
        if source is None:
            raise SourceNotFoundError(
                f"metric source {question.source!r} is not configured; there are: "
                f"{', '.join(self._sources.names) or 'none'}"
            )
        places = self._places(source)

        async def ask() -> Answer:
            return await source.query(question.promql, deadline=deadline)

        attempts = 0

        async def attempt() -> Answer:
            nonlocal attempts
            async with places.own if question.own else nullcontext(), places.all:
                attempts += 1
                if self._breakers is None:
                    return await ask()
                try:
                    return await self._breakers.call(
                        question.source, ask, deadline, own=question.own, again=attempts > 1
                    )
                except TryAgain as error:
                    if question.own and error.reason == "timeout" and self._answers(question.source):
                        # Too heavy: at once again would be as much once more.
                        raise Expired(error.message, dependency=error.dependency, reason=error.reason) from None
                    raise

        return await self._retry.call(attempt, deadline=deadline, dependency=f"prometheus/{question.source}")

    def _places(self, source: MetricSource) -> _Places:
        found = self._limits.get(source.name)
        if found is None:
            concurrency = max(1, getattr(source, "concurrency", 4))
            found = _Places(asyncio.Semaphore(concurrency), asyncio.Semaphore(max(1, concurrency - 1)))
            self._limits[source.name] = found
        return found

    def _sweep(self, now: float) -> None:
        if now - self._swept >= _SWEEP_SECONDS:
            self._swept = now
            self._replies = {q: r for q, r in self._replies.items() if now - r.asked < _KEEP_SECONDS + r.stands}


def _acceptable(reply: Reply, max_age: float) -> float:
    return max_age if reply.failure is None else max(reply.stands, min(max_age, _KEEP_FAILURE_SECONDS))


def _late(question: Question, asked: float) -> Reply:
    return Reply(asked, failure=_overdue(question))


def _overdue(question: Question) -> Failure:
    return Failure(reasons.SOURCE_TIMED_OUT, f"metric source {question.source!r} did not answer in time")
