"""The retry: how long it waits, when it ends, and what it never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from resilience_operator.resilience import (
    CallError,
    Conflict,
    Deadline,
    DeadlineExceeded,
    GiveUp,
    Jitter,
    NotFound,
    Retry,
    RetryPolicy,
    Strategy,
    TryAgain,
    Unauthorized,
)

EXPONENTIAL = {"strategy": Strategy.EXPONENTIAL, "base": 1.0, "cap": 10.0}
FIXED = {"strategy": Strategy.FIXED, "base": 3.0, "cap": 10.0}


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Script:
    """A call that fails as it is told, and then answers."""

    failures: Sequence[Exception]
    time: Time
    takes: float = 0.0
    calls: int = field(default=0)

    async def __call__(self) -> str:
        self.calls += 1
        self.time.now += self.takes
        if self.calls <= len(self.failures):
            raise self.failures[self.calls - 1]
        return "answer"


def always(value: float) -> Callable[[], float]:
    return lambda: value


@pytest.mark.parametrize(
    ("policy", "random", "delays"),
    [
        ({**EXPONENTIAL, "jitter": Jitter.NONE}, 0.5, [1, 2, 4, 8, 10, 10]),
        ({**EXPONENTIAL, "jitter": Jitter.FULL}, 0.0, [0, 0, 0, 0, 0, 0]),
        ({**EXPONENTIAL, "jitter": Jitter.FULL}, 0.5, [0.5, 1, 2, 4, 5, 5]),
        ({**EXPONENTIAL, "jitter": Jitter.EQUAL}, 0.0, [0.5, 1, 2, 4, 5, 5]),
        ({**EXPONENTIAL, "jitter": Jitter.EQUAL}, 0.5, [0.75, 1.5, 3, 6, 7.5, 7.5]),
        ({**FIXED, "jitter": Jitter.NONE}, 0.9, [3, 3, 3, 3, 3, 3]),
        ({**FIXED, "jitter": Jitter.FULL}, 0.5, [1.5] * 6),
        ({**FIXED, "jitter": Jitter.EQUAL}, 0.5, [2.25] * 6),
    ],
)
def test_delays(policy: dict[str, object], random: float, delays: list[float]) -> None:
    found = [RetryPolicy(**policy).delay(n, always(random)) for n in range(6)]  # type: ignore[arg-type]
    assert found == delays


def test_the_delay_of_an_endless_loop_stays_at_the_cap() -> None:
    assert RetryPolicy(base=1, cap=30, jitter=Jitter.NONE).delay(10**9, always(0)) == 30


@pytest.mark.parametrize(
    "wrong", [{"base": -1}, {"base": 9, "cap": 5}, {"cap": float("inf")}, {"attempts": 0}, {"base": float("nan")}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"need 0 <=|at least 1"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


def again(**more: float) -> TryAgain:
    return TryAgain("no", dependency="prometheus", reason="status_503", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failures", "left", "slept", "calls", "ends"),
    [
        pytest.param([], 60, [], 1, "answer", id="the first call answers"),
        pytest.param([again()], 60, [1], 2, "answer", id="the second answers"),
        pytest.param([again()] * 3, 60, [1, 2, 4], 4, "answer", id="the last attempt answers"),
        pytest.param([again()] * 4, 60, [1, 2, 4], 4, TryAgain, id="no attempt is left"),
        pytest.param([again()] * 4, 3.5, [1, 2], 3, TryAgain, id="the third delay would pass the deadline"),
        pytest.param([again()] * 4, 3, [1], 2, TryAgain, id="a delay that ends at the deadline is of no use"),
        pytest.param([again()] * 4, 0, [], 0, DeadlineExceeded, id="no time at all"),
        pytest.param([again(retry_after=7)], 60, [8], 2, "answer", id="Retry-After is waited out, and the delay"),
        pytest.param([again(retry_after=7)], 5, [], 1, TryAgain, id="Retry-After beyond the deadline"),
        pytest.param([GiveUp("no")], 60, [], 1, GiveUp, id="what is wrong is not tried again"),
        pytest.param([NotFound("no")], 60, [], 1, NotFound, id="nor what is not there"),
        pytest.param([Conflict("no")], 60, [], 1, Conflict, id="a conflict is the caller's to decide"),
        pytest.param([Unauthorized("no")], 60, [], 1, Unauthorized, id="no login is given"),
        pytest.param([again(), GiveUp("no")], 60, [1], 2, GiveUp, id="the second failure is for good"),
        pytest.param([ValueError("a bug")], 60, [], 1, ValueError, id="a bug passes through at once"),
    ],
)
async def test_a_call(
    failures: list[Exception],
    left: float,
    slept: list[float],
    calls: int,
    ends: str | type[Exception],
) -> None:
    time = Time()
    script = Script(failures, time)
    retry = Retry(RetryPolicy(base=1, cap=8, attempts=4, jitter=Jitter.NONE), sleep=time.sleep)
    call = retry.call(script, deadline=Deadline.after(left, time), dependency="prometheus")
    if isinstance(ends, str):
        assert await call == ends
    else:
        with pytest.raises(ends):
            await call
    assert (time.slept, script.calls) == (slept, calls)


async def test_calls_that_take_time_use_up_the_deadline() -> None:
    time = Time()
    script = Script([again()] * 9, time, takes=4)
    retry = Retry(RetryPolicy(base=1, cap=1, attempts=9, jitter=Jitter.NONE), sleep=time.sleep)
    with pytest.raises(TryAgain):
        await retry.call(script, deadline=Deadline.after(10, time), dependency="x")
    assert script.calls == 2
    assert time.now <= 110


@pytest.mark.parametrize(
    ("failures", "attempts", "logins", "ends"),
    [
        ([Unauthorized("401")], 3, 1, "answer"),
        ([Unauthorized("401")], 1, 1, "answer"),
        ([Unauthorized("401"), Unauthorized("401")], 3, 1, Unauthorized),
        ([again(), Unauthorized("401"), again()], 4, 1, "answer"),
    ],
)
async def test_a_refused_login_is_tried_once_afresh(
    failures: list[Exception], attempts: int, logins: int, ends: str | type[Exception]
) -> None:
    time = Time()
    done = []

    async def login() -> None:
        done.append(time.now)

    retry = Retry(RetryPolicy(base=1, cap=8, attempts=attempts, jitter=Jitter.NONE), sleep=time.sleep)
    call = retry.call(Script(failures, time), deadline=Deadline.after(60, time), dependency="kubernetes", login=login)
    if isinstance(ends, str):
        assert await call == ends
    else:
        with pytest.raises(ends):
            await call
    assert len(done) == logins


async def test_each_retry_is_told() -> None:
    time = Time()
    told: list[tuple[str, str, int, float]] = []

    def hook(*, dependency: str, reason: str, attempt: int, delay: float) -> None:
        told.append((dependency, reason, attempt, delay))
        raise RuntimeError("a hook that fails harms no call")

    retry = Retry(RetryPolicy(base=1, cap=8, jitter=Jitter.NONE), sleep=time.sleep, on_retry=hook)
    script = Script([again(), TryAgain(reason="timeout")], time)
    assert await retry.call(script, deadline=Deadline.after(60, time), dependency="prometheus") == "answer"
    assert told == [("prometheus", "status_503", 1, 1.0), ("prometheus", "timeout", 2, 2.0)]


async def test_the_deadline_cuts_a_call_that_hangs() -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(DeadlineExceeded) as caught:
        await Retry().call(hang, deadline=Deadline.after(0.02), dependency="prometheus")
    assert ended.is_set()
    assert (caught.value.dependency, caught.value.reason) == ("prometheus", "deadline")


async def test_a_time_out_of_the_call_s_own_is_not_the_deadline_s() -> None:
    async def times_out() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await Retry().call(times_out, deadline=Deadline.after(60), dependency="x")


@pytest.mark.parametrize("where", ["call", "delay"])
async def test_cancelling_ends_it_at_once(where: str) -> None:
    calls = 0
    begun = asyncio.Event()

    async def call() -> None:
        nonlocal calls
        calls += 1
        begun.set()
        if where == "call":
            await asyncio.sleep(60)
        raise again()

    retry = Retry(RetryPolicy(base=30, cap=30, jitter=Jitter.NONE))
    task = asyncio.create_task(retry.call(call, deadline=Deadline.after(300), dependency="x"))
    await begun.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 1)
    assert calls == 1


async def test_many_calls_at_once_do_not_share_their_count() -> None:
    time = Time()
    retry = Retry(RetryPolicy(base=0, cap=0, attempts=3), sleep=asyncio.sleep)
    scripts = [Script([again()] * 2, time) for _ in range(200)]
    answers = await asyncio.gather(*(retry.call(s, deadline=Deadline.after(60, time), dependency="x") for s in scripts))
    assert answers == ["answer"] * 200
    assert {s.calls for s in scripts} == {3}


@pytest.mark.parametrize(("seconds", "cap", "passed", "timeout"), [(5, 10, 0, 5), (50, 10, 0, 10), (5, 10, 9, 0)])
def test_a_deadline_bounds_each_call(seconds: float, cap: float, passed: float, timeout: float) -> None:
    time = Time()
    deadline = Deadline.after(seconds, time)
    time.now += passed
    assert deadline.timeout(cap) == timeout
    assert deadline.expired == (timeout == 0)


def test_a_part_never_gets_more_than_the_whole() -> None:
    time = Time()
    deadline = Deadline.after(5, time)
    assert deadline.within(2).remaining() == 2
    assert deadline.within(9).remaining() == 5
    assert deadline.timeout(10) == 5


def test_an_error_says_who_and_why() -> None:
    error = CallError("no such host", dependency="prometheus", reason="dns")
    assert str(error) == "prometheus: no such host (dns)"
