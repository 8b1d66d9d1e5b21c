"""The retry that wraps every call: a policy as data, executed by tenacity.

Strategies and jitter follow "Exponential Backoff And Jitter" (Marc Brooker, AWS Architecture Blog, 2015,
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). With
`temp = min(cap, base * 2**n)`
before retry n (from 0), or `temp = min(cap, base)` if the strategy is fixed:

    none   temp                                    all clients retry at the same time
    full   random between 0 and temp               fewest calls in total: the default
    equal  temp / 2 + random between 0 and temp/2  never retries immediately

The delay is added to a dependency's `Retry-After`: many clients receive the same number, and the jitter spreads them.
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
"""Returns a uniformly distributed number from 0 (inclusive) to 1 (exclusive)."""
Sleep = Callable[[float], Awaitable[None]]


def spread(seconds: float, by: float = 0.2) -> float:
    """Return `seconds` with jitter: more or less by up to the fraction `by`."""
    return seconds * (1 - by + 2 * by * _random.random())  # noqa: S311 (not for cryptography)


class Strategy(StrEnum):
    FIXED = "fixed"
    EXPONENTIAL = "exponential"


class Jitter(StrEnum):
    NONE = "none"
    FULL = "full"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call is retried, and with what delays.

    strategy: how the delay grows with each retry.
    base: the first delay in seconds, before jitter.
    cap: the longest delay in seconds, before jitter.
    attempts: total number of calls, including the first; 1 never retries.
    jitter: how the delay is randomized.
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
            raise ValueError(f"attempts includes the first call and must be at least 1, got {self.attempts}")

    def delay(self, retry: int, random: Random) -> float:
        """Seconds to wait before retry number `retry`, counted from 0."""
        temp = self.base
        if self.strategy is Strategy.EXPONENTIAL:
            # The exponent is limited because an endless loop (a watch) would overflow a float.
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
    """Called before the delay of each retry. Exceptions are logged."""

    def __call__(self, *, dependency: str, reason: str, attempt: int, delay: float) -> None:
        """attempt: number of calls so far. delay: seconds until the next one."""


class Retry:
    """Calls a function and retries it by a policy. Keeps no state between calls, so one object can be shared."""

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
        """Await `fn()` until it succeeds, fails permanently, has no attempt left, or would exceed the deadline.

        Only TryAgain is retried; Unauthorized once, after `login()`, if a login is given. If a delay would reach the
        deadline, the last error is raised immediately, which leaves the caller time to react. A call that the deadline
        interrupts raises DeadlineExceeded. Any other exception, including cancellation, is raised unchanged.
        """
        if deadline.expired:
            raise DeadlineExceeded("no time is left for the call", dependency=dependency, reason="deadline")
        try:
            return await _with_deadline(fn, deadline, dependency)
        except (TryAgain, Unauthorized) as error:
            # tenacity is created only for retries: creating it costs as much as a call, and most calls succeed.
            return await self._retry(error, fn, deadline, dependency, on_retry or self._on_retry, login)

    async def _retry(
        self,
        failed: TryAgain | Unauthorized,
        fn: Callable[[], Awaitable[T]],
        deadline: Deadline,
        dependency: str,
        hook: RetryHook | None,
        login: Callable[[], Awaitable[None]] | None,
    ) -> T:
        """The calls after the first. For tenacity the first call, which raised `failed`, is attempt 1."""
        logged_in = False

        def should_retry(state: RetryCallState) -> bool:
            error = _error(state)
            if isinstance(error, Unauthorized):
                return login is not None and not logged_in
            return isinstance(error, TryAgain)

        def wait(state: RetryCallState) -> float:
            error = _error(state)
            if isinstance(error, Unauthorized):
                return 0.0
            delay = self.policy.delay(state.attempt_number - 1, self._random)
            retry_after = error.retry_after if isinstance(error, CallError) else None
            return delay + (retry_after or 0.0)

        def stop(state: RetryCallState) -> bool:
            if deadline.remaining() <= state.upcoming_sleep:
                return True
            # A new login is not a failed attempt: it is allowed even with a policy of one attempt.
            return not isinstance(_error(state), Unauthorized) and state.attempt_number >= self.policy.attempts

        async def before_sleep(state: RetryCallState) -> None:
            nonlocal logged_in
            error = _error(state)
            assert isinstance(error, CallError)
            _notify(hook, dependency, error.reason, state.attempt_number, state.upcoming_sleep)
            if isinstance(error, Unauthorized):
                logged_in = True
                assert login is not None
                await _with_deadline(login, deadline, dependency)

        retrying = AsyncRetrying(
            stop=stop, wait=wait, retry=should_retry, before_sleep=before_sleep, sleep=self._sleep, reraise=True
        )

        first: Exception | None = failed

        async def attempt() -> T:
            nonlocal first
            if first is not None:
                error, first = first, None
                raise error
            return await _with_deadline(fn, deadline, dependency)

        result: T = await retrying(attempt)
        return result

    def under(self, policy: RetryPolicy) -> Retry:
        """A copy with another policy."""
        return Retry(policy, on_retry=self._on_retry, sleep=self._sleep, random=self._random)

    def notify(self, *, dependency: str, reason: str, attempt: int, delay: float) -> None:
        """Call the hook for a retry that the caller makes itself, such as reopening a watch."""
        _notify(self._on_retry, dependency, reason, attempt, delay)

    async def pause(self, retry: int, deadline: Deadline) -> None:
        """Wait as before retry number `retry` (from 0): for a caller that changes its call between attempts.

        Raises DeadlineExceeded immediately if the deadline would pass during the delay.
        """
        delay = self.policy.delay(retry, self._random)
        if deadline.remaining() <= delay:
            raise DeadlineExceeded("no time is left for a retry", reason="deadline")
        await self._sleep(delay)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _notify(hook: RetryHook | None, dependency: str, reason: str, attempt: int, delay: float) -> None:
    if hook is None:
        return
    try:
        hook(dependency=dependency, reason=reason, attempt=attempt, delay=delay)
    except Exception:
        log.exception("a retry hook failed; the retry goes on")


async def _with_deadline(fn: Callable[[], Awaitable[T]], deadline: Deadline, dependency: str) -> T:
    """Await `fn()` and cancel it at the deadline. A TimeoutError raised by `fn` itself is passed on unchanged."""
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
