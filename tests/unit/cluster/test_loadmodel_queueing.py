"""Queueing numbers against published tables and closed forms; histograms against what Prometheus reads."""

from __future__ import annotations

import math

import pytest

from tests.cluster.loadmodel import layouts, queueing
from tests.cluster.loadmodel.layouts import DEFAULT, ISTIO, LINKERD, OPENTELEMETRY


@pytest.mark.parametrize(
    ("servers", "offered", "expected"),
    [
        (1, 0.5, 0.5),  # M/M/1: the probability to wait is the utilisation
        (1, 0.9, 0.9),
        (2, 1.0, 1 / 3),  # 2 rho^2 / (1 + rho) with rho = 0.5
        (3, 2.0, 4 / 9),  # textbook: c = 3, a = 2
        (5, 4.0, 0.5541),  # Erlang C tables
        (10, 8.0, 0.4092),
        (4, 0.0, 0.0),
        (4, 4.0, 1.0),
    ],
)
def test_erlang_c(servers: int, offered: float, expected: float) -> None:
    assert queueing.erlang_c(servers, offered) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("servers", "offered", "expected"), [(1, 1.0, 0.5), (2, 1.0, 0.2), (3, 2.0, 4 / 19), (10, 5.0, 0.0184)]
)
def test_erlang_b(servers: int, offered: float, expected: float) -> None:
    assert queueing.erlang_b(servers, offered) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("rate", "service", "mean", "p99"),
    [
        # M/M/1: exponential with rate mu - lambda, so mean 1/(mu - lambda) and P99 ln(100)/(mu - lambda)
        (2.0, 0.25, 1 / 2, math.log(100) / 2),
        (50.0, 0.01, 1 / 50, math.log(100) / 50),
        (9.0, 0.1, 1.0, math.log(100)),
    ],
)
def test_one_server(rate: float, service: float, mean: float, p99: float) -> None:
    law = queueing.sojourn(rate, service, 1)
    assert queueing.mean(law, 60.0) == pytest.approx(mean, rel=1e-3)
    assert queueing.quantile(law, 0.99) == pytest.approx(p99, rel=1e-6)


@pytest.mark.parametrize(
    ("rate", "service", "servers"), [(8.0, 0.5, 5), (2.0, 1.0, 3), (300.0, 0.02, 8), (10.0, 0.1, 2)]
)
def test_several_servers_have_the_textbook_mean(rate: float, service: float, servers: int) -> None:
    """W = 1/mu + C(c, a) / (c mu - lambda)."""
    law = queueing.sojourn(rate, service, servers)
    expected = service + queueing.erlang_c(servers, rate * service) / (servers / service - rate)
    assert queueing.mean(law, 100 * expected) == pytest.approx(expected, rel=2e-3)


def test_equal_wait_and_service_rates_are_no_singularity() -> None:
    # c mu - lambda = mu: two servers, half loaded
    at, beside = queueing.sojourn(1.0, 1.0, 2), queueing.sojourn(1.0 + 1e-6, 1.0, 2)
    for t in (0.1, 1.0, 5.0):
        assert at.cdf(t) == pytest.approx(beside.cdf(t), abs=1e-5)


def test_a_cpu_limit_slows_the_queue_but_not_a_lone_request() -> None:
    free, limited = queueing.sojourn(30, 0.02, 8), queueing.sojourn(30, 0.02, 8, cpu_throughput=40)
    assert queueing.quantile(limited, 0.99) > 2 * queueing.quantile(free, 0.99)
    lone = queueing.sojourn(1e-6, 0.02, 8, cpu_throughput=40)
    assert queueing.mean(lone, 5.0) == pytest.approx(0.02, rel=1e-3)


def test_latency_rises_with_load() -> None:
    p99 = [queueing.quantile(queueing.sojourn(rate, 0.02, 4), 0.99) for rate in range(0, 190, 10)]
    assert p99 == sorted(p99)
    assert p99[-1] > 2 * p99[0]


@pytest.mark.parametrize("rho", [1.05, 1.5, 2.0, 5.0])
def test_saturated_queue_settles_where_capacity_is_answered(rho: float) -> None:
    """The abandonment share of the fluid limit: 1 - 1/rho."""
    service, servers, timeout = 0.02, 4, 5.0
    capacity = queueing.throughput(service, servers)
    backlog, seen = 0.0, []
    for _ in range(400):
        law = queueing.sojourn(rho * capacity, service, servers, backlog=backlog, timeout=timeout)
        seen.append(queueing.quantile(law, 0.5, timeout))
        backlog = queueing.next_backlog(backlog, rho * capacity, capacity, service, timeout, 1.0)
    assert seen == sorted(seen)
    assert law.timeout_share == pytest.approx(1 - 1 / rho, abs=1e-6)


def test_backlog_grows_as_a_fluid_and_drains_again() -> None:
    assert queueing.next_backlog(0, 150, 100, 0.02, 5.0, 2.0) == 100
    assert queueing.next_backlog(100, 50, 100, 0.02, 5.0, 1.0) == 50
    assert queueing.next_backlog(100, 50, 100, 0.02, 5.0, 10.0) == 0
    assert queueing.next_backlog(0, 1e6, 100, 0.02, 5.0, 100.0) <= 500


ALL = {"default": DEFAULT, "opentelemetry": OPENTELEMETRY, "istio": ISTIO, "linkerd": LINKERD}


@pytest.mark.parametrize("layout", ALL.values(), ids=ALL)
@pytest.mark.parametrize("p99", [0.005, 0.05, 0.3, 0.8, 1.0, 1.4, 2.5, 3.3, 9.0, 10.0])
def test_a_wanted_p99_is_what_is_read(layout: layouts.Layout, p99: float) -> None:
    profile = layouts.calibrated(layout, p99)
    assert layouts.read_quantile(layout, profile.shares, 0.99) == pytest.approx(p99, rel=1e-3)
    assert list(profile.shares) == sorted(profile.shares)


@pytest.mark.parametrize(
    ("counts", "q", "expected"),
    [
        ((0, 0, 100, 100), 0.5, 1.5),  # half way into the bucket from 1 to 2
        ((50, 100, 100, 100), 0.25, 0.25),  # below the first bound, from 0
        ((0, 0, 50, 100), 0.99, 2.0),  # in +Inf: the highest finite bound
        ((0, 0, 0, 0), 0.99, math.nan),
    ],
)
def test_reading_a_quantile_as_prometheus_does(counts: tuple[int, ...], q: float, expected: float) -> None:
    layout = layouts.Layout((0.5, 1.0, 2.0), ("0.5", "1", "2", "+Inf"))
    assert layouts.read_quantile(layout, counts, q) == pytest.approx(expected, nan_ok=True)


def test_what_was_answered_lies_before_the_timeout() -> None:
    law = queueing.sojourn(95, 0.02, 2, backlog=300, timeout=4.0)
    answered, given_up = layouts.answered(DEFAULT, law), layouts.timed_out(DEFAULT, law.timeout)
    assert answered.shares[DEFAULT.bounds.index(5)] == 1.0
    assert answered.mean < 4.0
    assert given_up.shares[DEFAULT.bounds.index(2.5)] == 0.0
    assert given_up.shares[DEFAULT.bounds.index(5)] == 1.0
    assert given_up.mean == 4.0
