"""From a batch of signal requests to what is found of each: asks what is planned, and hands the replies on."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing

from resilience_operator.decision.model.observation import Observation
from resilience_operator.resilience.deadline import Clock, Deadline
from resilience_operator.resilience.retry import Retry
from resilience_operator.signals import reasons
from resilience_operator.signals.asking import Desk, OnCustom, Question, Reply
from resilience_operator.signals.breakers import Breakers
from resilience_operator.signals.crowds import Crowds
from resilience_operator.signals.findings import Findings
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.planning import ALL_PARTS, Group, Groups, Planner
from resilience_operator.signals.presets import Families, load_families
from resilience_operator.signals.registry import Sources

_DEFAULT_SKEW_SECONDS = 60.0


class Collector:
    """Collects for a whole process, and remembers answers that are still fresh. crowds: who is asked about together."""

    def __init__(
        self,
        sources: Sources,
        families: Families | None = None,
        *,
        retry: Retry | None = None,
        breakers: Breakers | None = None,
        crowds: Crowds | None = None,
        clock: Clock = time.monotonic,
        on_custom: OnCustom = lambda source, result: None,
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._desk = Desk(sources, retry=retry, breakers=breakers, clock=clock, on_custom=on_custom)
        self._planner = Planner(sources, families or load_families(), crowds or Crowds())

    async def close(self) -> None:
        """End what runs beside the event loop."""
        await self._desk.close()

    def expect(self, requests: Sequence[SignalRequest]) -> None:
        """Tell which requests will come, so that the first grouped query already covers them all. No I/O."""
        self._planner.expect(requests, self._clock())

    async def collect(
        self,
        asked: Sequence[Sequence[SignalRequest]],
        *,
        now: float,
        deadline: Deadline,
        max_age: float = 0.0,
        shared_age: float = 0.0,
    ) -> AsyncGenerator[Iterator[tuple[int, Findings]], None]:
        """What is found of each policy, when all of its replies are there, with its number in `asked`. Those that are
        ready together come together. Never raises for a source.

        now: seconds since the epoch. deadline: when there must be an observation, if need be an unknown one.
        max_age: an answer asked for at most this many seconds ago is good enough. shared_age: the same, if it is more,
            for answers about many, which others ask for anyway.
        """
        started = self._clock()
        self._planner.cover([request for requests in asked for request in requests], started)
        groups: Groups = {}
        plans = [[self._planner.plan(request, now, groups, requests) for request in requests] for requests in asked]
        waiting = dict(enumerate(plans))
        unanswered = {id(p[1]): p[1] for one in plans for p in one if not isinstance(p, Observation)}
        questions = {question for group in unanswered.values() for question in group.questions.values()}
        async with aclosing(
            self._desk.ask(questions, deadline=deadline, max_age=max_age, shared_age=shared_age)
        ) as answers:
            async for replies in answers:
                for key, group in list(unanswered.items()):
                    if replies.keys() >= set(group.questions.values()):
                        self._settle(group, replies, now, started)
                        del unanswered[key]
                ready = [
                    n for n, one in waiting.items() if not unanswered or not any(id(p[1]) in unanswered for p in one)
                ]
                yield ((n, Findings(waiting.pop(n), now)) for n in ready)

    def _fault(self, question: Question, reply: Reply, now: float, started: float) -> tuple[str, str] | None:
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

    def _settle(self, group: Group, replies: Mapping[Question, Reply], now: float, started: float) -> None:
        """Work out once what the replies mean for all requests of a group."""
        group.at = now
        for part, question in group.questions.items():
            reply = replies[question]
            group.fault = group.fault or self._fault(question, reply, now, started)
            group.at = min(group.at, now if reply.at is None else reply.at)
            if part == ALL_PARTS:
                group.answers.update(reply.value or {})
            else:
                group.answers[part] = reply.value
