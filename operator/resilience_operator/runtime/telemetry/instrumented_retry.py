"""Instrumented retry: measures every call, counts retries, and adds both to the trace."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from resilience_operator.resilience import Deadline, Retry, RetryHook, RetryPolicy
from resilience_operator.runtime.telemetry.metrics import CALL_SECONDS, RETRIES
from resilience_operator.runtime.telemetry.tracing import Tracing

T = TypeVar("T")


class InstrumentedRetry(Retry):
    """Retry with metrics and spans. A call's duration includes all attempts and delays."""

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
        """Same as `Retry.call`."""
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
        """Return the same retry with another policy."""
        return InstrumentedRetry(policy, tracing=self._tracing)

    def _count(self, *, dependency: str, reason: str, attempt: int, delay: float) -> None:
        RETRIES.labels(dependency, reason).inc()
        self._tracing.retried(reason, attempt, delay)
