"""Sends spans to an OpenTelemetry receiver by OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/).

The standard OTEL_* variables configure the rest: headers and certificates, sampler, batches, resource attributes
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, format_trace_id

from resilience_operator import __version__
from resilience_operator.runtime.telemetry.tracing import Tracing

NAME = "resilience-operator"

END_SECONDS = 3.0
"""Seconds at shutdown to send remaining spans."""


class OpenTelemetry(Tracing):
    """Tracing with OpenTelemetry: spans are children of the current context."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(NAME, __version__)

    def span(self, name: str, attributes: Mapping[str, Any] | None = None) -> AbstractContextManager[Any]:
        """Open a span until the block ends; an exception marks it as an error."""
        return self._tracer.start_as_current_span(name, attributes=attributes)

    def call(self, dependency: str) -> AbstractContextManager[Any]:
        """Open a client span. Outside an evaluation (watches, leases) there is none: it would be a separate trace."""
        if not trace.get_current_span().is_recording():
            return nullcontext()
        return self._tracer.start_as_current_span(
            "query" if dependency.startswith("prometheus/") else f"call {dependency}",
            kind=SpanKind.CLIENT,
            attributes={"peer.service": dependency},
        )

    def retried(self, reason: str, attempt: int, delay: float) -> None:
        """Add an event to the call's span."""
        trace.get_current_span().add_event(
            "retry", {"reason": reason, "attempt": attempt, "delay_seconds": round(delay, 3)}
        )

    def trace_id(self) -> str:
        """Return the current trace id; a new one outside a trace."""
        context = trace.get_current_span().get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else super().trace_id()

    def exemplar(self) -> dict[str, str] | None:
        """Return the trace id if the trace is sampled; otherwise no backend has it."""
        context = trace.get_current_span().get_span_context()
        return {"trace_id": format_trace_id(context.trace_id)} if context.trace_flags.sampled else None


class TraceIdFilter(logging.Filter):
    """Adds the trace id to log records during an evaluation."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = trace.get_current_span().get_span_context()
        if context.is_valid and not hasattr(record, "trace_id"):
            record.trace_id = format_trace_id(context.trace_id)
        return True


@contextmanager
def opened(endpoint: str | None) -> Iterator[OpenTelemetry]:
    """Trace until the block ends. endpoint: base URL of the receiver; None: taken from the variables."""
    resource = Resource.create(
        {
            SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME") or NAME,
            SERVICE_VERSION: __version__,
            SERVICE_INSTANCE_ID: os.environ.get("POD_NAME") or socket.gethostname(),
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    in_the_log = TraceIdFilter()
    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(in_the_log)
    try:
        yield OpenTelemetry(provider)
    finally:
        for handler in handlers:
            handler.removeFilter(in_the_log)
        # Shutdown waits for the receiver, which may hang; the process must not.
        ending = threading.Thread(target=provider.shutdown, name="tracing-end", daemon=True)
        ending.start()
        ending.join(END_SECONDS)
