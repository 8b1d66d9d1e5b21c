"""Tracing: one id that links a decision to the slow call behind it.

Spans go to an OpenTelemetry receiver if one is configured (`runtime.telemetry.otlp`). Otherwise there are no spans, and
only decisions get an id. It links history, Events, log and notifications.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from resilience_operator.runtime.telemetry.metrics import EVALUATION_SECONDS

_NOTHING: AbstractContextManager[Any] = nullcontext()


class Tracing:
    """Tracing without spans."""

    def span(self, name: str, attributes: Mapping[str, Any] | None = None) -> AbstractContextManager[Any]:
        """Open a child span of this name until the block ends."""
        del name, attributes
        return _NOTHING

    def call(self, dependency: str) -> AbstractContextManager[Any]:
        """Open a span for one call with its retries, if it is part of an evaluation."""
        del dependency
        return _NOTHING

    def retried(self, reason: str, attempt: int, delay: float) -> None:
        """Record that the current call is retried in `delay` seconds."""

    def trace_id(self) -> str:
        """Return the current trace id or a new one: 32 hexadecimal digits (https://www.w3.org/TR/trace-context/)."""
        return f"{random.getrandbits(128) or 1:032x}"

    def exemplar(self) -> dict[str, str] | None:
        """Return the exemplar labels that link a measurement to the current trace, if it is sent."""
        return None

    @contextmanager
    def evaluation(self, policies: int) -> Iterator[None]:
        """Trace and measure the evaluation of a batch: the root span."""
        began = time.perf_counter()
        with self.span("evaluate", {"resilience.policies": policies}):
            try:
                yield
            finally:
                EVALUATION_SECONDS.observe(time.perf_counter() - began, self.exemplar())
