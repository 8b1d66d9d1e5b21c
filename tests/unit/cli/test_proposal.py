"""`init`: how thresholds follow from what was recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience_operator.api.v1alpha1 import parse_policy
from resilience_operator.cli.common.console import UsageError
from resilience_operator.cli.init.proposal import WorkloadProfile, propose
from resilience_operator.cli.init.survey import kind_and_name


def found(values: Mapping[str, Sequence[float]], **fields: Any) -> WorkloadProfile:
    given: dict[str, Any] = {
        "namespace": "shop", "kind": "Deployment", "name": "checkout", "replicas": 4, "family": "http-generic",
        "values": values, "samples": 2000, "span": "7d", "source": "default",
    }  # fmt: skip
    return WorkloadProfile(**{**given, **fields})


@pytest.mark.parametrize(
    ("signal", "high", "above"),
    [
        ("cpu", 0.42, "55%"),
        ("cpu", 0.1, "50%"),
        ("cpu", 0.72, "90%"),
        ("cpu", 0.97, "90%"),
        ("latency-p99", 0.2, "300ms"),
        ("latency-p99", 0.0031, "50ms"),
        ("latency-p99", 0.823, "1s300ms"),
        ("error-rate", 0.0, "1%"),
        ("error-rate", 0.004, "1.5%"),
        ("error-rate", 0.4, "50%"),
    ],
)
def test_a_margin_above_what_was_so_99_percent_of_the_time(signal: str, high: float, above: str) -> None:
    policy, _ = propose(found({signal: [high] * 500}, hpa="checkout", lowest=2, highest=30))
    (rule,) = policy["spec"]["rules"]
    assert rule["when"]["above"] == above
    parse_policy(policy)


def test_it_is_the_99th_percentile_and_not_the_most() -> None:
    policy, told = propose(found({"latency-p99": [0.4] * 1990 + [3.0] * 10}))
    assert policy["spec"]["rules"][0]["when"]["above"] == "600ms"
    assert any("2000 of 2000 samples in 7d have a value" in sentence for sentence in told)


def test_a_normal_state_beyond_the_highest_threshold_is_told() -> None:
    _, told = propose(found({"error-rate": [0.97] * 500}))
    assert any("investigate first" in sentence for sentence in told)


def test_too_little_proves_nothing_and_nothing_makes_no_rule() -> None:
    policy, told = propose(found({"cpu": [0.1] * 99, "latency-p99": [], "error-rate": [0.0]}))
    assert [(r["name"], r["when"]["above"]) for r in policy["spec"]["rules"]] == [
        ("cpu-load", "85%"),
        ("failing-release", "1%"),
    ]
    assert any(sentence.startswith("latency-p99: no data recorded") for sentence in told)


def test_without_an_autoscaler_it_scales_ahead_like_the_sample() -> None:
    policy, told = propose(found({"cpu": [0.4] * 500, "latency-p99": [0.2] * 500, "error-rate": [0.0] * 500}))
    (cpu, latency, errors), spec = policy["spec"]["rules"], policy["spec"]
    assert cpu == sample("load")["rules"][0]
    assert (latency["name"], errors["name"]) == ("slow-requests", "failing-release")
    assert spec["signals"] == sample("load")["signals"]
    assert any("median 40%, 99th percentile 40%. toTarget without `for` scales ahead" in sentence for sentence in told)
    _, told = propose(found({"cpu": [0.97] * 500}))
    assert any("so that pods were missing at times" in sentence for sentence in told)
    assert "signals" not in propose(found({"cpu": [0.4] * 500}, hpa="checkout", lowest=2, highest=30))[0]["spec"]
    parse_policy(policy)


def sample(name: str) -> Any:
    path = Path(__file__).parents[3] / "manifests" / "samples" / f"{name}.yaml"
    return yaml.safe_load(path.read_text("utf-8"))["spec"]


def test_replicas_are_from_what_is_there_or_from_the_autoscaler() -> None:
    values = {"cpu": [0.4] * 500}
    assert propose(found(values))[0]["spec"]["replicas"] == {"min": 4, "max": 8}
    assert propose(found(values, replicas=0))[0]["spec"]["replicas"] == {"min": 1, "max": 3}
    beside = found(values, hpa="checkout", lowest=2, highest=30)
    assert propose(beside)[0]["spec"]["replicas"] == {"min": 2, "max": 30}


def test_family_and_source_are_named_where_they_are_not_the_usual_ones() -> None:
    policy, _ = propose(found({"cpu": [0.4] * 500}, family="istio", source="eu"))
    assert policy["spec"]["metricSource"] == {"name": "eu", "preset": "istio"}
    assert "metricSource" not in propose(found({"cpu": [0.4] * 500}))[0]["spec"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("checkout", ("Deployment", "checkout")),
        ("deploy/checkout", ("Deployment", "checkout")),
        ("sts/orders", ("StatefulSet", "orders")),
        ("StatefulSet/orders", ("StatefulSet", "orders")),
        ("statefulsets/orders", ("StatefulSet", "orders")),
    ],
)
def test_workloads_are_named_as_kubectl_names_them(text: str, expected: tuple[str, str]) -> None:
    assert kind_and_name(text) == expected


@pytest.mark.parametrize("text", ["cronjob/x", "ds/agent", "deploy/", ""])
def test_what_is_no_workload_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="is not a valid workload"):
        kind_and_name(text)
