"""What pods do under load and settings, and what their counters count. The clock is passed in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from tests.cluster.loadmodel import behaviour, exposition, layouts, objects
from tests.cluster.loadmodel.engine import Engine
from tests.cluster.loadmodel.objects import Container, Key, Owner, Pod
from tests.cluster.loadmodel.settings import FAMILIES, Effective, ImageSettings, WorkloadSettings, combine

SHOP = Key("shop", "checkout")
GOOD, BAD = "shop/checkout:1.0", "shop/checkout:2.0"


def pod(number: int, image: str = GOOD, **changes: Any) -> Pod:
    return replace(
        Pod(
            uid=f"uid-{number}",
            namespace="shop",
            name=f"checkout-5d8f-{number}",
            node="node-0",
            pod_ip="10.0.0.1",
            host_ip="10.1.0.1",
            phase="Running",
            ready=True,
            terminating=False,
            host_network=False,
            priority_class="",
            version="unknown",
            owner=Owner("ReplicaSet", "checkout-5d8f"),
            template_hash="5d8f",
            containers=(Container("main", image, 0.1, None),),
        ),
        **changes,
    )


def engine(pods: Iterable[Pod], **settings: Any) -> Engine:
    made = Engine()
    made.set_workload(SHOP, WorkloadSettings.model_validate(settings), 0.0)
    for one in pods:
        made.put_pod(one, 0.0)
    return made


def samples(page: bytes) -> dict[str, float]:
    lines = [line for line in page.decode().splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}


def total(page: bytes, metric: str, *needles: str) -> float:
    chosen = [v for s, v in samples(page).items() if s.startswith(metric + "{") and all(n in s for n in needles)]
    assert chosen, f"no {metric} with {needles}"
    return sum(chosen)


@pytest.mark.parametrize(
    ("total_load", "weights", "expected"),
    [
        (30.0, {}, [10.0, 10.0, 10.0]),
        (30.0, {"a": 4.0}, [20.0, 5.0, 5.0]),
        (30.0, {"a": 0.0}, [0.0, 15.0, 15.0]),
        (30.0, {"a": 0.0, "b": 0.0, "c": 0.0}, [0.0, 0.0, 0.0]),
    ],
)
def test_load_is_shared(total_load: float, weights: dict[str, float], expected: list[float]) -> None:
    assert list(behaviour.shares(total_load, ["a", "b", "c"], weights).values()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("request_", "limit", "rps", "expected"),
    [
        (0.1, None, 10, 0.05),
        (0.1, None, 100, 0.2),  # request x burst factor
        (0.1, 0.15, 100, 0.15),  # its own limit
        (None, None, 1000, 1.0),
    ],
)
def test_cpu_follows_load_up_to_the_limit(
    request_: float | None, limit: float | None, rps: float, expected: float
) -> None:
    containers = (Container("main", GOOD, request_, limit),)
    now = behaviour.pod_now(Effective(), containers, rps=rps, cpu_total_share=0.0)
    assert now.cpu_cores == pytest.approx(expected)


@pytest.mark.parametrize("replicas", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("settings", "expected_at_one"),
    [({"rps": 20}, 1.0), ({"cpu_total_cores": 0.3}, 3.0)],
    ids=["from-load", "total-override"],
)
def test_cpu_falls_as_replicas_rise(replicas: int, settings: dict[str, float], expected_at_one: float) -> None:
    for state in engine([pod(i) for i in range(replicas)], **settings).pods():
        assert state.now.cpu_cores / 0.1 == pytest.approx(expected_at_one / replicas)


@pytest.mark.parametrize("replicas", [1, 4])
def test_a_fixed_cpu_stays(replicas: int) -> None:
    for state in engine([pod(i) for i in range(replicas)], cpu_utilisation=0.85).pods():
        assert state.now.cpu_cores == pytest.approx(0.085)


@pytest.mark.parametrize(
    "changes", [{"ready": False}, {"terminating": True}, {"phase": "Pending", "ready": False}], ids=str
)
def test_only_ready_pods_get_load(changes: dict[str, Any]) -> None:
    idle, busy = engine([pod(0, **changes), pod(1)], rps=20).pods()
    assert (idle.now.rps, idle.now.cpu_cores) == (0.0, 0.0)
    assert busy.now.rps == 20


def test_an_image_wins_over_its_workload() -> None:
    made = engine([pod(0), pod(1, BAD)], rps=20, error_ratio=0.0, cpu_total_cores=0.1)
    made.set_image(BAD, ImageSettings(error_ratio=0.2, latency_p99_seconds=1.4, cpu_utilisation=0.9), 0.0)
    good, bad = made.pods()
    assert [good.now.error_ratio, good.now.cpu_cores] == pytest.approx([0.0, 0.05])
    assert [bad.now.error_ratio, bad.now.cpu_cores] == pytest.approx([0.2, 0.09])
    assert good.now.latency_p99 < 1.0
    assert bad.now.latency_p99 == 1.4


def test_counters_are_rate_times_time_and_deterministic() -> None:
    pages = []
    for steps in (1, 60):
        made = engine([pod(i) for i in range(3)], rps=30, cpu_utilisation=0.85, error_ratio=0.2)
        for step in range(steps):
            made.advance((step + 1) * 60 / steps)
        pages.append(samples(exposition.render(made)))
        page = exposition.render(made)
        assert total(page, "http_requests_total") == pytest.approx(1800)
        assert total(page, "http_requests_total", 'code="500"') == pytest.approx(360)
        assert total(page, exposition.CPU, 'container="main"') == pytest.approx(3 * 0.085 * 60)
        assert total(page, "http_request_duration_seconds_count") == pytest.approx(1800)
    assert pages[0] == pytest.approx(pages[1])


def test_counters_never_fall_and_a_new_pod_counts_from_zero() -> None:
    made, last = engine([pod(0)], rps=20), -1.0
    for second, rps in enumerate([20, 500, 0, 3, 90], start=1):
        made.set_workload(SHOP, WorkloadSettings(rps=rps), float(second))
        made.advance(second + 0.5)
        count = total(exposition.render(made), "http_requests_total")
        assert count >= last
        last = count
    made.remove_pod("uid-0", 10.0)
    made.put_pod(replace(pod(0), uid="another"), 10.0)
    made.advance(11.0)
    assert total(exposition.render(made), "http_requests_total") == pytest.approx(90)


def test_a_change_counts_from_its_moment() -> None:
    made = engine([pod(0)], rps=10)
    made.set_workload(SHOP, WorkloadSettings(rps=30), 4.0)
    made.advance(6.0)
    assert total(exposition.render(made), "http_requests_total") == pytest.approx(10 * 4 + 30 * 2)


@pytest.mark.parametrize(
    ("family", "metric", "layout"),
    [
        ("http-generic", "http_request_duration_seconds", layouts.DEFAULT),
        ("nginx-ingress", "nginx_ingress_controller_request_duration_seconds", layouts.DEFAULT),
        ("istio", "istio_request_duration_milliseconds", layouts.ISTIO),
        ("linkerd", "response_latency_ms", layouts.LINKERD),
        ("opentelemetry", "http_server_request_duration_seconds", layouts.OPENTELEMETRY),
    ],
)
def test_every_family_shows_the_wanted_p99(family: str, metric: str, layout: layouts.Layout) -> None:
    made = engine([pod(0), pod(1)], rps=20, families=[family], latency_p99_seconds=1.4, error_ratio=0.1)
    made.advance(60.0)
    page = exposition.render(made)
    counts = [total(page, f"{metric}_bucket", f'le="{le}"') for le in layout.le]
    assert layouts.read_quantile(layout, counts, 0.99) == pytest.approx(1.4, rel=1e-3)
    assert total(page, f"{metric}_count") == pytest.approx(1200)


@pytest.mark.parametrize(
    ("family", "metric", "failed"),
    [
        ("http-generic", "http_requests_total", 'code="500"'),
        ("nginx-ingress", "nginx_ingress_controller_requests", 'status="500"'),
        ("istio", "istio_requests_total", 'response_code="500"'),
        ("linkerd", "response_total", 'classification="failure"'),
        ("opentelemetry", "http_server_request_duration_seconds_count", 'http_response_status_code="500"'),
    ],
)
def test_every_family_shows_the_error_ratio(family: str, metric: str, failed: str) -> None:
    made = engine([pod(0), pod(1)], rps=20, families=[family], error_ratio=0.25)
    made.advance(10.0)
    page = exposition.render(made)
    assert total(page, metric, failed) / total(page, metric) == pytest.approx(0.25)


def test_no_error_series_before_the_first_error() -> None:
    made = engine([pod(0)], rps=20, families=list(FAMILIES))
    made.advance(10.0)
    page = exposition.render(made).decode()
    for label in ('code="5', 'status="5', "failure", "error_type"):
        assert label not in page


@pytest.mark.parametrize(
    ("group", "metrics"),
    [
        ("cpu", [exposition.CPU]),
        ("errors", ["http_requests_total", "http_server_request_duration_seconds_count"]),
        ("latency", ["http_request_duration_seconds_bucket", "http_server_request_duration_seconds_bucket"]),
    ],
)
def test_faults(group: str, metrics: list[str]) -> None:
    fields: dict[str, Any] = {"rps": 20, "families": ["http-generic", "opentelemetry"]}

    def values(fault: str | None, until: float, since: float | None = None) -> list[list[float]]:
        changed = fields | ({"metrics": {group: fault}} if fault else {})
        made.set_workload(SHOP, WorkloadSettings.model_validate(changed), until - 5 if since is None else since)
        made.advance(until)
        page = samples(exposition.render(made))
        return [[v for s, v in page.items() if s.startswith(metric + "{")] for metric in metrics]

    made = engine([pod(0)], **fields)
    counted = values(None, 10.0)
    assert all(sum(v) > 0 for v in counted)
    assert values("absent", 20.0) == [[] for _ in metrics]
    assert all(math.isnan(x) for v in values("nan", 30.0) for x in v)
    before = values(None, 40.0)
    assert all(sum(b) > sum(a) for a, b in zip(counted, before, strict=True))
    frozen = values("stale", 50.0)
    assert values("stale", 60.0) == frozen
    # No jump afterwards: what was not counted stays uncounted.
    assert values(None, 60.0, since=60.0) == frozen
    assert all(sum(b) > sum(a) for a, b in zip(frozen, values(None, 61.0, since=60.0), strict=True))


def test_a_saturated_pod_times_out_and_recovers() -> None:
    made = engine([pod(0, containers=(Container("main", GOOD, 1.0, None),))], rps=800)  # capacity 400
    state = next(iter(made.pods()))
    assert state.now.error_ratio == 0
    made.advance(60.0)
    assert state.now.error_ratio == pytest.approx(0.5, abs=1e-3)
    assert state.now.latency_p99 == pytest.approx(5.0)
    made.set_workload(SHOP, WorkloadSettings(rps=100), 60.0)
    made.advance(90.0)
    assert [state.backlog, state.now.error_ratio] == [0.0, 0.0]
    assert state.now.latency_p99 < 0.2


def test_without_ready_pods_the_ingress_answers_503() -> None:
    made = engine([pod(0)], rps=20, families=["nginx-ingress"])
    made.put_pod(pod(0, ready=False), 10.0)
    made.advance(20.0)
    page = exposition.render(made)
    assert total(page, "nginx_ingress_controller_requests", 'status="503"') == pytest.approx(200)
    assert total(page, "nginx_ingress_controller_requests", 'status="200"') == pytest.approx(200)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"cpu_utilization": 0.5}, "cpu_utilization"),
        ({"error_ratio": 1.2}, "error_ratio"),
        ({"rps": -1}, "rps"),
        ({"families": ["statsd"]}, "families"),
        ({"metrics": {"cpu": "gone"}}, "metrics"),
        ({"metrics": "gone"}, "metrics"),
        ({"latency_p99_seconds": 60}, "latency_p99_seconds"),
        ({"cpu_utilisation": 0.5, "cpu_total_cores": 1.0}, "not both"),
    ],
)
def test_bad_settings_are_refused_by_name(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        WorkloadSettings.model_validate(fields)


def test_faults_spread_from_all_to_the_groups() -> None:
    spread = WorkloadSettings.model_validate({"metrics": {"all": "nan", "cpu": "stale"}})
    assert combine(Effective(), spread).metrics == {"cpu": "stale", "latency": "nan", "errors": "nan"}
    assert WorkloadSettings.model_validate({"metrics": "absent"}).metrics == dict.fromkeys(
        ("cpu", "latency", "errors"), "absent"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("100m", 0.1), ("2", 2.0), ("0.5", 0.5), (1, 1.0), ("1500m", 1.5), ("250000u", 0.25), (None, None)],
)
def test_cpu_quantities(text: str | int | None, expected: float | None) -> None:
    assert objects.cores(text) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("owner", "owner_of_replica_set", "expected"),
    [
        (
            Owner("ReplicaSet", "checkout-5d8f"),
            Owner("Deployment", "checkout"),
            Owner("Deployment", "checkout"),
        ),
        (Owner("ReplicaSet", "checkout-5d8f"), None, Owner("Deployment", "checkout")),
        (Owner("ReplicaSet", "alone"), Owner(), Owner("ReplicaSet", "alone")),
        (Owner("StatefulSet", "db"), None, Owner("StatefulSet", "db")),
        (Owner(), None, Owner("Pod", "checkout-5d8f-0")),
    ],
)
def test_the_workload_of_a_pod(owner: Owner, owner_of_replica_set: Owner | None, expected: Owner) -> None:
    assert objects.workload_of(pod(0, owner=owner), owner_of_replica_set) == expected


def test_labels_are_escaped() -> None:
    made = engine([pod(0, containers=(Container('a"b\\c', "x%y", 0.1, None),))], cpu_utilisation=1.0)
    made.advance(1.0)
    page = exposition.render(made).decode()
    assert 'container="a\\"b\\\\c"' in page
    assert 'image="x%y"' in page
    assert "%%" not in page
