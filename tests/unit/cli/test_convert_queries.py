"""`convert` writes no query that is not PromQL."""

from __future__ import annotations

from typing import Any

import pytest

from resilience_operator.cli.convert.converter import convert_all


def hpa(name: str, labels: dict[str, str]) -> dict[str, Any]:
    metric = {"name": name, "selector": {"matchLabels": labels}}
    external = {"metric": metric, "target": {"type": "AverageValue", "averageValue": "100"}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"}
    spec = {"scaleTargetRef": target, "maxReplicas": 5, "metrics": [{"type": "External", "external": external}]}
    return {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "w"}, "spec": spec,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("pubsub.googleapis.com|subscription|num_undelivered_messages", {}),
        ("queue_length", {"resource.labels.subscription_id": "my-sub"}),
        ("s3-bytes", {}),
        ("2xx", {}),
        ("", {}),
    ],
)
def test_convert_writes_no_query_that_is_not_promql(name: str, labels: dict[str, str]) -> None:
    [found] = convert_all([hpa(name, labels)])

    assert found.policy is None
    assert any(note.lost and "not a name in Prometheus" in note.text for note in found.notes)


@pytest.mark.parametrize("value", ['my"sub', "back\\slash", "new\nline"])
def test_convert_quotes_values_of_labels(value: str) -> None:
    [found] = convert_all([hpa("queue_length", {"queue": value})])

    assert found.policy is not None
    assert lint_query(found.policy["spec"]["signals"][0]["query"]) == value


def lint_query(query: str) -> str:
    import promql_parser

    tree = promql_parser.parse(query.replace("{{namespace}}", "x").replace("{{pods}}", "x"))
    [matcher] = tree.expr.matchers.matchers  # type: ignore[attr-defined]
    return str(matcher.value)


def test_convert_leaves_out_a_trigger_with_a_broken_query() -> None:
    metadata = {"serverAddress": "http://p:9090", "query": "sum(rate(x[5m])", "threshold": "5"}
    document = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "w"},
        "spec": {"scaleTargetRef": {"name": "w"}, "triggers": [{"type": "prometheus", "metadata": metadata}]},
    }
    [found] = convert_all([document])

    assert found.policy is None
    assert any("not valid PromQL" in note.text for note in found.notes)
