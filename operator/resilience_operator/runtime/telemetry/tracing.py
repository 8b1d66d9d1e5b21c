"""Traces: one id that leads from a decision to the hop that was slow.

Spans go to an OpenTelemetry receiver where one is configured (`runtime.telemetry.otlp`). Without one there are none,
and only decisions get an id, under which journal, events, log and notifications can be joined.
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
    """No spans."""

    def span(self, name: str, attributes: Mapping[str, Any] | None = None) -> AbstractContextManager[Any]:
        """A span of this name, below the one under way, until the block ends."""
        del name, attributes
        return _NOTHING

    def call(self, dependency: str) -> AbstractContextManager[Any]:
        """A span of one call with its retries, where it is part of an evaluation."""
        del dependency
        return _NOTHING

    def retried(self, reason: str, attempt: int, delay: float) -> None:
        """The call under way is tried again in `delay` seconds."""

    def trace_id(self) -> str:
        """The id of the trace under way, or a new one: 32 hexadecimal digits (https://www.w3.org/TR/trace-context/)."""
        return f"{random.getrandbits(128) or 1:032x}"

    def exemplar(self) -> dict[str, str] | None:
        """What ties a measurement to the trace under way, where it is sent anywhere."""
        return None

    @contextmanager
    def evaluation(self, policies: int) -> Iterator[None]:
        """The evaluation of so many policies: the root of a trace, and the measurement of how long it took."""
        began = time.perf_counter()
        with self.span("evaluate", {"resilience.policies": policies}):
            try:
                yield
            finally:
                EVALUATION_SECONDS.observe(time.perf_counter() - began, self.exemplar())
