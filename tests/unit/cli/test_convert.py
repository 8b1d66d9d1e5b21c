"""`convert`: HPAs and ScaledObjects as policies, and every difference told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from resilience_operator.api.spec import PolicySpec
from resilience_operator.cli.convert.converter import Converted, convert_all
from resilience_operator.cli.kubectl import app
from resilience_operator.cli.lint.settings import setting_findings

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]


def hpa(**spec: Any) -> Json:
    """An HPA of checkout."""
    whole = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
        "minReplicas": 3,
        "maxReplicas": 20,
        "metrics": [resource("cpu", averageUtilization=70)],
        **spec,
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": whole,
    }


def resource(name: str, **target: Any) -> Json:
    kind = "Utilization" if "averageUtilization" in target else "AverageValue"
    return {"type": "Resource", "resource": {"name": name, "target": {"type": kind, **target}}}


CPU = resource("cpu", averageUtilization=70)


def scaled(*triggers: Json, **spec: Any) -> Json:
    """A ScaledObject of worker."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "worker", "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"name": "worker"},
            "minReplicaCount": 2,
            "triggers": list(triggers) or [{"type": "cpu", "metadata": {"value": "75"}, "metricType": "Utilization"}],
            **spec,
        },
    }


def prometheus(metric_type: str = "AverageValue", **metadata: Any) -> Json:
    told = {"serverAddress": "http://p:9090", "query": "sum(depth)", "threshold": "50", **metadata}
    return {"type": "prometheus", "metricType": metric_type, "metadata": told}


def converted(document: Json) -> Converted:
    (found,) = convert_all([document])
    return found


def spec_of(document: Json) -> Json:
    found = converted(document)
    assert found.policy is not None, [str(remark) for remark in found.notes]
    return dict(found.policy["spec"])


def test_the_plain_hpa_is_converted_whole() -> None:
    found = converted(hpa())
    assert found.whole
    assert found.policy is not None
    assert found.policy["metadata"] == {"name": "checkout", "namespace": "shop"}
    assert found.policy["spec"] == {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
        "mode": "DryRun",
        "replicas": {"min": 3, "max": 20},
        "scaleDown": {"after": "300s", "percent": 100},
        "rules": [
            {"name": "cpu-target", "when": {"signal": "cpu", "above": "70%"}, "then": [{"scaleUp": {"toTarget": True}}]}
        ],
    }


SELECTOR = {
    "matchLabels": {"verb": "GET"},
    "matchExpressions": [{"key": "code", "operator": "NotIn", "values": ["4", 5]}],
}


@pytest.mark.parametrize(
    ("metric", "above", "query"),
    [
        (resource("cpu", averageUtilization=70), "70%", None),
        (resource("cpu", averageValue="500m"), 0.5, r"avg\(sum by \(pod\) \(rate\(container_cpu_usage_seconds_total"),
        (
            resource("memory", averageUtilization=80),
            "80%",
            r"container_memory_working_set_bytes.* / .*resource=\"memory\"",
        ),
        (
            resource("memory", averageValue="1Gi"),
            1073741824,
            r"^avg\(sum by \(pod\) \(container_memory_working_set_bytes",
        ),
        (
            {
                "type": "ContainerResource",
                "containerResource": {
                    "name": "cpu",
                    "container": "app",
                    "target": {"type": "Utilization", "averageUtilization": 60},
                },
            },
            "60%",
            r'container="app".* / .*container="app", resource="cpu"',
        ),
        (
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "rps", "selector": SELECTOR},
                    "target": {"type": "AverageValue", "averageValue": "1k"},
                },
            },
            1000,
            r'^avg\(sum by \(pod\) \(rps\{namespace=".*", pod=~".*", verb="GET", code!~"4\|5"\}\)\)$',
        ),
        (
            {
                "type": "Object",
                "object": {
                    "describedObject": {"kind": "Ingress", "name": "main"},
                    "metric": {"name": "hits"},
                    "target": {"type": "Value", "value": "10"},
                },
            },
            10,
            r'^sum\(hits\{namespace="\{\{namespace\}\}", ingress="main"\}\)$',
        ),
        (
            {
                "type": "External",
                "external": {"metric": {"name": "depth"}, "target": {"type": "AverageValue", "averageValue": "30"}},
            },
            30,
            r"^sum\(depth\{\}\)$",
        ),
    ],
)
def test_each_kind_of_metric(metric: Json, above: object, query: str | None) -> None:
    spec = spec_of(hpa(metrics=[metric]))
    (rule,) = spec["rules"]
    assert rule["when"]["above"] == above
    if query is None:
        assert "signals" not in spec
    else:
        (signal,) = spec["signals"]
        assert re.search(query, signal["query"]), signal["query"]


@pytest.mark.parametrize(
    ("behavior", "scale_down", "when", "then"),
    [
        ({}, {"after": "300s", "percent": 100}, {}, {"scaleUp": {"toTarget": True}}),
        (
            {
                "scaleUp": {
                    "stabilizationWindowSeconds": 60,
                    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 90}],
                }
            },
            {"after": "300s", "percent": 100},
            {"for": "60s"},
            {"scaleUp": {"toTarget": True, "cooldown": "90s"}},
        ),
        ({"scaleUp": {"selectPolicy": "Disabled"}}, {"after": "300s", "percent": 100}, {}, {"alert": {}}),
        ({"scaleDown": {"selectPolicy": "Disabled"}}, {"enabled": False}, {}, {"scaleUp": {"toTarget": True}}),
        (
            {
                "scaleDown": {
                    "stabilizationWindowSeconds": 0,
                    "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
                }
            },
            {"after": "1s", "pods": 2},
            {},
            {"scaleUp": {"toTarget": True}},
        ),
    ],
)
def test_behavior(behavior: Json, scale_down: Json, when: Json, then: Json) -> None:
    spec = spec_of(hpa(behavior=behavior))
    assert spec["scaleDown"] == scale_down
    assert spec["rules"][0]["when"] == {"signal": "cpu", "above": "70%", **when}
    assert spec["rules"][0]["then"] == [then]


@pytest.mark.parametrize(
    ("trigger", "above", "query"),
    [
        (prometheus(), 50, "sum(depth)"),
        (prometheus("Value", threshold="0.5"), 0.5, "sum(depth)"),
        ({"type": "cpu", "metricType": "Utilization", "metadata": {"value": "75"}}, "75%", None),
        ({"type": "memory", "metricType": "AverageValue", "metadata": {"value": "1Mi"}}, 1048576, "container_memory"),
    ],
)
def test_each_kind_of_trigger(trigger: Json, above: object, query: str | None) -> None:
    spec = spec_of(scaled(trigger))
    assert spec["rules"][0]["when"]["above"] == above
    if query is not None:
        assert query in spec["signals"][0]["query"]


@pytest.mark.parametrize(("kind", "of"), [("AverageValue", "total"), ("Value", "perPod")])
def test_a_number_of_all_pods_is_a_total_and_lint_has_no_question(kind: str, of: str) -> None:
    external = {"metric": {"name": "depth"}, "target": {"type": kind, kind[0].lower() + kind[1:]: "30"}}
    by_hpa = spec_of(hpa(metrics=[{"type": "External", "external": external}]))
    by_keda = spec_of(scaled(prometheus(kind)))
    for spec in (by_hpa, by_keda):
        assert spec["signals"][0]["of"] == of
        assert not list(setting_findings(PolicySpec.model_validate(spec)))


def test_what_a_scaled_object_says_of_itself() -> None:
    spec = spec_of(scaled(pollingInterval=20, maxReplicaCount=9, fallback={"failureThreshold": 3, "replicas": 6}))
    assert spec["targetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"}
    assert (spec["interval"], spec["replicas"]) == ("20s", {"min": 2, "max": 9})
    assert spec["fallback"] == {"after": "60s", "replicas": 6}
    paused = scaled()
    paused["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "true"}
    assert spec_of(paused)["mode"] == "Suspended"
    notes = [remark.text for remark in converted(paused).notes]
    assert not any("DryRun" in text for text in notes)
    assert any(text.startswith("the ScaledObject is paused, so the mode is Suspended;") for text in notes)
    running = [remark.text for remark in converted(scaled()).notes]
    assert any(text.startswith("the policy is in mode DryRun and changes nothing. Compare its") for text in running)


@pytest.mark.parametrize(
    ("document", "where", "text"),
    [
        (hpa(flavour=7), "spec.flavour", "unknown field, skipped"),
        (hpa(metrics=[CPU, resource("gpu", averageUtilization=1)]), "spec.metrics[1]", "gpu"),
        (hpa(metrics=[CPU, {"type": "Odd"}]), "spec.metrics[1]", "Odd"),
        (scaled(prometheus(), {"type": "kafka"}), "spec.triggers[1]", "kafka"),
        (scaled(prometheus(surprise="x")), "spec.triggers[0].metadata.surprise", "unknown field, skipped"),
        (scaled(advanced={"scalingModifiers": {"formula": "a+b"}}), "spec.advanced.scalingModifiers", "formula"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_told_and_the_rest_is_converted(document: Json, where: str, text: str) -> None:
    found = converted(document)
    assert found.policy is not None
    assert not found.whole
    assert any(r.lost and r.where.startswith(where) and text in str(r) for r in found.notes), found.notes


@pytest.mark.parametrize(
    ("document", "missing"),
    [
        (hpa(scaleTargetRef=None), "the apiVersion and the kind and the name of its target is missing"),
        (hpa(scaleTargetRef={"apiVersion": "apps/v1", "name": "a"}), "the kind of its target is missing"),
        (hpa(scaleTargetRef={"kind": "Deployment", "name": "a"}), "the apiVersion of its target is missing"),
        (scaled(scaleTargetRef={"kind": "Deployment"}), "the name of its target is missing"),
    ],
)
def test_a_reference_without_a_part_is_said_once(document: Json, missing: str) -> None:
    """Nothing is said about a target that is not named, and no message has an empty name."""
    found = converted(document)
    assert found.policy is None
    (lost,) = [note.text for note in found.notes if note.lost]
    assert lost == f"{missing}: add it to the reference"
    assert not [str(note) for note in found.notes if "  " in str(note) or "''" in str(note)]


def test_a_metric_without_a_name_has_no_empty_name_in_its_note() -> None:
    found = converted(hpa(metrics=[CPU, {"type": "External", "external": {}}, {"type": "Object", "object": {}}]))
    texts = [note.text for note in found.notes if note.lost]
    assert [text for text in texts if text.startswith("the metric (none) or one")], texts
    assert not [text for text in texts if "  " in text]


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (hpa(minReplicas=0), "spec.minReplicas"),
        (hpa(behavior={"scaleUp": {"tolerance": "0.05"}}), "spec.behavior.scaleUp.tolerance"),
        (scaled(cooldownPeriod=60), "spec.cooldownPeriod"),
        (scaled(idleReplicaCount=0), "spec.minReplicaCount"),
        (scaled(prometheus(customHeaders="a=b")), "spec.triggers[0].metadata.customHeaders"),
        (scaled(prometheus(activationThreshold="5")), "spec.triggers[0].metadata.activationThreshold"),
    ],
)
def test_what_is_not_the_same_is_told(document: Json, where: str) -> None:
    found = converted(document)
    assert found.whole
    assert where in [remark.where for remark in found.notes]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("just text", "is not a Kubernetes object"),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}, "apps/v1 cannot be converted"),
        ({**hpa(), "apiVersion": "autoscaling/v1"}, "kubectl get hpa.v2.autoscaling"),
        (hpa(metrics=[{"type": "Odd"}]), "nothing in it can be converted"),
        (hpa(minReplicas=30), "would be rejected"),
        (hpa(minReplicas="many"), "does not match its API"),
        (hpa(behavior={"scaleUp": {"policies": ["x"]}}), "is not a mapping"),
        ({**hpa(), "metadata": {"name": "k", "ownerReferences": [{"kind": "ScaledObject"}]}}, "is managed by KEDA"),
    ],
)
def test_what_cannot_be_converted_says_why(document: Any, text: str) -> None:
    (found,) = convert_all([document])
    assert not found.whole
    assert any(text in str(remark) for remark in found.notes), found.notes


def test_lists_are_taken_apart_and_nothing_is_passed_over() -> None:
    documents = [{"apiVersion": "v1", "kind": "List", "items": [hpa(), scaled()]}, {"kind": "Secret"}]
    assert [(f.source.split()[0], f.whole) for f in convert_all(documents)] == [
        ("HorizontalPodAutoscaler", True),
        ("ScaledObject", True),
        ("Secret", False),
    ]


def test_an_hpa_of_keda_is_part_of_its_scaled_object() -> None:
    own = hpa()
    own["metadata"] = {
        "name": "keda-hpa-worker", "namespace": "shop", "ownerReferences": [{"kind": "ScaledObject", "name": "worker"}],
    }  # fmt: skip

    assert [one.whole for one in convert_all([own, scaled()])] == [True, True]
    assert [one.whole for one in convert_all([own])] == [False]


def test_a_note_is_printed_once_and_a_paused_policy_does_not_rehearse(tmp_path: Path) -> None:
    paused = scaled(prometheus(serverAddress=None))
    paused["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "true"}
    (tmp_path / "in.yaml").write_text(yaml.safe_dump(paused))
    run = CliRunner().invoke(app, ["convert", str(tmp_path / "in.yaml")])

    assert (run.exit_code, run.stderr) == (0, "")
    assert "mode: Suspended" in run.stdout
    assert "DryRun" not in run.stdout
    assert "None" not in run.stdout


def test_a_kind_that_is_only_scaled_needs_rights() -> None:
    found = converted(hpa(scaleTargetRef={"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "x"}))

    assert any("through its /scale only" in note.text for note in found.notes)


def test_the_examples_of_the_guide_come_out_as_they_stand_there(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "migration.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    sources, policies = blocks[0::2], blocks[1::2]
    assert len(sources) == len(policies) == 4
    for source, policy in zip(sources, policies, strict=True):
        file = tmp_path / "source.yaml"
        file.write_text(source)
        run = CliRunner().invoke(app, ["convert", str(file)])
        assert run.exit_code == 0, run.stderr
        assert yaml.safe_load(run.stdout) == yaml.safe_load(policy)


def test_the_exit_code_and_the_streams(tmp_path: Path) -> None:
    file = tmp_path / "both.yaml"
    file.write_text(yaml.safe_dump_all([hpa(), {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}}]))
    run = CliRunner().invoke(app, ["convert", str(file)])
    assert run.exit_code == 1
    assert "Secret s: LEFT OUT" in run.stderr
    assert [p["kind"] for p in yaml.safe_load_all(run.stdout)] == ["ResiliencePolicy"]
    assert "# From HorizontalPodAutoscaler shop/checkout." in run.stdout
    assert CliRunner().invoke(app, ["convert", str(tmp_path / "none")]).exit_code == 2
