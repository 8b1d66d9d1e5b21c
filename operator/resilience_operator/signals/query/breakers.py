"""One circuit breaker a source, shared by all policies that use it."""

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
"""Told of (source, before, after, why)."""


ANSWERED_SECONDS = 600.0
"""How long one answer is proof that a source does not hang: the longest interval, so that whoever asks seldom is safe
from the heavy queries of others."""


class SourceBreakers:
    """The breakers by the name of the source. An answer that refuses a query counts as well answered."""

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
        self._why: dict[str, str] = {}
        self._answered: dict[str, float] = {}

    @property
    def all(self) -> Mapping[str, Breaker]:
        """The breakers of the sources called so far, by source name."""
        return self._breakers

    async def call(
        self,
        source: str,
        ask: Callable[[], Awaitable[Answer]],
        deadline: Deadline,
        *,
        own: bool = False,
        again: bool = False,
        fair: Callable[[], bool] = lambda: True,
    ) -> Answer:
        """Call, unless the source is left alone: then CircuitOpenError.

        own: it is a custom query, which may cost whatever its author likes. While the source answers others, its
        slowness and the server's errors (5xx, 429) speak of the query and are not counted; else one author's heavy
        query would take the source from everybody.
        fair: whether the call had its share of the time, asked when it has timed out. A custom query that waited for a
        place and was left too little time is not counted.
        again: it is a retry, which comes so soon after the first call that it proves nothing more: it is not counted.
        Else one moment's failure would be worth several calls, and few questions would reach `minimum_calls`.
        """
        breaker = self._breaker(source)
        if not breaker.acquire():
            raise CircuitOpenError(self._why.get(source, ""))
        started = self._clock()

        def settle(
            *, ok: bool, late: bool = False, why: str = "", took: float | None = None, served: bool = False
        ) -> None:
            # An answer knows it better: our own work beside it is not the source's slowness.
            took = self._clock() - started if took is None else took
            slow = took > breaker.settings.slow_call
            heavy = own and (slow or late or served) and self.answered(source, started - ANSWERED_SECONDS)
            if again or heavy or (own and late and not fair()):
                breaker.cancel()
            else:
                breaker.record(took, ok=ok, why=why)
            if ok:
                self._answered[source] = self._clock()

        try:
            answer = await ask()
        except Exception as error:
            settle(
                ok=not _is_the_sources(error),
                late=_is_late(error),
                why=summary(error),
                served=isinstance(error, TryAgain) and error.status > 0,
            )
            raise
        except BaseException:
            # Called off; but a source that hangs is also called off, when the time is over.
            if deadline.expired:
                settle(ok=False, late=True, why=f"{reasons.SOURCE_TIMED_OUT} (no answer before the deadline)")
            else:
                breaker.cancel()
            raise
        settle(ok=True, took=answer.seconds)
        return answer

    def answered(self, source: str, since: float) -> bool:
        """Whether the source has answered anybody after `since`, monotonic seconds."""
        return self._answered.get(source, -math.inf) > since

    def _breaker(self, source: str) -> Breaker:
        found = self._breakers.get(source)
        if found is None:

            def changed(before: State, after: State, why: str) -> None:
                self._why[source] = why
                if self._on_change is not None:
                    self._on_change(source, before, after, why)

            found = self._breakers[source] = Breaker(self._settings, clock=self._clock, on_change=changed)
        return found


def _is_the_sources(error: Exception) -> bool:
    """Whether a failure speaks against the source, not against what was asked of it.

    A query that the server itself gave up for its length (`detail` timeout) counts as slow, not as failed: one
    policy's heavy query must not take the source from the others.
    """
    if isinstance(error, TryAgain | DeadlineExceeded):
        return error.detail != "timeout"
    return not isinstance(error, CallError)


def _is_late(error: Exception) -> bool:
    return isinstance(error, DeadlineExceeded) or (isinstance(error, TryAgain) and error.reason == "timeout")
