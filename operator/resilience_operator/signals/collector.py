"""From a batch of signal requests to what is found of each: asks what is planned, and hands the replies on."""

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
from resilience_operator.signals.query.planner import ALL_PARTS, Groups, QueryGroup, QueryPlanner
from resilience_operator.signals.results import SignalResults
from resilience_operator.signals.sources.registry import SourceRegistry

_DEFAULT_SKEW_SECONDS = 60.0


class SignalCollector:
    """Collects for a whole process, and remembers answers that are still fresh. crowds: who is asked about together."""

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

    async def close(self) -> None:
        """End what runs beside the event loop."""
        await self._query_client.close()

    def expect(self, requests: Sequence[SignalRequest]) -> None:
        """Tell which requests will come, so that the first grouped query already covers them all. No I/O."""
        self._planner.register(requests, self._clock())

    async def collect(
        self,
        asked: Sequence[Sequence[SignalRequest]],
        *,
        now: float,
        deadline: Deadline,
        max_age: float = 0.0,
        shared_age: float = 0.0,
    ) -> AsyncGenerator[Iterator[tuple[int, SignalResults]], None]:
        """What is found of each policy, when all of its replies are there, with its number in `asked`. Those that are
        ready together come together. Never raises for a source.

        now: seconds since the epoch. deadline: when there must be an observation, if need be an unknown one.
        max_age: an answer asked for at most this many seconds ago is good enough. shared_age: the same, if it is more,
            for answers about many, which others ask for anyway.
        """
        started = self._clock()
        self._planner.widen_scopes([request for requests in asked for request in requests], started)
        groups: Groups = {}
        plans = [[self._planner.plan(request, now, groups, requests) for request in requests] for requests in asked]
        waiting = dict(enumerate(plans))
        unanswered = {id(p[1]): p[1] for one in plans for p in one if not isinstance(p, Observation)}
        questions = {question for group in unanswered.values() for question in group.queries.values()}
        async with aclosing(
            self._query_client.fetch(questions, deadline=deadline, max_age=max_age, shared_age=shared_age)
        ) as answers:
            async for replies in answers:
                for key, group in list(unanswered.items()):
                    if replies.keys() >= set(group.queries.values()):
                        self._settle(group, replies, now, started)
                        del unanswered[key]
                ready = [
                    n for n, one in waiting.items() if not unanswered or not any(id(p[1]) in unanswered for p in one)
                ]
                yield ((n, SignalResults(waiting.pop(n), now)) for n in ready)

    def _fault(self, question: Query, reply: QueryResult, now: float, started: float) -> tuple[str, str] | None:
        """Why a reply serves nobody: a reason and a sentence."""
        if reply.failure is not None:
            return reply.failure.reason, reply.failure.message
        if reply.at is None:
            return None
        # An instant query is evaluated at the server's own time: any other than ours means that a clock is
        # off.
        off = reply.at - (now + reply.asked - started)
        allowed = getattr(self._sources.find(question.source), "max_clock_skew", _DEFAULT_SKEW_SECONDS)
        if abs(off) <= allowed:
            return None
        side = "behind" if off < 0 else "ahead of"
        return (
            reasons.STALE,
            f"metric source {question.source!r} answers {abs(off):.0f} s {side} the operator's clock; "
            "set the clocks right",
        )

    def _settle(self, group: QueryGroup, replies: Mapping[Query, QueryResult], now: float, started: float) -> None:
        """Work out once what the replies mean for all requests of a group."""
        group.at = now
        for part, question in group.queries.items():
            reply = replies[question]
            group.fault = group.fault or self._fault(question, reply, now, started)
            group.at = min(group.at, now if reply.at is None else reply.at)
            if part == ALL_PARTS:
                group.answers.update(reply.value or {})
            else:
                group.answers[part] = reply.value
