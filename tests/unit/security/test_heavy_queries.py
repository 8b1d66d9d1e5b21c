"""A policy's custom query may cost whatever its author likes; it does not take the source from the others."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import pytest

from resilience_operator.resilience.breaker import BreakerSettings, State
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.resilience.errors import CallError, DeadlineExceeded, TryAgain
from resilience_operator.signals.query.breakers import ANSWERED_SECONDS, SourceBreakers
from resilience_operator.signals.query.errors import CircuitOpenError
from resilience_operator.signals.sources.protocol import Answer

Ask = Callable[[], Awaitable[Answer]]

LATE = TryAgain("no whole answer in time", reason="timeout")
EXPIRED = DeadlineExceeded("the deadline passed", reason="deadline")
RESET = TryAgain("connection reset", reason="reset")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """A source whose calls take a while and end as told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.breakers = SourceBreakers(BreakerSettings(minimum_calls=4), clock=self.clock)

    async def call(
        self, seconds: float, error: CallError | None = None, *, custom: bool = True, times: int = 1
    ) -> State:
        async def ask() -> Answer:
            self.clock.now += seconds
            if error is not None:
                raise error
            return Answer(())

        for _ in range(times):
            with contextlib.suppress(CallError, CircuitOpenError):
                await self.breakers.call("default", ask, Deadline.after(60, clock=self.clock), custom=custom)
        return self.breakers.all["default"].state


@pytest.mark.parametrize("error", [None, LATE, EXPIRED])
async def test_slow_queries_of_one_author_do_not_open_the_breaker(error: CallError | None) -> None:
    source = Source()
    await source.call(0.01, custom=False)
    assert await source.call(5.0, error, times=20) is State.CLOSED


@pytest.mark.parametrize("error", [LATE, EXPIRED])
async def test_a_source_that_answers_nobody_is_left_alone(error: CallError) -> None:
    source = Source()
    await source.call(0.01, custom=False)
    source.clock.now += ANSWERED_SECONDS + 1
    assert await source.call(5.0, error, times=4) is State.OPEN


async def test_a_source_that_fails_at_once_is_left_alone() -> None:
    source = Source()
    await source.call(0.01)
    assert await source.call(0.01, RESET, times=4) is State.OPEN


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_fails_over_one_author_s_query_is_not_left_alone(status: int) -> None:
    """What it answers others with is what counts: a query may make a server fail."""
    source = Source()
    await source.call(0.01, custom=False)
    assert await source.call(0.01, TryAgain("HTTP", reason="status", status=status), times=20) is State.CLOSED
    assert (
        await source.call(0.01, TryAgain("HTTP", reason="status", status=status), custom=False, times=20) is State.OPEN
    )


async def test_slow_presets_count_whatever_policies_ask_beside_them() -> None:
    source = Source()
    await source.call(5.0, custom=True, times=10)
    assert await source.call(1.0, custom=False, times=6) is State.OPEN
