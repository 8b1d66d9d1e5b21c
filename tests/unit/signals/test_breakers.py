"""What counts as slow: the source's time, not what reading its answer took here."""

from __future__ import annotations

import itertools

import pytest

from resilience_operator.resilience.breaker import BreakerSettings, State
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.signals.query.breakers import SourceBreakers
from resilience_operator.signals.sources.protocol import Answer


@pytest.mark.parametrize(
    ("told", "passed", "state"),
    [(0.1, 3.0, State.CLOSED), (3.0, 3.0, State.OPEN), (None, 3.0, State.OPEN), (None, 0.1, State.CLOSED)],
)
async def test_an_answer_that_tells_its_time_is_believed(told: float | None, passed: float, state: State) -> None:
    moments = itertools.count(1000.0, passed)
    breakers = SourceBreakers(BreakerSettings(minimum_calls=4), clock=lambda: next(moments))

    async def ask() -> Answer:
        return Answer((), seconds=told)

    for _ in range(4):
        await breakers.call("default", ask, Deadline.after(600))
    assert breakers.all["default"].state is state
