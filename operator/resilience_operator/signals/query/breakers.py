"""Circuit breakers for metric sources: one per source, shared by all policies that use it."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping

from resilience_operator.resilience.breaker import Breaker, BreakerSettings, State
from resilience_operator.resilience.deadline import Clock, Deadline
from resilience_operator.resilience.errors import CallError, DeadlineExceeded, TryAgain
from resilience_operator.signals import reasons
from resilience_operator.signals.query.errors import CircuitOpenError, summary
from resilience_operator.signals.sources.protocol import Answer

OnChange = Callable[[str, State, State, str], None]
"""Called with (source, previous state, new state, reason)."""


ANSWERED_SECONDS = 600.0
"""Seconds for which one answer proves that a source works. This is the longest interval, so that expensive queries of
others cannot open the breaker for a policy that queries rarely.
"""


class SourceBreakers:
    """Circuit breakers by source name. An answer that rejects the query counts as a success."""

    def __init__(
        self,
        settings: BreakerSettings | None = None,
        *,
        on_change: OnChange | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._settings = settings or BreakerSettings()
        self._on_change = on_change
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}
        self._reasons: dict[str, str] = {}
        self._answered: dict[str, float] = {}

    @property
    def all(self) -> Mapping[str, Breaker]:
        """The breakers of the sources called so far, by source name."""
        return self._breakers

    async def call(
        self,
        source: str,
        send: Callable[[], Awaitable[Answer]],
        deadline: Deadline,
        *,
        custom: bool = False,
        is_retry: bool = False,
        had_fair_time: Callable[[], bool] = lambda: True,
    ) -> Answer:
        """Call `send` and record the result. Raises CircuitOpenError while the breaker is open.

        custom: a custom query, which may be arbitrarily expensive. While the source answers other queries, its
            time-outs, slow calls and server errors (5xx, 429) are attributed to the query and not counted. Otherwise
            one author's expensive query could open the breaker for everyone.
        had_fair_time: called after a time-out; whether the call had a fair share of the time. A custom query that
            waited for a slot and had too little time left is not counted.
        is_retry: a retry follows its first call so closely that it is no further evidence. It is not counted, since one
            brief failure would otherwise count several times.
        """
        breaker = self._breaker(source)
        if not breaker.acquire():
            raise CircuitOpenError(self._reasons.get(source, ""))
        started = self._clock()

        def report(
            *, ok: bool, timed_out: bool = False, why: str = "", took: float | None = None, http_error: bool = False
        ) -> None:
            # The answer's own measurement excludes this process's work, which is not the source's latency.
            took = self._clock() - started if took is None else took
            slow = took > breaker.settings.slow_call
            query_at_fault = (
                custom and (slow or timed_out or http_error) and self.answered(source, started - ANSWERED_SECONDS)
            )
            if is_retry or query_at_fault or (custom and timed_out and not had_fair_time()):
                breaker.cancel()
            else:
                breaker.record(took, ok=ok, why=why)
            if ok:
                self._answered[source] = self._clock()

        try:
            answer = await send()
        except Exception as error:
            report(
                ok=not _is_source_failure(error),
                timed_out=_is_timeout(error),
                why=summary(error),
                http_error=isinstance(error, TryAgain) and error.status > 0,
            )
            raise
        except BaseException:
            # Cancelled. A call to a source that hangs is cancelled too, once the deadline has passed.
            if deadline.expired:
                report(ok=False, timed_out=True, why=f"{reasons.SOURCE_TIMED_OUT} (no answer before the deadline)")
            else:
                breaker.cancel()
            raise
        report(ok=True, took=answer.seconds)
        return answer

    def answered(self, source: str, since: float) -> bool:
        """Whether the source has answered any query after `since` (monotonic seconds)."""
        return self._answered.get(source, -math.inf) > since

    def _breaker(self, source: str) -> Breaker:
        found = self._breakers.get(source)
        if found is None:

            def changed(before: State, after: State, why: str) -> None:
                self._reasons[source] = why
                if self._on_change is not None:
                    self._on_change(source, before, after, why)

            found = self._breakers[source] = Breaker(self._settings, clock=self._clock, on_change=changed)
        return found


def _is_source_failure(error: Exception) -> bool:
    """Whether a failure counts against the source rather than the query.

    A query that the server aborted because it ran too long (`detail` timeout) counts as slow, not as failed. One
    policy's expensive query must not open the breaker for the others.
    """
    if isinstance(error, TryAgain | DeadlineExceeded):
        return error.detail != "timeout"
    return not isinstance(error, CallError)


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, DeadlineExceeded) or (isinstance(error, TryAgain) and error.reason == "timeout")
