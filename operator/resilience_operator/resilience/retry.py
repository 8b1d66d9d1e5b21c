"""The one retry that wraps every call: a policy as data, run by tenacity.

Strategies and jitter follow "Exponential Backoff And Jitter" (Marc Brooker, AWS Architecture Blog, 2015,
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). With
`temp = min(cap, base * 2**n)`
before retry n (from 0), or `temp = min(cap, base)` where the strategy is fixed:

    none   temp                                    everyone comes back together
    full   random between 0 and temp               the fewest calls in sum: the default
    equal  temp / 2 + random between 0 and temp/2  never comes back at once

A dependency's `Retry-After` is waited out first and the delay comes on top: many clients are told the same
number, and the jitter is what keeps them apart.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random as _random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState

from resilience_operator.resilience.deadline import Deadline
from resilience_operator.resilience.errors import CallError, DeadlineExceeded, TryAgain, Unauthorized

log = logging.getLogger(__name__)

T = TypeVar("T")
Random = Callable[[], float]
"""A number from 0 (included) to 1 (excluded), evenly spread."""
Sleep = Callable[[float], Awaitable[None]]


class Strategy(StrEnum):
    FIXED = "fixed"
    EXPONENTIAL = "exponential"


class Jitter(StrEnum):
    NONE = "none"
    FULL = "full"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how far apart a call is tried again.

    strategy: how the delay grows with each retry.
    base: the first delay, in seconds, before jitter.
    cap: the longest delay, in seconds, before jitter.
    attempts: calls in all, the first included; 1 never retries.
    jitter: how the delay is spread.
    """

    strategy: Strategy = Strategy.EXPONENTIAL
    base: float = 0.2
    cap: float = 5.0
    attempts: int = 5
    jitter: Jitter = Jitter.FULL

    def __post_init__(self) -> None:
        if not (0 <= self.base <= self.cap and math.isfinite(self.cap)):
            raise ValueError(f"need 0 <= base <= cap, both finite, got base={self.base} cap={self.cap}")
        if self.attempts < 1:
            raise ValueError(f"attempts counts the first call too: at least 1, got {self.attempts}")

    def delay(self, retry: int, random: Random) -> float:
        """Seconds to wait before retry number `retry`, counted from 0."""
        temp = self.base
        if self.strategy is Strategy.EXPONENTIAL:
            # The exponent is bounded because a loop without end (a watch) would overflow a float.
            temp = self.base * 2.0 ** min(retry, 60)
        temp = min(self.cap, temp)
        match self.jitter:
            case Jitter.NONE:
                return temp
            case Jitter.FULL:
                return temp * random()
            case Jitter.EQUAL:
                return temp / 2 + temp / 2 * random()


class RetryHook(Protocol):
    """Is told of each retry before its delay; an exception that it raises is logged and goes no further."""

    def __call__(self, *, dependency: str, reason: str, attempt: int, delay: float) -> None:
        """attempt: the calls made so far. delay: seconds until the next."""


class Retry:
    """Calls, and calls again as a policy says. Stateless between calls: one object serves all."""

    def __init__(
        self,
        policy: RetryPolicy | None = None,
        *,
        on_retry: RetryHook | None = None,
        sleep: Sleep = asyncio.sleep,
        random: Random = _random.random,
    ) -> None:
        self.policy = policy or RetryPolicy()
        self._on_retry = on_retry
        self._sleep = sleep
        self._random = random

    async def call(
        self,
        fn: Callable[[], Awaitable[T]],
        *,
        deadline: Deadline,
        dependency: str,
        on_retry: RetryHook | None = None,
        login: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Awaits `fn()` until it returns, fails for good, has no attempt left, or would outlive the deadline.

        Only TryAgain is tried again; LoginAgain once, after `login()`, where a login is given. A delay that
        would reach the deadline is not begun: the last error is raised at once, which leaves the caller time
        to act on it. A call that the deadline cuts off raises Expired. Any other exception, cancellation
        among them, passes through at once.
        """
        if deadline.expired:
            raise DeadlineExceeded("no time is left to call", dependency=dependency, reason="deadline")
        try:
            return await _bounded(fn, deadline, dependency)
        except (TryAgain, Unauthorized) as error:
            # Most calls end here or above: tenacity is not set up for them, which would cost as much as the call.
            return await self._again(error, fn, deadline, dependency, on_retry or self._on_retry, login)

    async def _again(
        self,
        failed: TryAgain | Unauthorized,
        fn: Callable[[], Awaitable[T]],
        deadline: Deadline,
        dependency: str,
        hook: RetryHook | None,
        login: Callable[[], Awaitable[None]] | None,
    ) -> T:
        """The calls after the first, which is tenacity's first attempt too: it failed with `failed`."""
        logged_in = False

        def again(state: RetryCallState) -> bool:
            error = _error(state)
            if isinstance(error, Unauthorized):
                return login is not None and not logged_in
            return isinstance(error, TryAgain)

        def wait(state: RetryCallState) -> float:
            error = _error(state)
            if isinstance(error, Unauthorized):
                return 0.0
            delay = self.policy.delay(state.attempt_number - 1, self._random)
            asked = error.retry_after if isinstance(error, CallError) else None
            return delay + (asked or 0.0)

        def stop(state: RetryCallState) -> bool:
            if deadline.remaining() <= state.upcoming_sleep:
                return True
            # A fresh login is no failed attempt: it is granted even to a policy of one attempt.
            return not isinstance(_error(state), Unauthorized) and state.attempt_number >= self.policy.attempts

        async def before_sleep(state: RetryCallState) -> None:
            nonlocal logged_in
            error = _error(state)
            assert isinstance(error, CallError)
            _tell(hook, dependency, error.reason, state.attempt_number, state.upcoming_sleep)
            if isinstance(error, Unauthorized):
                logged_in = True
                assert login is not None
                await _bounded(login, deadline, dependency)

        retrying = AsyncRetrying(
            stop=stop, wait=wait, retry=again, before_sleep=before_sleep, sleep=self._sleep, reraise=True
        )

        first: Exception | None = failed

        async def attempt() -> T:
            nonlocal first
            if first is not None:
                error, first = first, None
                raise error
            return await _bounded(fn, deadline, dependency)

        result: T = await retrying(attempt)
        return result

    def under(self, policy: RetryPolicy) -> Retry:
        """The same under another policy."""
        return Retry(policy, on_retry=self._on_retry, sleep=self._sleep, random=self._random)

    def tell(self, *, dependency: str, reason: str, attempt: int, delay: float) -> None:
        """Tells the hook of a retry that a caller makes by itself, such as a watch that is opened again."""
        _tell(self._on_retry, dependency, reason, attempt, delay)

    async def pause(self, retry: int, deadline: Deadline) -> None:
        """Waits as before retry number `retry` (from 0): for a caller that changes its call in between.

        Raises Expired, at once, when the deadline would pass meanwhile.
        """
        delay = self.policy.delay(retry, self._random)
        if deadline.remaining() <= delay:
            raise DeadlineExceeded("no time is left to try again", reason="deadline")
        await self._sleep(delay)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _tell(hook: RetryHook | None, dependency: str, reason: str, attempt: int, delay: float) -> None:
    if hook is None:
        return
    try:
        hook(dependency=dependency, reason=reason, attempt=attempt, delay=delay)
    except Exception:
        log.exception("a retry hook failed; the retry goes on")


async def _bounded(fn: Callable[[], Awaitable[T]], deadline: Deadline, dependency: str) -> T:
    """Awaits `fn()`, cancelling it at the deadline. A time-out of its own keeps its meaning."""
    left = deadline.remaining()
    try:
        async with asyncio.timeout(left if math.isfinite(left) else None) as scope:
            return await fn()
    except TimeoutError:
        if scope.expired():
            raise DeadlineExceeded(
                "the deadline passed during the call", dependency=dependency, reason="deadline"
            ) from None
        raise
