"""`convert`: analyses of Argo Rollouts and Flagger as policies; what cannot be converted is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from resilience_operator.cli.convert.conditions import ConditionError, failing_bounds
from resilience_operator.cli.convert.converter import Converted, convert_all
from resilience_operator.cli.kubectl import app

ARGO = """
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: success-rate, namespace: shop}
spec:
  args:
  - name: service-name
  - {name: floor, value: "1"}
  metrics:
  - name: success-rate
    interval: 1m
    count: 10
    failureLimit: 3
    successCondition: result[0] >= 0.95
    provider:
      prometheus:
        address: http://prometheus.example.com:9090
        query: |
          sum(rate(requests_total{service="{{args.service-name}}",code!~"5.*"}[5m]))
          / sum(rate(requests_total{service="{{ args.service-name }}"}[5m]))
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: checkout, namespace: shop, labels: {app: checkout}}
spec:
  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: checkout-app}
  strategy:
    canary:
      analysis:
        templates: [{templateName: success-rate}]
        args: [{name: service-name, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}]
      steps: [{setWeight: 20}, {pause: {duration: 5m}}]
"""
FLAGGER = """
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo, namespace: shop}
spec:
  provider: istio
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 9898}
  analysis:
    interval: 1m
    threshold: 5
    maxWeight: 50
    stepWeight: 10
    metrics:
    - {name: request-success-rate, thresholdRange: {min: 99}, interval: 1m}
    - {name: request-duration, thresholdRange: {max: 500}, interval: 2m}
    - name: not-found
      templateRef: {name: not-found}
      templateVariables: {path: /pay}
      thresholdRange: {max: 5}
      interval: 2m
---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: not-found, namespace: shop}
spec:
  provider: {type: prometheus, address: "http://prometheus:9090"}
  query: |
    100 * sum(rate(requests{namespace="{{ namespace }}", workload="{{ target }}", path="{{ variables.path }}",
    status="404"}[{{ interval }}])) / sum(rate(requests{namespace="{{ namespace }}"}[{{ interval }}]))
"""


def convert(text: str) -> list[Converted]:
    return convert_all(list(yaml.safe_load_all(text)))


def policy_of(text: str) -> tuple[dict[str, Any], Converted]:
    [found] = [one for one in convert(text) if one.policy is not None]
    assert found.policy is not None
    return found.policy["spec"], found


def test_a_rollout_with_its_template_is_one_whole_policy() -> None:
    template, rollout = convert(ARGO)
    spec, _ = policy_of(ARGO)

    assert template.used and template.whole and rollout.whole
    assert spec["targetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout-app"}
    assert (spec["mode"], spec["interval"], spec["release"]) == ("DryRun", "1m", {"bake": "10m"})
    [signal] = spec["signals"]
    assert signal["query"].count('service="checkout"') == 2
    assert spec["rules"] == [
        {
            "name": "success-rate-fails",
            "when": {"signal": "success-rate", "below": 0.95, "for": "3m"},
            "then": [{"pauseRollout": {}}, {"rollback": {}}],
        }
    ]


def test_a_canary_with_its_template_is_one_whole_policy() -> None:
    canary, template = convert(FLAGGER)
    spec, _ = policy_of(FLAGGER)

    assert canary.whole and template.used and template.whole
    assert spec["metricSource"] == {"preset": "istio"}
    assert [rule["when"] for rule in spec["rules"]] == [
        {"signal": "error-rate", "above": "1%", "for": "4m"},
        {"signal": "latency-p99", "above": "500ms", "for": "4m"},
        {"signal": "not-found", "above": 5, "for": "4m"},
    ]
    assert [signal["window"] for signal in spec["signals"]] == ["1m", "2m", "2m"]
    query = spec["signals"][2]["query"]
    assert 'workload="{{name}}"' in query and 'path="/pay"' in query and "[{{window}}]" in query


@pytest.mark.parametrize("text", [ARGO, FLAGGER], ids=["Argo Rollouts", "Flagger"])
def test_the_result_passes_lint(text: str, tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(text)
    run = CliRunner().invoke(app, ["convert", str(tmp_path / "in.yaml")])
    assert (run.exit_code, run.stderr) == (0, "")
    linted = CliRunner().invoke(app, ["lint", "-"], input=run.stdout)
    assert (linted.exit_code, linted.stdout) == (0, "")


@pytest.mark.parametrize(
    ("condition", "success", "bounds", "every"),
    [
        ("result[0] >= 0.95", True, [("below", 0.95)], False),
        ("result[0] < 5", True, [("above", 5.0)], False),
        ("result[0] <= 0.95", False, [("below", 0.95)], False),
        ("result > 1e-2", False, [("above", 0.01)], False),
        ("0.5 < result[0]", False, [("above", 0.5)], False),
        ("result[0] == 0", True, [("above", 0.0)], False),
        ("(result[0] >= 0.95)", True, [("below", 0.95)], False),
        ("len(result) == 0 || result[0] < 5", True, [("above", 5.0)], False),
        ("isNaN(result[0]) or (result[0] >= 0.9)", True, [("below", 0.9)], False),
        ("default(result, 0) < 0.05", True, [("above", 0.05)], False),
        ("result[0] >= 1 && result[0] <= 2", True, [("below", 1.0), ("above", 2.0)], False),
        ("result[0] > 3 && result[0] < 9", False, [("above", 3.0), ("below", 9.0)], True),
        ("result[0] < 1 or result[0] > 2", False, [("below", 1.0), ("above", 2.0)], False),
    ],
)
def test_conditions(condition: str, success: bool, bounds: list[tuple[str, float]], every: bool) -> None:
    found, all_of_them, _ = failing_bounds(condition, success=success)

    assert [(one.side, one.value) for one in found] == bounds
    assert all_of_them is every


@pytest.mark.parametrize(
    "condition",
    [
        "result[1] > 0.5", "all(result, # > 0.5)", "result[0] == 7", "result[0] > result[1]", "", "true",
        "result[0] > -1", "(result[0] > 1 || result[0] < 5) && result[0] > 3", "result.a > 5", "result[0] > 5 ? 1 : 0",
    ],
)  # fmt: skip
def test_other_conditions_are_refused_with_why(condition: str) -> None:
    with pytest.raises(ConditionError):
        failing_bounds(condition, success=True)


def changed(text: str, old: str, new: str) -> list[Converted]:
    assert old in text
    return convert(text.replace(old, new))


@pytest.mark.parametrize(
    ("text", "old", "new", "named"),
    [
        (ARGO, "result[0] >= 0.95", "result[1] > 5", "is not a comparison of result[0]"),
        (ARGO, "successCondition: result[0] >= 0.95", "consecutiveErrorLimit: 3", "has no condition"),
        (ARGO, "      prometheus:\n", "      datadog:\n", "the provider datadog cannot be converted"),
        (ARGO, "{fieldRef: {fieldPath: \"metadata.labels['app']\"}}", "{podTemplateHashValue: Latest}", "needs {{args"),
        (ARGO, "sum(rate(requests_total{s", "sum(rate((requests_total{s", "not valid PromQL"),
        (ARGO, "templateName: success-rate", "templateName: other", "AnalysisTemplate other is not in the input"),
        (ARGO, "interval: 1m", "interval: \"{{args.x}}\"", "is not a duration"),
        (ARGO, "count: 10", "colour: red", "unknown field"),
        (FLAGGER, "templateRef: {name: not-found}", "templateRef: {name: o}", "MetricTemplate o is not in the input"),
        (FLAGGER, "type: prometheus", "type: datadog", "the provider datadog of not-found cannot be converted"),
        (FLAGGER, "templateVariables: {path: /pay}", "templateVariables: {}", "needs {{ variables.path }}"),
        (FLAGGER, "thresholdRange: {max: 5}", "thresholdRange: {}", "has no threshold"),
        (FLAGGER, "thresholdRange: {min: 99}", "thresholdRange: {max: 99}", "needs thresholdRange.min"),
        (FLAGGER, "maxWeight: 50", "webhooks: [{name: load-test, url: http://x}]", "have no counterpart"),
        (FLAGGER, "kind: Deployment", "kind: Service", "a Service cannot be rolled back"),
        (FLAGGER, "{name: request-success-rate,", "{colour: red, name: request-success-rate,", "unknown field"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_named(text: str, old: str, new: str, named: str) -> None:
    found = changed(text, old, new)

    assert not all(one.whole for one in found)
    assert any(note.lost and named in note.text for one in found for note in one.notes)


def test_a_template_alone_needs_a_target() -> None:
    text = ARGO.partition("\n---\n")[0].replace("- name: service-name", "- {name: service-name, value: checkout}")
    spec, found = policy_of(text)

    assert spec["targetRef"]["name"] == "success-rate"
    assert not found.whole
    assert any("set spec.targetRef" in note.text for note in found.notes if note.lost)


def test_a_metric_template_alone_is_left_out() -> None:
    [found] = convert(FLAGGER.partition("\n---\n")[2])

    assert (found.policy, found.whole) == (None, False)


@pytest.mark.parametrize("kind", ["Rollout", "AnalysisTemplate", "ClusterAnalysisTemplate", "Canary", "MetricTemplate"])
@pytest.mark.parametrize("spec", [None, [], "x", {"metrics": 5}, {"strategy": []}, {"analysis": {"metrics": "x"}}])
def test_malformed_objects_are_left_out_and_never_fatal(kind: str, spec: Any, tmp_path: Path) -> None:
    group = "flagger.app/v1beta1" if kind in ("Canary", "MetricTemplate") else "argoproj.io/v1alpha1"
    document = {"apiVersion": group, "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    (tmp_path / "in.yaml").write_text(yaml.safe_dump(document))
    run = CliRunner().invoke(app, ["convert", str(tmp_path / "in.yaml"), "-o", "json"])

    assert run.exit_code == 1
    assert json.loads(run.stdout)[0]["policy"] is None
    assert "LEFT OUT" in run.stderr
