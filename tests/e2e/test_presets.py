"""Every query of every family, on a real Prometheus: it parses, and it answers what was put in.

Two sources of metrics: a page of our own, for all families, on which each number is known exactly (and on which stand
the series that must not count); and the load model, whose Deployment runs on the cluster.
"""

from __future__ import annotations

import asyncio
import functools
import http.server
import itertools
import json
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from resilience_operator.decision.model.observation import Observation
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.signals import Signal, SignalCollector, SignalRequest, SourceConfig, SourceRegistry
from resilience_operator.signals.presets.models import load_families, queries, render
from resilience_operator.signals.prometheus.source import PrometheusSource
from tests.cluster import Cluster
from tests.support.observed import observed
from tests.support.prometheus import prometheus
from tests.support.world import World

FAMILIES = load_families()
WINDOW = 10.0
OLD, NEW = "checkout-5d9f8", "checkout-7c4b2"
OWNERS = {OLD: "5d9f8", NEW: "7c4b2"}
BY_SERVICE = {"nginx-ingress", "traefik"}
BOUNDS = (0.1, 0.5, 1.0, 2.5)


@dataclass(frozen=True)
class Pod:
    """What one pod does each second. shares: cumulative, of requests by `BOUNDS`."""

    name: str
    rps: float
    errors: float
    shares: tuple[float, ...]
    cpu: float


PODS = (
    Pod(f"{OLD}-aaaaa", 50, 0.01, (0.90, 0.995, 1, 1), 0.2),
    Pod(f"{OLD}-bbbbb", 50, 0.01, (0.90, 0.995, 1, 1), 0.2),
    Pod(f"{NEW}-ccccc", 50, 0.20, (0.50, 0.80, 0.90, 1), 0.4),
)

P99_OLD = 0.1 + 0.4 * (0.99 - 0.9) / (0.995 - 0.9)
P99_NEW = 1.0 + 1.5 * (0.99 - 0.9) / 0.1
# All three pods: 115, 139.5, 145 and 150 of 150 requests.
P99_ALL = 1.0 + 1.5 * (0.99 * 150 - 145) / 5


STATUSES: Mapping[str, tuple[dict[str, str], dict[str, str]]] = {
    "status-code": ({"status_code": "200"}, {"status_code": "503"}),
    "class": ({"status": "2xx"}, {"status": "5xx"}),
    "upper": ({"http_status": "2XX"}, {"http_status": "5XX"}),
    "words": ({"code": "200 OK"}, {"code": "500 Internal Server Error"}),
    "decimal": ({"response_code": "200.0"}, {"response_code": "502.0"}),
    "beside": ({"status": "success", "status_code": "200"}, {"status": "error", "status_code": "500"}),
    "unknown": ({"status": "2xx"}, {"status": "Hxx"}),
    "bare": ({"path": "/a"}, {"path": "/b"}),
}
"""Labels of good and of bad requests, by workload."""


def page(namespace: str, seconds: float) -> str:
    """The counters after `seconds`."""
    t = seconds + 1000.0  # never near 0, where a counter's first increase is lost
    lines: list[str] = []

    def put(metric: str, value: float, /, **labels: str) -> None:
        inside = ",".join(f'{k}="{v}"' for k, v in labels.items())
        lines.append(f"{metric}{{{inside}}} {value:.6f}")

    def histogram(metric: str, pod: Pod, unit: float, /, **labels: str) -> None:
        for bound, share in zip(BOUNDS, pod.shares, strict=True):
            put(f"{metric}_bucket", pod.rps * share * t, le=f"{bound * unit:g}", **labels)
        put(f"{metric}_bucket", pod.rps * t, le="+Inf", **labels)
        put(f"{metric}_count", pod.rps * t, **labels)

    for pod in PODS:
        at = {"namespace": namespace, "pod": pod.name}
        good, bad = pod.rps * (1 - pod.errors) * t, pod.rps * pod.errors * t

        code = "code" if OLD in pod.name else "status"
        put("http_requests_total", good, **at, **{code: "200"})
        put("http_requests_total", bad, **at, **{code: "500" if code == "code" else "5xx"})
        histogram("http_request_duration_seconds", pod, 1, **at)

        otel = {"k8s_namespace_name": namespace, "k8s_pod_name": pod.name}
        name = "http_server_request_duration_seconds"
        put(f"{name}_count", good, **otel, http_response_status_code="200")
        put(f"{name}_count", bad, **otel, http_response_status_code="503")
        for bound, share in (*zip(BOUNDS, pod.shares, strict=True), ("+Inf", 1.0)):
            put(f"{name}_bucket", pod.rps * share * t, **otel, http_response_status_code="200", le=str(bound))

        # Half of the errors are HTTP 503 with a gRPC status, half gRPC's alone. The client's side does not count.
        mesh = {**at, "reporter": "destination"}
        put("istio_requests_total", good, **mesh, response_code="200", grpc_response_status="0")
        put("istio_requests_total", bad / 2, **mesh, response_code="503", grpc_response_status="14")
        put("istio_requests_total", bad / 2, **mesh, response_code="200", grpc_response_status="14")
        put("istio_requests_total", 77 * t, **at, reporter="source", response_code="503")
        histogram("istio_request_duration_milliseconds", pod, 1000, **mesh)

        put("response_total", good, **at, direction="inbound", classification="success", status_code="200")
        put("response_total", bad, **at, direction="inbound", classification="failure", status_code="500")
        put("response_total", 77 * t, **at, direction="outbound", classification="failure", status_code="500")
        histogram("response_latency_ms", pod, 1000, **at, direction="inbound")

        envoy = {**at, "envoy_http_conn_manager_prefix": "ingress_http"}
        put("envoy_http_downstream_rq_xx", good, **envoy, envoy_response_code_class="2")
        put("envoy_http_downstream_rq_xx", bad, **envoy, envoy_response_code_class="5")
        admin = {**at, "envoy_http_conn_manager_prefix": "admin"}
        put("envoy_http_downstream_rq_xx", 77 * t, **admin, envoy_response_code_class="5")
        histogram("envoy_http_downstream_rq_time", pod, 1000, **envoy)

        # The controller's view: with and without honor_labels. `path` keeps pods apart on the page only.
        honoured = NEW in pod.name
        ingress = {"path": pod.name, "ingress": "web"} | (
            {"namespace": namespace, "service": "checkout"}
            if honoured
            else {
                "namespace": "ingress-nginx",
                "exported_namespace": namespace,
                "service": "controller",
                "exported_service": "checkout",
            }
        )
        put("nginx_ingress_controller_requests", good, **ingress, status="200")
        put("nginx_ingress_controller_requests", bad, **ingress, status="502")
        histogram("nginx_ingress_controller_request_duration_seconds", pod, 1, **ingress)

        traefik = {"service": f"{namespace}-checkout-80@kubernetes", "edge": pod.name}
        put("traefik_service_requests_total", good, **traefik, code="200")
        put("traefik_service_requests_total", bad, **traefik, code="500")
        histogram("traefik_service_request_duration_seconds", pod, 1, **traefik)

        put("container_cpu_usage_seconds_total", pod.cpu * t, **at, container="app")
        put("container_cpu_usage_seconds_total", 9 * t, **at, container="")
        put("container_cpu_usage_seconds_total", 9 * t, **at, container="POD")
        put("container_cpu_usage_seconds_total", 0.1 * t, **at, container="sidecar-without-request")
        for replica in ("a", "b"):  # two replicas of kube-state-metrics
            put("kube_pod_container_resource_requests", 0.5, **at, container="app", resource="cpu", replica=replica)
        put("kube_pod_container_resource_requests", 64, **at, container="app", resource="memory")
        put("kube_pod_status_phase", 0, **at, phase="Failed")

    # A pod that is gone but for its counters, and one that was evicted.
    put("container_cpu_usage_seconds_total", 9 * t, namespace=namespace, pod=f"{OLD}-gone0", container="app")
    evicted = {"namespace": namespace, "pod": f"{OLD}-evict"}
    put("kube_pod_container_resource_requests", 9, **evicted, container="app", resource="cpu")
    put("kube_pod_status_phase", 1, **evicted, phase="Failed")
    # A StatefulSet, and a Deployment that asks for nothing and serves nobody.
    put("http_requests_total", 10 * t, namespace=namespace, pod="store-0", code="200")
    put("http_requests_total", 10 * t, namespace=namespace, pod="store-1", code="500")
    put("http_requests_total", 10, namespace=namespace, pod="idle-6f7b-ddddd", code="200")
    put("http_request_duration_seconds_count", 10, namespace=namespace, pod="idle-6f7b-ddddd")
    for le in ("1", "+Inf"):
        put("http_request_duration_seconds_bucket", 10, namespace=namespace, pod="idle-6f7b-ddddd", le=le)
    # What is scraped twice: by an HA pair without deduplication, by two jobs, and in two clusters of one store.
    for replica in ("a", "b"):
        paired = {"namespace": namespace, "pod": "paired-6f7b-aaaaa", "prometheus_replica": f"prometheus-{replica}"}
        put("http_requests_total", 45 * t, **paired, code="200")
        put("http_requests_total", 5 * t, **paired, code="500")
        histogram("http_request_duration_seconds", PODS[0], 1, **paired)
        put("container_cpu_usage_seconds_total", 0.2 * t, **paired, container="app", metrics_path=f"/{replica}")
        put("kube_pod_container_resource_requests", 0.5, **paired, container="app", resource="cpu")
        mixed = {"namespace": namespace, "pod": "mixed-6f7b-aaaaa", "cluster": replica}
        put("http_requests_total", 10 * t, **mixed, code="200")
        histogram("http_request_duration_seconds", PODS[0], 1, **mixed)
        put("container_cpu_usage_seconds_total", 0.2 * t, **mixed, container="app")
        put("kube_pod_container_resource_requests", 0.5, **mixed, container="app", resource="cpu")
    # Statuses in other labels and forms.
    for name, (good, bad) in STATUSES.items():
        for labels, rate in ((good, 8), (bad, 2)):
            put("http_requests_total", rate * t, namespace=namespace, pod=f"{name}-6f7b-aaaaa", **labels)
    # Only the sidecar has a CPU request.
    lone = {"namespace": namespace, "pod": "lone-6f7b-aaaaa"}
    put("container_cpu_usage_seconds_total", 0.012 * t, **lone, container="proxy")
    put("container_cpu_usage_seconds_total", 3 * t, **lone, container="app")
    put("kube_pod_container_resource_requests", 0.1, **lone, container="proxy", resource="cpu")
    for i, pod in enumerate(PODS):
        put("queue_depth", i + 1, namespace=namespace, pod=pod.name)
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Owner:
    """A ReplicaSet with pods, and the Deployment that it belongs to."""

    workload: str
    name: str
    revision: str
    tag: str


@dataclass
class Exporter:
    """Serves the page on a loopback port."""

    namespace: str
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = page(exporter.namespace, time.monotonic() - exporter.started).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def exporter(cluster: Cluster) -> Iterator[Exporter]:
    found = Exporter(f"presets-{uuid.uuid4().hex[:8]}")
    folder = cluster.layout.scrape_targets
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{found.namespace}.json"
    try:
        target.write_text(json.dumps([{"targets": [found.address]}]))
        time.sleep(WINDOW + 4)
        yield found
    finally:
        target.unlink(missing_ok=True)
        found.close()


@pytest.fixture
async def collector(cluster: Cluster) -> Any:
    sources = SourceRegistry(
        {"default": PrometheusSource(SourceConfig(name="default", url=cluster.prometheus_url, tenancy="none"))}
    )
    yield SignalCollector(sources, FAMILIES)
    await sources.close()


def request(
    namespace: str,
    family: str,
    signal: str,
    owners: Mapping[str, str] | None = None,
    name: str = "checkout",
    kind: str = "Deployment",
    **own: Any,
) -> SignalRequest:
    preset = {} if own.keys() & {"query", "preset"} else {"preset": signal}
    return SignalRequest(
        namespace,
        name,
        kind,
        OWNERS if owners is None else owners,
        Signal(signal, window_seconds=WINDOW, **preset, **own),
        family=family,
    )


async def observe(collector: SignalCollector, *requests: SignalRequest) -> list[Observation]:
    return await observed(collector, requests, now=time.time(), deadline=Deadline.after(10))


def about(value: float) -> Any:
    return pytest.approx(value, rel=0.08)


def in_the_end(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Tried again for a minute: a busy machine leaves gaps between scrapes, over which Prometheus extrapolates."""

    @functools.wraps(test)
    async def patient(*arguments: Any, **named: Any) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                return await test(*arguments, **named)
            except AssertionError:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(1)

    return patient


OWN = 'namespace="{{namespace}}", pod=~"{{pods}}"'

ALL_QUERIES = [
    pytest.param(query, id=f"{family}-{signal}-{part}")
    for family, signal in itertools.chain.from_iterable(
        ((family, signal) for signal in FAMILIES.signals(family)) for family in FAMILIES.names
    )
    for part, query in queries(FAMILIES.find(family, signal)[1]).items()  # type: ignore[index]
]


ALL_QUERIES += [
    pytest.param(family.scrapes, id=f"{family.name}-scrapes")
    for name in (*FAMILIES.names, "pods")
    if (family := FAMILIES.family(name)) is not None and family.scrapes
]


@pytest.mark.parametrize("query", ALL_QUERIES)
async def test_parses_with_and_without_scope(cluster: Cluster, query: str) -> None:
    source = PrometheusSource(SourceConfig(name="default", url=cluster.prometheus_url, tenancy="none"))
    try:
        for scope in ("", 'namespace=~"no-such|[.]"'):
            await source.query(render(query, scope, scope, 90.5), deadline=Deadline.after(10))
    finally:
        await source.close()


@pytest.mark.parametrize("family", FAMILIES.names)
class TestKnownNumbers:
    @in_the_end
    async def test_error_rate(self, family: str, exporter: Exporter, collector: SignalCollector) -> None:
        [found] = await observe(collector, request(exporter.namespace, family, "error-rate"))
        assert found.measured, found.message
        assert found.measured.value == about((1 + 10) / 150)
        assert found.measured.samples == about(150 * WINDOW)
        assert found.measured.events == about(11 * WINDOW)
        assert found.splittable is (family not in BY_SERVICE)
        if found.splittable:
            assert found.by_revision["5d9f8"].value == about(0.01)
            assert found.by_revision["7c4b2"].value == about(0.20)
            assert found.by_revision["7c4b2"].samples == about(50 * WINDOW)
        else:
            assert not found.by_revision

    @in_the_end
    async def test_latency(self, family: str, exporter: Exporter, collector: SignalCollector) -> None:
        [found] = await observe(collector, request(exporter.namespace, family, "latency-p99"))
        assert found.measured, found.message
        assert found.measured.value == about(P99_ALL)
        assert found.measured.samples == about(150 * WINDOW)
        if found.splittable:
            assert found.by_revision["5d9f8"].value == about(P99_OLD)
            assert found.by_revision["7c4b2"].value == about(P99_NEW)

    @in_the_end
    async def test_cpu(self, family: str, exporter: Exporter, collector: SignalCollector) -> None:
        [found] = await observe(collector, request(exporter.namespace, family, "cpu"))
        assert found.measured, found.message
        assert found.measured.value == about(0.8 / 1.5)
        assert found.by_revision["5d9f8"].value == about(0.4)
        assert found.by_revision["7c4b2"].value == about(0.8)


async def test_a_batch_of_all_families_is_one_collection(exporter: Exporter, collector: SignalCollector) -> None:
    batch = [
        request(exporter.namespace, family, signal) for family in FAMILIES.names for signal in FAMILIES.signals(family)
    ]
    found = await observe(collector, *batch)
    assert [o.message for o in found if o.measured is None] == []


@in_the_end
async def test_only_the_revisions_that_have_pods_count(exporter: Exporter, collector: SignalCollector) -> None:
    owners = {OLD: "5d9f8"}
    errors, latency = await observe(
        collector,
        request(exporter.namespace, "http-generic", "error-rate", owners),
        request(exporter.namespace, "http-generic", "latency-p99", owners),
    )
    assert errors.measured and latency.measured
    assert errors.measured.value == about(0.01)
    assert latency.measured.value == about(P99_OLD)


@in_the_end
async def test_a_statefulset_is_measured_as_a_whole(exporter: Exporter, collector: SignalCollector) -> None:
    store = request(exporter.namespace, "http-generic", "error-rate", {"store": "rev-1"}, "store", "StatefulSet")
    [found] = await observe(collector, store)
    assert found.measured
    assert found.measured.value == about(0.5)
    assert not found.splittable


async def test_no_traffic_is_not_no_data(exporter: Exporter, collector: SignalCollector) -> None:
    idle = {"idle-6f7b": "6f7b"}
    found = await observe(
        collector,
        request(exporter.namespace, "http-generic", "error-rate", idle, "idle"),
        request(exporter.namespace, "http-generic", "latency-p99", idle, "idle"),
        request(exporter.namespace, "http-generic", "cpu", idle, "idle"),
        request(exporter.namespace, "istio", "error-rate", idle, "idle"),
    )
    assert [o.reason for o in found] == ["NoTraffic", "NoTraffic", "NoData", "NoData"]
    assert "resources.requests.cpu" in found[2].message


def of(exporter: Exporter, name: str, signal: str, **how: Any) -> SignalRequest:
    """A signal of a workload with one pod."""
    return request(exporter.namespace, "http-generic", signal, {f"{name}-6f7b": "6f7b"}, name, **how)


@in_the_end
async def test_what_is_scraped_twice_counts_once(exporter: Exporter, collector: SignalCollector) -> None:
    errors, latency, cpu = await observe(
        collector,
        of(exporter, "paired", "error-rate"),
        of(exporter, "paired", "latency-p99"),
        of(exporter, "paired", "cpu"),
    )
    assert errors.measured and latency.measured and cpu.measured
    assert (errors.measured.value, errors.measured.samples) == (about(0.1), about(50 * WINDOW))
    assert (latency.measured.value, latency.measured.samples) == (about(P99_OLD), about(50 * WINDOW))
    assert cpu.measured.value == about(0.4)


@in_the_end
async def test_two_clusters_are_not_added_up(exporter: Exporter, collector: SignalCollector) -> None:
    names = ("error-rate", "latency-p99", "cpu")
    found = await observe(collector, *(of(exporter, "mixed", name) for name in names))
    assert {o.reason for o in found} == {"SeveralClusters"}
    assert all("clusters a, b" in o.message for o in found)


@in_the_end
async def test_a_source_with_matchers_sees_one_cluster(cluster: Cluster, exporter: Exporter) -> None:
    config = SourceConfig(name="default", url=cluster.prometheus_url, tenancy="none", matchers={"cluster": "a"})
    sources = SourceRegistry({"default": PrometheusSource(config)})
    one = SignalCollector(sources, FAMILIES)
    try:
        errors, cpu, own = await observe(
            one,
            of(exporter, "mixed", "error-rate"),
            of(exporter, "mixed", "cpu"),
            of(exporter, "mixed", "own", query='count(http_requests_total{pod=~"{{pods}}"})'),
        )
        assert errors.measured and cpu.measured and own.measured, (errors, cpu, own)
        assert errors.measured.samples == about(10 * WINDOW)
        assert cpu.measured.value == about(0.4)
        assert own.measured.value == 1.0
    finally:
        await one.close()
        await sources.close()


@pytest.mark.parametrize("name", STATUSES)
@in_the_end
async def test_a_status_is_read_or_unknown(name: str, exporter: Exporter, collector: SignalCollector) -> None:
    [found] = await observe(collector, of(exporter, name, "error-rate"))
    if name in ("unknown", "bare"):
        assert (found.measured, found.reason) == (None, "StatusNotReadable")
        assert ('status="Hxx"' if name == "unknown" else "http_status_code") in found.message
    else:
        assert found.measured, found.message
        assert found.measured.value == about(0.2)


@in_the_end
async def test_cpu_of_containers_without_a_request(exporter: Exporter, collector: SignalCollector) -> None:
    cpu, proxy = await observe(
        collector, of(exporter, "lone", "cpu"), of(exporter, "lone", "cpu", preset="cpu", container="proxy")
    )
    assert (cpu.measured, cpu.reason) == (None, "CpuNotCovered")
    assert "container app" in cpu.message
    assert proxy.measured and proxy.measured.value == about(0.12)


@pytest.mark.parametrize("family", sorted({*FAMILIES.names} - BY_SERVICE))
async def test_increments_of_pods(family: str, exporter: Exporter, collector: SignalCollector) -> None:
    """Between two looks each pod counts what the page's counters gained in between, to the last request."""
    requests = [
        replace(request(exporter.namespace, family, signal), watched=True) for signal in ("error-rate", "latency-p99")
    ]
    first = await observe(collector, *requests)
    assert [(o.increments, o.since) for o in first] == [((), None), ((), None)]
    seconds = 0.0
    for _ in range(100):
        await asyncio.sleep(1)
        errors, latency = await observe(collector, *requests)
        assert errors.since is not None and latency.since is not None
        counted = {i.pod: i for i in errors.increments}
        assert set(counted) == {pod.name for pod in PODS} == {i.pod for i in latency.increments}
        old, new = counted[PODS[0].name], counted[PODS[2].name]
        assert (old.revision, new.revision) == ("5d9f8", "7c4b2")
        assert old.events == pytest.approx(old.samples * 0.01, rel=1e-3)
        assert new.events == pytest.approx(new.samples * 0.2, rel=1e-3)
        seconds += new.samples / 50
        for one in latency.increments:
            assert one.histogram is not None and one.histogram.bounds[:4] == pytest.approx(BOUNDS)
            pod = next(pod for pod in PODS if pod.name == one.pod)
            shares = [one.samples * share for share in pod.shares]
            assert one.histogram.counts[:4] == pytest.approx(shares, abs=1e-3, rel=1e-3)
        if seconds > 3:
            break
    assert seconds > 3
    assert errors.measured and latency.measured and latency.measured.histogram
    assert latency.measured.histogram.counts[-1] == pytest.approx(latency.measured.samples)


def exponential(seconds: float) -> dict[str, Any]:
    """What an OpenTelemetry SDK exports after `seconds`: each second 45 requests of about 0.1 s, and 5 failures of 2 s.

    Bucket i of scale 3 holds what is above 2^(i/8) seconds, up to 2^((i+1)/8).
    """

    def point(status: str, rate: float, index: int) -> dict[str, Any]:
        attributes = {
            "k8s.namespace.name": "native",
            "k8s.pod.name": "checkout-5d9f8-aaaaa",
            "http.response.status_code": status,
        }
        count = str(round(rate * seconds))
        return {
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
            "startTimeUnixNano": "1",
            "timeUnixNano": str(time.time_ns()),
            "count": count,
            "sum": 1.0,
            "scale": 3,
            "zeroCount": "0",
            "positive": {"offset": index, "bucketCounts": [count]},
        }

    points = [point("200", 45, -27), point("500", 5, 8)]
    data = {"aggregationTemporality": 2, "dataPoints": points}
    metric = {"name": "http.server.request.duration", "unit": "s", "exponentialHistogram": data}
    return {"resourceMetrics": [{"resource": {"attributes": []}, "scopeMetrics": [{"metrics": [metric]}]}]}


def push(url: str, seconds: float) -> None:
    body = json.dumps(exponential(seconds)).encode()
    posted = Request(f"{url}/api/v1/otlp/v1/metrics", body, {"Content-Type": "application/json"})
    with urlopen(posted, timeout=10) as answer:
        assert answer.status == 200


async def test_native_histograms(cluster: Cluster, tmp_path: Path) -> None:
    owner = {"checkout-5d9f8": "5d9f8"}
    names = ("latency-p99", "latency-p50", "error-rate")
    requests = [replace(request("native", "opentelemetry", name, owner), watched=True) for name in names]
    with prometheus(cluster, tmp_path, "--web.enable-otlp-receiver") as url:
        sources = SourceRegistry({"default": PrometheusSource(SourceConfig(name="default", url=url, tenancy="none"))})
        found = SignalCollector(sources, FAMILIES)
        try:
            started = time.monotonic()
            for _ in range(60):
                await asyncio.to_thread(push, url, 1000 + time.monotonic() - started)
                slow, median, errors = await observe(found, *requests)
                if slow.measured and errors.measured and slow.increments and slow.increments[0].samples > 100:
                    break
                await asyncio.sleep(2)
            assert slow.measured and median.measured and errors.measured, (slow, median, errors)
            assert 2.0 <= slow.measured.value <= 2 ** (9 / 8)
            assert 2 ** (-27 / 8) <= median.measured.value <= 2 ** (-26 / 8)
            assert errors.measured.value == about(0.1)
            histogram, one = slow.measured.histogram, slow.increments[0]
            assert histogram is not None and histogram.counts[-1] == pytest.approx(slow.measured.samples)
            assert one.histogram is not None and one.histogram.counts[-1] == one.samples
            between = [c for b, c in zip(one.histogram.bounds, one.histogram.counts, strict=True) if 0.2 < b < 2]
            assert all(count == pytest.approx(one.samples * 0.9, rel=0.05) for count in between)
            assert errors.increments[0].events == pytest.approx(errors.increments[0].samples * 0.1, rel=0.1)
        finally:
            await found.close()
            await sources.close()


@in_the_end
async def test_custom_queries(exporter: Exporter, collector: SignalCollector) -> None:
    ns = exporter.namespace
    depth = 'queue_depth{namespace="{{namespace}}", pod=~"{{pods}}"}'
    hits = "http_requests_total"
    per_pod, one, several, split = await observe(
        collector,
        request(ns, "http-generic", "depth", query=depth),
        request(ns, "http-generic", "depth", query=f"sum({depth})"),
        request(ns, "http-generic", "hits", query=hits + '{namespace="{{namespace}}"}'),
        request(
            ns,
            "http-generic",
            "errors",
            unit="ratio",
            query=f'sum by (pod) (rate({hits}{{{OWN}, code="500"}}[{{{{window}}}}])) '
            f"/ sum by (pod) (rate({hits}{{{OWN}}}[{{{{window}}}}]))",
            samples_query=f"sum by (pod) (increase({hits}{{{OWN}}}[{{{{window}}}}]))",
        ),
    )
    assert per_pod.measured and per_pod.measured.value == about(2.0)
    assert per_pod.by_revision["5d9f8"].value == about(1.5)
    assert per_pod.splittable
    assert one.measured and one.measured.value == about(6.0)
    assert not one.splittable
    assert several.reason == "AmbiguousResult"
    assert split.measured and split.by_revision["5d9f8"].events == about(WINDOW)


async def test_a_wrong_query_says_what_is_wrong(cluster: Cluster, collector: SignalCollector) -> None:
    wrong, missing = await observe(
        collector,
        request("x", "http-generic", "own", query="sum(rate(foo{{{window}}"),
        request("x", "http-generic", "own", query="foo{pod=~'{{pod}}'}"),
    )
    assert wrong.reason == missing.reason == "BadQuery"
    assert "parse error" in wrong.message
    assert "{{pods}}" in missing.message


MODELLED = ("http-generic", "nginx-ingress", "istio", "linkerd", "opentelemetry")


async def settled(collector: SignalCollector, *requests: SignalRequest, samples: float) -> list[Observation]:
    """The observations once the window is full: the request counts stand still at what they should be."""
    for _ in range(60):
        found = await observe(collector, *requests)
        counts = [o.measured.samples if o.measured else 0 for o in found]
        if all(c is None or c > 0.95 * samples for c in counts):
            return found
        await asyncio.sleep(1)
    raise AssertionError([o.message or o for o in found])


class TestLoadModel:
    """A Deployment on the cluster: what was set is what is read."""

    async def test_a_release_is_split_in_every_family(self, world: World, collector: SignalCollector) -> None:
        old, new = world.image("1.0"), world.image("2.0")
        world.load.workload(world.namespace, "checkout", rps=120, families=list(MODELLED), cpu_utilisation=0.85)
        world.load.image(old, latency_p99_seconds=0.3, error_ratio=0.01)
        world.load.image(new, latency_p99_seconds=1.4, error_ratio=0.2)
        # The new pod is ready but not available: the release stands still with three old pods and one new.
        calm = {"minReadySeconds": 120, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
        world.deployment(replicas=3)
        world.apps.patch_namespaced_deployment("checkout", world.namespace, {"spec": calm})
        world.release("2.0")
        owners = await self.owners(world, 2)
        by_tag = {owner.tag: owner.revision for owner in owners}
        mapping = {owner.name: owner.revision for owner in owners}
        asked = [
            request(world.namespace, family, signal, mapping)
            for family in MODELLED
            for signal in ("error-rate", "latency-p99", "cpu")
        ]
        for _ in range(60):
            found = await settled(collector, *asked, samples=120 * WINDOW)
            try:
                return self.agree(found, by_tag)
            except AssertionError as error:
                # Counts may stand still before the last of the old share has left the window.
                last = error
                await asyncio.sleep(1)
        raise last

    @staticmethod
    def agree(found: list[Observation], by_tag: dict[str, str]) -> None:
        """What was set is what is read, of all pods together and of each revision."""
        for index, family in enumerate(MODELLED):
            errors, latency, cpu = found[3 * index : 3 * index + 3]
            assert errors.measured and latency.measured and cpu.measured, (family, errors, latency, cpu)
            assert errors.measured.value == about((3 * 0.01 + 0.2) / 4), family
            assert errors.measured.samples == about(120 * WINDOW), family
            assert 0.3 < latency.measured.value < 1.5, family
            assert cpu.measured.value == about(0.85)
            if family in BY_SERVICE:
                assert not errors.by_revision and not latency.by_revision
                continue
            assert errors.by_revision[by_tag["2.0"]].value == about(0.2), family
            assert errors.by_revision[by_tag["1.0"]].value == about(0.01), family
            assert latency.by_revision[by_tag["2.0"]].value == about(1.4), family
            assert latency.by_revision[by_tag["1.0"]].value == about(0.3), family

    @staticmethod
    async def owners(world: World, count: int) -> list[Owner]:
        """The ReplicaSets that have ready pods, once there are `count`."""
        for _ in range(60):
            found = [
                Owner(
                    r.metadata.owner_references[0].name,
                    r.metadata.name,
                    r.metadata.labels["pod-template-hash"],
                    r.spec.template.spec.containers[0].image.rpartition(":")[2],
                )
                for r in world.apps.list_namespaced_replica_set(world.namespace).items
                if r.status.ready_replicas
            ]
            if len(found) == count:
                return found
            await asyncio.sleep(0.5)
        raise AssertionError(found)

    async def test_faults_are_unknown(self, world: World, collector: SignalCollector) -> None:
        gone = {"NoData", "NoTraffic"}
        cases: dict[str, tuple[dict[Any, Any], str, set[str]]] = {
            "latency-nan": ({"latency": "nan"}, "latency-p99", {"NotANumber"}),
            "latency-absent": ({"latency": "absent"}, "latency-p99", gone),
            "latency-stale": ({"latency": "stale"}, "latency-p99", gone),
            "errors-nan": ({"errors": "nan"}, "error-rate", {"NotANumber"}),
            "errors-absent": ({"errors": "absent"}, "error-rate", gone),
            "cpu-nan": ({"cpu": "nan"}, "cpu", {"NotANumber"}),
            "cpu-absent": ({"cpu": "absent"}, "cpu", gone),
        }
        for name in cases:
            world.load.workload(world.namespace, name, rps=60)
            world.deployment(name, replicas=1)
        owners = {o.workload: {o.name: o.revision} for o in await self.owners(world, len(cases))}
        asked = [
            request(world.namespace, "http-generic", signal, owners[name], name)
            for name, (_, signal, _) in cases.items()
        ]
        await settled(collector, *asked, samples=60)
        for name, (fault, _, _) in cases.items():
            world.load.workload(world.namespace, name, metrics=fault)
        for _ in range(40):
            found = await observe(collector, *asked)
            if all(o.measured is None for o in found):
                break
            await asyncio.sleep(1)
        told = {name: (o.measured, o.reason) for name, o in zip(cases, found, strict=True)}
        assert {n: t for n, t in told.items() if t[0] is not None or t[1] not in cases[n][2]} == {}
