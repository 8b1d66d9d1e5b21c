"""Spans to an OpenTelemetry receiver, by OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/).

The standard OTEL_* variables say the rest: headers and certificates, sampler, batches, the resource's attributes
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
"""Time at the end for spans that were not sent yet."""


class OpenTelemetry(Tracing):
    """Spans below the current one, as OpenTelemetry's context has it."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(NAME, __version__)

    def span(self, name: str, attributes: Mapping[str, Any] | None = None) -> AbstractContextManager[Any]:
        """A span until the block ends; an exception that ends it makes it an error."""
        return self._tracer.start_as_current_span(name, attributes=attributes)

    def call(self, dependency: str) -> AbstractContextManager[Any]:
        """A client's span. Watches and leases are part of no evaluation, and would be traces of their own."""
        if not trace.get_current_span().is_recording():
            return nullcontext()
        return self._tracer.start_as_current_span(
            "query" if dependency.startswith("prometheus/") else f"call {dependency}",
            kind=SpanKind.CLIENT,
            attributes={"peer.service": dependency},
        )

    def retried(self, reason: str, attempt: int, delay: float) -> None:
        """An event on the call's span."""
        trace.get_current_span().add_event(
            "retry", {"reason": reason, "attempt": attempt, "delay_seconds": round(delay, 3)}
        )

    def trace_id(self) -> str:
        """The current one; where nothing is under way, a new one."""
        context = trace.get_current_span().get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else super().trace_id()

    def exemplar(self) -> dict[str, str] | None:
        """The trace, if it is sampled: else it is nowhere to be found."""
        context = trace.get_current_span().get_span_context()
        return {"trace_id": format_trace_id(context.trace_id)} if context.trace_flags.sampled else None


class TraceIdFilter(logging.Filter):
    """Puts the trace's id on what is logged during an evaluation."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = trace.get_current_span().get_span_context()
        if context.is_valid and not hasattr(record, "trace_id"):
            record.trace_id = format_trace_id(context.trace_id)
        return True


@contextmanager
def opened(endpoint: str | None) -> Iterator[OpenTelemetry]:
    """Spans until the block ends. endpoint: the receiver's base address; None: where the variables say."""
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
        # It waits for the receiver, which may hang: the process' end does not.
        ending = threading.Thread(target=provider.shutdown, name="tracing-end", daemon=True)
        ending.start()
        ending.join(END_SECONDS)
