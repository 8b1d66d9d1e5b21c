"""A policy's own query that takes too long again and again is left alone for a while, and nobody else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resilience_operator.decision.model.observation import Observation
from resilience_operator.resilience.breaker import BreakerSettings
from resilience_operator.resilience.errors import TryAgain
from resilience_operator.resilience.retry import Retry, RetryPolicy
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.query import backoff as heavy
from resilience_operator.signals.query.breakers import SourceBreakers
from resilience_operator.signals.sources.protocol import Answer, Series
from resilience_operator.signals.sources.registry import SourceRegistry
from tests.unit.signals.test_collector import NOW, Clock, Recorded, ask, collect, shop

INTERVAL = 15.0
TOO_LONG = TryAgain("no complete response within 2 s", reason="timeout")


def heavy_beside_light(query: str) -> Answer | Exception:
    return TOO_LONG if "heavy" in query else shop(query)


class Stage:
    """A collector, and a clock that goes on by an interval at each look."""

    def __init__(self, answers: Callable[[str], Answer | Exception], *, attempts: int = 1, delay: float = 0.0) -> None:
        self.source, self.clock = Recorded(answers, delay=delay), Clock()
        self.began = self.clock.now
        self.asked: list[float] = []
        settings = BreakerSettings(minimum_calls=1000, window_calls=1000)
        self.collector = SignalCollector(
            SourceRegistry({"default": self.source}),
            retry=Retry(RetryPolicy(attempts=attempts, base=0)),
            breakers=SourceBreakers(settings, clock=self.clock),
            clock=self.clock,
        )

    async def look(self, query: str = "heavy", *, others: bool = True, seconds: float = 60.0) -> Observation:
        """What is found of the query, at the next interval; others: somebody else asks for a preset first."""
        if others:
            await collect(self.collector, ask(), max_age=1.0)
        before = self.source.asked.count(query)
        [found] = await collect(self.collector, ask("own", query=query), max_age=1.0, seconds=seconds)
        if self.source.asked.count(query) > before:
            self.asked.append(self.clock.now - self.began)
        self.clock.now += INTERVAL
        return found


@pytest.mark.parametrize(
    ("times", "seconds"), [(1, 0), (2, 0), (3, 30), (4, 60), (5, 120), (6, 240), (7, 480), (8, 600), (100_000, 600)]
)
def test_rests_grow(times: int, seconds: float) -> None:
    assert heavy.backoff(times) == seconds


async def test_it_is_asked_less_and_less() -> None:
    stage = Stage(heavy_beside_light)
    told = [await stage.look() for _ in range(80)]
    assert {observation.reason for observation in told} == {"SourceTimedOut"}
    # Each at the first look after its rest.
    assert stage.asked == [0, 15, 30, 75, 150, 285, 540, 1035]
    assert told[2].message.endswith("no complete response within 2 s: timed out 3 times in a row; next attempt in 30s")
    assert told[3].message == told[2].message, "as long as it rests, nothing new is told"


async def test_who_asks_for_less_is_asked_about_at_each_look() -> None:
    stage = Stage(heavy_beside_light)
    for _ in range(10):
        await stage.look()
        [errors] = await collect(stage.collector, ask(), max_age=1.0)
        [other] = await collect(stage.collector, ask("own", query="usage"), max_age=1.0)
        assert errors.measured
        assert other.measured
    assert stage.source.asked.count("usage") == 10


async def test_another_text_is_another_query() -> None:
    stage = Stage(heavy_beside_light)
    for _ in range(4):
        await stage.look()
    assert len(stage.asked) == 3
    assert (await stage.look("usage")).measured


async def test_an_answer_makes_it_a_query_like_any_other() -> None:
    stage = Stage(heavy_beside_light)
    for _ in range(4):
        await stage.look()
    stage.source.answers = lambda query: Answer([Series({}, 7, NOW)])
    while not (found := await stage.look()).measured:
        assert found.reason == "SourceTimedOut"
    stage.source.answers = heavy_beside_light
    stage.asked.clear()
    for _ in range(3):
        await stage.look()
    assert len(stage.asked) == 3


async def test_a_source_that_answers_nobody_is_asked_at_each_look() -> None:
    """Then it is the source that is slow, and what comes of it should be known as soon as it is back."""
    stage = Stage(lambda query: TOO_LONG)
    for _ in range(10):
        await stage.look(others=False)
    assert len(stage.asked) == 10


async def test_an_outage_is_no_fault_of_the_queries() -> None:
    stage = Stage(shop)
    await stage.look("usage")
    stage.source.answers = lambda query: TOO_LONG
    for _ in range(10):
        await stage.look("usage")
    assert len(stage.asked) == 11
    stage.source.answers = shop
    assert (await stage.look("usage")).measured


@pytest.mark.parametrize(("others", "asked"), [(True, 1), (False, 3)])
async def test_it_is_tried_again_at_once_only_if_the_source_is_to_blame(others: bool, asked: int) -> None:
    stage = Stage(heavy_beside_light, attempts=3)
    found = await stage.look(others=others)
    assert found.reason == "SourceTimedOut"
    assert "no complete response within 2 s" in found.message
    assert stage.source.asked.count("heavy") == asked


async def test_what_is_called_off_at_the_deadline_counts_too() -> None:
    stage = Stage(shop, delay=0.02)
    for _ in range(4):
        await collect(stage.collector, ask(), max_age=1.0)
        stage.source.delay = 5.0
        found = await stage.look("heavy", others=False, seconds=0.02)
        assert found.reason == "SourceTimedOut"
        stage.source.delay = 0.0
    assert len(stage.asked) == 3


async def test_other_failures_are_asked_about_at_each_look() -> None:
    stage = Stage(lambda query: TryAgain("x", reason="refused") if "heavy" in query else shop(query))
    for _ in range(10):
        assert (await stage.look()).reason == "SourceUnreachable"
    assert len(stage.asked) == 10
