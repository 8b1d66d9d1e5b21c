"""Names and labels of the HTTP metrics families, as their makers define them.

As with real client libraries, the series of a status code appear with the first request that ended so: a
service that never failed has no 5xx series. Queries have to live with that.

Sources
-------
http-generic    `code` and `method`: promhttp's InstrumentHandlerCounter,
                https://pkg.go.dev/github.com/prometheus/client_golang/prometheus/promhttp; the two metric
                names are the ones of https://prometheus.io/docs/practices/naming/ and
                .../practices/histograms/
nginx-ingress   https://kubernetes.github.io/ingress-nginx/user-guide/monitoring/ and requestTags in the
controller's
                internal/ingress/metric/collectors/socket.go. The controller's own `namespace` label is the
                ingress's; Prometheus stores it as `exported_namespace`, because `namespace` is already the
                scraped pod's. A controller knows Services, not pods, so these series cannot be split by pod.
istio           https://istio.io/latest/docs/reference/config/metrics/; `namespace` and `pod` are the
scraped sidecar's linkerd         https://linkerd.io/2/reference/proxy-metrics/; bounds: BOUNDS in
linkerd2-proxy's
                linkerd/metrics/src/latency.rs
opentelemetry   https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ with names and attributes
translated as in
                https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/, and the
                k8s.* resource attributes promoted to labels
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from .layouts import DEFAULT, ISTIO, LINKERD, OPENTELEMETRY, Layout
from .settings import FamilyName

Labels = Mapping[str, str]

INGRESS_NAMESPACE = "ingress-nginx"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose requests are labelled. `pod` is empty for series of a whole workload."""

    namespace: str
    kind: str
    workload: str
    pod: str = ""
    version: str = "unknown"


@dataclass(frozen=True, slots=True)
class Family:
    """One way to export requests: a counter by code (unless the histogram's count serves) and a histogram."""

    scope: Literal["pod", "workload"]
    layout: Layout
    histogram: str
    labels: Callable[[Subject, str], Labels]
    """Labels by status code; of the histogram too, where it is split by code."""
    counter: str | None
    histogram_labels: Callable[[Subject], Labels] | None = None
    """Where the histogram is not split by code."""


def _generic(subject: Subject, code: str) -> Labels:
    return {"namespace": subject.namespace, "pod": subject.pod, "code": code, "method": "get"}


def _generic_histogram(subject: Subject) -> Labels:
    return {"namespace": subject.namespace, "pod": subject.pod}


def _nginx(subject: Subject, code: str) -> Labels:
    return {
        "namespace": INGRESS_NAMESPACE,
        "controller_class": "k8s.io/ingress-nginx",
        "controller_namespace": INGRESS_NAMESPACE,
        "controller_pod": "ingress-nginx-controller-0",
        "exported_namespace": subject.namespace,
        "ingress": subject.workload,
        "service": subject.workload,
        "host": f"{subject.workload}.{subject.namespace}.test",
        "path": "/",
        "method": "GET",
        "status": code,
    }


def _istio(subject: Subject, code: str) -> Labels:
    return {
        "namespace": subject.namespace,
        "pod": subject.pod,
        "reporter": "destination",
        "source_workload": "istio-ingressgateway",
        "source_workload_namespace": "istio-system",
        "destination_app": subject.workload,
        "destination_version": subject.version,
        "destination_workload": subject.workload,
        "destination_workload_namespace": subject.namespace,
        "destination_service": f"{subject.workload}.{subject.namespace}.svc.cluster.local",
        "destination_service_name": subject.workload,
        "destination_service_namespace": subject.namespace,
        "request_protocol": "http",
        "response_code": code,
        "response_flags": "UT" if code == "504" else "-",
        "connection_security_policy": "mutual_tls",
    }


def _linkerd(subject: Subject, code: str) -> Labels:
    return {
        "namespace": subject.namespace,
        subject.kind.lower(): subject.workload,
        "pod": subject.pod,
        "direction": "inbound",
        "tls": "true",
        "classification": "failure" if code[0] == "5" else "success",
        "status_code": code,
    }


def _opentelemetry(subject: Subject, code: str) -> Labels:
    failed = {"error_type": code} if code[0] == "5" else {}
    return {
        "k8s_namespace_name": subject.namespace,
        f"k8s_{subject.kind.lower()}_name": subject.workload,
        "k8s_pod_name": subject.pod,
        "service_name": subject.workload,
        "http_request_method": "GET",
        "http_response_status_code": code,
        "http_route": "/",
        "url_scheme": "http",
        **failed,
    }


FAMILIES: Mapping[FamilyName, Family] = {
    "http-generic": Family(
        "pod", DEFAULT, "http_request_duration_seconds", _generic, "http_requests_total", _generic_histogram
    ),
    "nginx-ingress": Family(
        "workload",
        DEFAULT,
        "nginx_ingress_controller_request_duration_seconds",
        _nginx,
        "nginx_ingress_controller_requests",
    ),
    "istio": Family("pod", ISTIO, "istio_request_duration_milliseconds", _istio, "istio_requests_total"),
    "linkerd": Family("pod", LINKERD, "response_latency_ms", _linkerd, "response_total"),
    "opentelemetry": Family("pod", OPENTELEMETRY, "http_server_request_duration_seconds", _opentelemetry, None),
}
