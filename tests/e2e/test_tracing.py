"""One decision followed from end to end: the journal's trace is the event's, the log's, the exemplar's, and that of the
spans which a receiver of OTLP (the official protobuf messages, over HTTP) was sent.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.operator import Operator
from tests.support.receiver import Receiver, receiving
from tests.support.waiting import eventually
from tests.support.world import World

RULE = {"name": "busy", "when": {"signal": "load", "above": 10}, "then": [{"scaleUp": {"pods": 2}}]}


def spans(receiver: Receiver, trace: str) -> list[Span]:
    """The spans of one trace that were received."""
    found = []
    for posted in receiver.at("/v1/traces"):
        request = ExportTraceServiceRequest.FromString(posted.body)
        found += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    return [span for span in found if span.trace_id.hex() == trace]


def path(span: Span, all_: dict[bytes, Span]) -> str:
    """The names from the root to a span."""
    above = all_.get(span.parent_span_id)
    return f"{path(above, all_)} / {span.name}" if above is not None else span.name


def test_a_decision_leads_by_its_trace_to_every_hop(world: World, new_operator: Callable[..., Operator]) -> None:
    with receiving() as receiver:
        receiver.answers = [503]  # the exporter tries again
        environment = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=canary"}
        operator = new_operator("--otlp-endpoint", receiver.url, environment=environment).start()
        world.deployment()
        world.policy(signals=[{"name": "load", "query": "vector(25)"}], rules=[RULE], replicas={"min": 3, "max": 5})
        world.until(lambda: world.actions() == ["scaleUp"], "it scales")
        trace = world.status()["lastDecision"]["traceID"]

        def whole() -> set[str]:
            by_id = {span.span_id: span for span in spans(receiver, trace)}
            return {path(span, by_id) for span in by_id.values()}

        expected = {
            "evaluate",
            "evaluate / collect",
            "evaluate / collect / query",
            "evaluate / policy",
            "evaluate / policy / decide",
            "evaluate / policy / act",
            "evaluate / policy / act / call kubernetes",  # the patch of the Deployment
            "evaluate / policy / call kubernetes",  # events and status
        }
        eventually(lambda: expected <= whole(), "the whole trace arrives", last=lambda: str(whole()))
        policy = next(span for span in spans(receiver, trace) if span.name == "policy")
        attributes = {a.key: a.value.string_value for a in policy.attributes}
        assert attributes == {"k8s.namespace.name": world.namespace, "resilience.policy": "checkout"}
        assert receiver.posted[-1].headers["x-key"] == "canary"

        for kind in ("ResiliencePolicy", "Deployment"):
            (event,) = world.told("ScaledUp", kind)
            assert event["metadata"]["annotations"]["resilience-operator.io/trace-id"] == trace
        logged = [json.loads(line) for line in operator.log.read_text().splitlines()]
        assert [line["result"] for line in logged if line.get("trace_id") == trace and line.get("action")] == ["Done"]
        assert not any("canary" in str(line) for line in logged)

        request = urllib.request.Request(
            f"http://127.0.0.1:{operator.port}/metrics", headers={"Accept": "application/openmetrics-text"}
        )
        with urllib.request.urlopen(request) as answer:
            page = answer.read().decode()
        exemplars = [line for line in page.splitlines() if "_bucket" in line and "# {trace_id=" in line]
        for metric in ("resilience_evaluation_duration_seconds", "resilience_call_duration_seconds"):
            assert any(line.startswith(metric) for line in exemplars), metric
        assert page.endswith("# EOF\n")
