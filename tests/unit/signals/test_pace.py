"""How often a custom query is sent: by its latency, and by its namespace's query seconds."""

from __future__ import annotations

import pytest

from resilience_operator.api.v1alpha1 import parse_policy
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.query.pace import FAST, SLOW, SLOWEST, Pace, next_pace
from resilience_operator.signals.sources.protocol import Answer, Series
from tests.unit.signals.test_collector import NOW, Clock, Recorded, collect, collector


def after(*latencies: float, used: float = 0.0) -> Pace:
    pace = Pace()
    for latency in latencies:
        pace = next_pace(pace, latency, used)
    return pace


@pytest.mark.parametrize(
    ("latencies", "used", "seconds"),
    [
        ((), 0.0, FAST),
        ((0.02,), 0.0, FAST),
        ((0.1,), 0.0, FAST),
        ((0.3,), 0.0, SLOW),
        ((0.02, 0.02, 0.2), 0.0, FAST),
        ((0.02, 0.02, 0.2, 0.2, 0.2), 0.0, SLOW),
        ((0.2, 0.09, 0.09, 0.09, 0.09, 0.09, 0.09, 0.09, 0.09), 0.0, SLOW),
        ((0.2, *[0.02] * 8), 0.0, FAST),
        ((0.02,), 0.3, SLOW),
        ((0.02,), 0.6, SLOWEST),
        ((0.5,), 1.0, SLOWEST),
    ],
)
def test_paces(latencies: tuple[float, ...], used: float, seconds: float) -> None:
    pace = after(*latencies, used=used)
    assert pace.seconds == seconds
    assert bool(pace.note) is (seconds > FAST)


def test_a_budget_that_is_just_low_enough_does_not_alternate() -> None:
    slow = after(0.02, used=0.26)
    assert next_pace(slow, 0.02, 0.24).seconds == SLOW
    assert next_pace(slow, 0.02, 0.1).seconds == FAST


class Stage:
    """A policy with a custom query that is evaluated every 5 s. seconds: how long the source takes."""

    def __init__(self, seconds: float, *, paced: bool = True) -> None:
        self.clock, self.seconds = Clock(), seconds
        self.source = Recorded(lambda query: Answer([Series({}, 7.0, NOW)], seconds=self.seconds))
        self.collector: SignalCollector = collector(self.source, clock=self.clock)
        signal = Signal("own", query="sum(x)", paced=paced)
        self.request = SignalRequest("shop", "web", "Deployment", {"web-1": "1"}, signal)
        self.notes: set[str] = set()

    async def look(self, times: int) -> int:
        """How often the query was sent in so many evaluations."""
        before, self.notes = len(self.source.asked), set()
        for _ in range(times):
            [found] = await collect(self.collector, self.request, max_age=0.5)
            assert found.measured and found.measured.value == 7.0
            self.notes.add(found.note)
            self.clock.now += 5.0
        return len(self.source.asked) - before


async def test_a_fast_query_is_sent_at_each_evaluation() -> None:
    stage = Stage(0.05)
    assert await stage.look(12) == 12
    assert stage.notes == {""}


async def test_a_slow_query_is_sent_every_15_seconds_and_the_status_says_so() -> None:
    stage = Stage(0.4)
    assert await stage.look(12) == 4
    assert stage.notes == {"queried every 15s, because its metric source takes more than 100ms to answer"}
    stage.seconds = 0.01
    await stage.look(30)
    assert await stage.look(6) == 6
    assert stage.notes == {""}


async def test_a_policy_with_an_interval_of_its_own_is_asked_at_each() -> None:
    stage = Stage(0.4, paced=False)
    assert await stage.look(12) == 12


def test_the_default_interval() -> None:
    from resilience_operator.api.spec import interval_of

    document = {
        "apiVersion": "resilience-operator.io/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "web"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "signals": [{"name": "queue", "query": "sum(x)"}],
            "rules": [{"name": "a", "when": {"signal": "queue", "above": 1}, "then": [{"alert": {}}]}],
        },
    }
    assert interval_of(parse_policy(document).spec) == FAST
