"""The retry with eyes: every call is measured, counted when it is tried again, and part of the trace."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from resilience_operator.resilience import Deadline, Retry, RetryHook, RetryPolicy
from resilience_operator.runtime.telemetry.metrics import CALL_SECONDS, RETRIES
from resilience_operator.runtime.telemetry.tracing import Tracing

T = TypeVar("T")


class InstrumentedRetry(Retry):
    """Retry, observed. A call's time is that of all its attempts and the pauses between them."""

    def __init__(self, policy: RetryPolicy | None = None, *, tracing: Tracing) -> None:
        super().__init__(policy, on_retry=self._count)
        self._tracing = tracing

    async def call(
        self,
        fn: Callable[[], Awaitable[T]],
        *,
        deadline: Deadline,
        dependency: str,
        on_retry: RetryHook | None = None,
        login: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """As `Retry.call`."""
        began, result = time.perf_counter(), "failed"
        with self._tracing.call(dependency):
            try:
                answer = await super().call(
                    fn, deadline=deadline, dependency=dependency, on_retry=on_retry, login=login
                )
                result = "ok"
                return answer
            finally:
                took = time.perf_counter() - began
                CALL_SECONDS.labels(dependency, result).observe(took, self._tracing.exemplar())

    def under(self, policy: RetryPolicy) -> InstrumentedRetry:
        """The same under another policy."""
        return InstrumentedRetry(policy, tracing=self._tracing)

    def _count(self, *, dependency: str, reason: str, attempt: int, delay: float) -> None:
        RETRIES.labels(dependency, reason).inc()
        self._tracing.retried(reason, attempt, delay)
