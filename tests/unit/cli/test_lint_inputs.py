"""`lint` on what people write by mistake, in any encoding, size and nesting: all findings at once, with their lines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from resilience_operator.cli.kubectl import app
from tests.unit.cli.support import policy


def text(name: str = "checkout", target: str = "checkout", **spec: Any) -> str:
    document = policy(**spec)
    document["metadata"] = {"name": name, "namespace": "shop"}
    document["spec"]["targetRef"]["name"] = target
    return yaml.safe_dump(document, sort_keys=False)


def lint(tmp_path: Path, *contents: str | bytes) -> list[dict[str, Any]]:
    files = []
    for number, content in enumerate(contents):
        files.append(tmp_path / f"{number}.yaml")
        files[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
    run = CliRunner().invoke(app, ["lint", "-o", "json", *map(str, files)])
    assert not isinstance(run.exception, Exception), run.exception
    found: list[dict[str, Any]] = json.loads(run.stdout)
    assert run.exit_code == any(not one["warning"] for one in found)
    return found


def with_query(query: str, **metric_source: str) -> str:
    more = {"metricSource": metric_source} if metric_source else {}
    rules = [{"name": "r", "when": {"signal": "own", "above": 70}, "then": [{"scaleUp": {"pods": 2}}]}]
    return text(signals=[{"name": "own", "query": query}], rules=rules, **more)


@pytest.mark.parametrize(
    "query",
    ["sum(rate(x[5m])", "sum(x", 'x{a="b}', "rate(x[])", "x +", "sum by (pod x", "x{{{namespace}}}", "nosuch(x)"],
)
def test_a_query_that_is_not_promql_is_an_error(query: str, tmp_path: Path) -> None:
    [problem] = lint(tmp_path, with_query(query))

    assert problem["path"] == "spec.signals[0].query"
    assert problem["line"] > 1


@pytest.mark.parametrize(
    "query",
    [
        'sum(rate(x{pod=~"{{pods}}", namespace="{{namespace}}"}[{{window}}]))',
        "queue_{{name}}",
        "max_over_time(x[5m:1m]) > bool 1",
    ],
)
def test_placeholders_may_stand_wherever_the_operator_fills_them(query: str, tmp_path: Path) -> None:
    assert lint(tmp_path, with_query(query)) == []


def test_the_query_of_a_plugin_is_in_its_own_language(tmp_path: Path) -> None:
    assert [one["path"] for one in lint(tmp_path, with_query("SELECT 1", type="sql"))] == ["spec.metricSource.type"]


@pytest.mark.parametrize(
    ("key", "line"),
    [("replicas: {min: 3, max: 30}", "  replicas: {min: 1, max: 9}"), ("kind: ResiliencePolicy", "kind: Deployment")],
)
def test_a_key_that_is_written_twice_is_an_error(key: str, line: str, tmp_path: Path) -> None:
    first = "kind: Deployment\n" if line.startswith("kind") else ""
    more = "" if line.startswith("kind") else f"  {key}\n"
    found = lint(tmp_path, first + text() + more)

    assert [one["message"] for one in found] == ["is written twice, and the last one counts: keep one of them"]


def test_two_policies_of_a_file_with_one_name_or_one_target(tmp_path: Path) -> None:
    [name] = lint(tmp_path, f"{text()}---\n{text(target='cart')}")
    [target] = lint(tmp_path, f"{text()}---\n{text(name='other')}")

    assert (name["path"], target["path"]) == ("metadata.name", "spec.targetRef")
    assert "0.yaml:4: keep one of them" in name["message"] or "0.yaml:3: keep one of them" in name["message"]


def test_variants_in_several_files_are_warnings(tmp_path: Path) -> None:
    [name] = lint(tmp_path, text(), text())
    [target] = lint(tmp_path, text(), text(name="other"))

    assert (name["path"], target["path"]) == ("metadata.name", "spec.targetRef")
    assert name["warning"] and target["warning"]


def test_other_namespaces_and_kinds_are_no_duplicates(tmp_path: Path) -> None:
    other = policy()
    other["metadata"] = {"name": "checkout", "namespace": "stage"}

    assert lint(tmp_path, f"{text()}---\n{yaml.safe_dump(other)}") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    content = b"\xff\xfe" + text().encode("utf-16-le") if encoding.endswith("bom") else text().encode(encoding)

    assert lint(tmp_path, content) == []


@pytest.mark.parametrize("content", ["a: " + "[" * 20_000 + "]" * 20_000, "a: " + "{a: " * 5_000 + "}" * 5_000])
def test_nesting_is_one_error_of_its_file_and_others_are_checked(content: str, tmp_path: Path) -> None:
    found = lint(tmp_path, content, with_query("sum(x"))

    assert [Path(one["file"]).name for one in found] == ["0.yaml", "1.yaml"]
    assert "nested too deeply" in found[0]["message"]
    assert "Traceback" not in str(found)


def test_an_alias_below_itself_ends(tmp_path: Path) -> None:
    recursive = text() + "x: &a\n  b: *a\n"

    assert len(lint(tmp_path, recursive)) <= 2


MANY = """\
apiVersion: resilience-operator.io/v1alpha1
kind: ResiliencePolicy
metadata: {name: many}
spec:
  targetRef: {apiVersion: apps/v1, kind: DaemonSet, name: checkout}
  replicas: {min: five}
  signals:
  - {name: q, query: "sum(rate(x[5m])", window: 5}
  rules:
  - {name: r, when: {signal: cpu, above: 70, for: 2x}, then: [{scaleUp: {pods: 2}}]}
  - {name: e, when: {signal: error-rate, above: 1%}, then: [{rollback: {}}], colour: red}
  - {name: p, when: {signal: nosuch, above: 1}, then: [{alert: {}}]}
  - {name: p, when: {all: [{signal: latency-p99, above: 500}, {signal: q, above: 1}]}, then: [{alert: {}}]}
  - {name: u, when: {signal: latency-p99, above: 5%}, then: [{alert: {}}]}
  interval: 1m
  interval: 30s
"""


def test_all_findings_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    found = lint(tmp_path, MANY)

    assert [(one["line"], one["path"]) for one in found] == [
        (4, "spec"),
        (4, "spec"),
        (6, "spec.replicas.min"),
        (8, "spec.signals[0].window"),
        (8, "spec.signals[0].query"),
        (9, "spec.rules"),
        (10, "spec.rules[0].when.for"),
        (10, "spec.rules[0].when.above"),
        (11, "spec.rules[1].colour"),
        (12, "spec.rules[2].when.signal"),
        (13, "spec.rules[3].name"),
        (13, "spec.rules[3].when.all[0].above"),
        (16, "spec.interval"),
    ]
    assert {one["message"].partition(":")[0] for one in found if one["path"] == "spec"} == {
        "a rule scales, so spec.replicas.max is required",
        "a DaemonSet runs one pod per node and has no replicas",
    }


def test_consequences_of_an_error_are_no_errors(tmp_path: Path) -> None:
    signals = [{"name": "Queue Length", "query": "x"}]
    rules = [
        {"name": "a", "when": {"signal": "queue", "above": "x"}, "then": [{"scaleUp": {"pods": "two"}}]},
        {"name": "b", "when": {"signal": "cpu"}, "then": [{"alert": {}}]},
    ]
    found = lint(tmp_path, text(signals=signals, rules=rules, replicas={"min": 5, "max": 2}))

    assert sorted(one["path"] for one in found) == [
        "spec.replicas", "spec.rules[0].then[0].scaleUp.pods", "spec.rules[0].when.above", "spec.rules[1].when",
        "spec.signals[0].name",
    ]  # fmt: skip


ALERT: list[dict[str, Any]] = [{"alert": {}}]


def alert_on(**condition: Any) -> str:
    own = {"own": {"name": "own", "query": "x", "unit": "ratio"}, "count": {"name": "count", "query": "x"}}
    built_in = {"latency-p50": {"name": "latency-p50", "preset": "latency-p50"}}
    signals = [found] if (found := {**own, **built_in}.get(condition["signal"])) else []
    return text(signals=signals, rules=[{"name": "r", "when": condition, "then": ALERT}])


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ({"signal": "cpu", "above": 70}, "never true: write 70% if"),
        ({"signal": "cpu", "above": "70"}, "never true: write 70% if"),
        ({"signal": "cpu", "below": 30}, "always true: write 30% if"),
        ({"signal": "own", "above": 95}, "never true: write 95% if"),
        ({"signal": "error-rate", "above": 1}, "never true: write 1% if"),
        ({"signal": "error-rate", "above": 5}, "never true: write 5% if"),
        ({"signal": "error-rate", "above": "100%"}, "this is never true"),
        ({"signal": "latency-p99", "above": 500}, "never true: write 500ms if"),
        ({"signal": "latency-p99", "below": 800}, "always true: write 800ms if"),
        ({"signal": "cpu", "below": "0%"}, "cpu is never below 0, so that this is never true"),
        ({"signal": "error-rate", "below": 0}, "error-rate is never below 0"),
        ({"signal": "latency-p50", "below": "0s"}, "latency-p50 is never below 0"),
        ({"signal": "latency-p99", "above": "5%"}, "write a duration like 800ms"),
        ({"signal": "cpu", "above": "5s"}, "write a ratio like 70%"),
        ({"signal": "cpu", "above": "70%", "for": 120}, "is not a duration"),
        ({"signal": "cpu", "above": "70%", "for": "2 min"}, "is not a duration"),
    ],
)
def test_a_threshold_in_a_wrong_unit_is_an_error(condition: dict[str, Any], told: str, tmp_path: Path) -> None:
    [problem] = lint(tmp_path, alert_on(**condition))

    assert told in problem["message"]
    assert not problem["warning"]


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ({"signal": "cpu", "above": 0}, "nearly always true"),
        ({"signal": "latency-p99", "above": "0ms"}, "nearly always true"),
        ({"signal": "count", "above": "70%"}, "is a plain number, and 70% is 0.7: set unit: ratio"),
        ({"signal": "count", "above": "2m"}, "is a plain number, and 2m is 120: set unit: seconds"),
    ],
)
def test_a_threshold_that_is_hardly_meant_is_a_warning(condition: dict[str, Any], told: str, tmp_path: Path) -> None:
    [problem] = lint(tmp_path, alert_on(**condition))

    assert told in problem["message"]
    assert problem["warning"]


@pytest.mark.parametrize(
    "condition",
    [
        {"signal": "error-rate", "above": 0},
        {"signal": "count", "below": 0},
        {"signal": "own", "above": "70%"},
        {"signal": "cpu", "above": 1.5},
        {"signal": "cpu", "above": "150%"},
        {"signal": "error-rate", "above": 0.5},
        {"signal": "latency-p99", "above": 70},
        {"signal": "latency-p99", "above": "500s"},
        {"signal": "error-rate", "below": "100%"},
    ],
)
def test_other_thresholds_are_not_questioned(condition: dict[str, Any], tmp_path: Path) -> None:
    assert lint(tmp_path, alert_on(**condition)) == []


OWN = [{"name": "r", "when": {"signal": "own", "above": 1}, "then": ALERT}]
CPU = [{"name": "r", "when": {"signal": "cpu", "above": "70%"}, "then": ALERT}]
APPROVED = [
    {"name": "r", "when": {"signal": "error-rate", "above": "1%"}, "then": [*ALERT, {"rollback": {"approval": {}}}]}
]
SCALE = [{"name": "r", "when": {"signal": "cpu", "above": "70%"}, "then": [{"scaleUp": {"pods": 1}}]}]


@pytest.mark.parametrize(
    ("spec", "path", "warning"),
    [
        ({"metricSource": {"preset": "nosuch"}}, "spec.metricSource.preset", False),
        ({"metricSource": {"type": "nosuch"}}, "spec.metricSource.type", True),
        ({"signals": [{"name": "cpu", "preset": "latency-p42"}], "rules": CPU}, "spec.signals[0].preset", False),
        ({"signals": [{"name": "own", "query": "x"}]}, "spec.signals[0].name", True),
        ({"signals": [{"name": "own", "query": "x", "window": "5m"}], "rules": OWN}, "spec.signals[0].window", True),
        (
            {"signals": [{"name": "cpu", "preset": "cpu", "window": "10s"}], "rules": CPU},
            "spec.signals[0].window",
            True,
        ),
        (
            {"signals": [{"name": "cpu", "preset": "cpu", "window": "30s"}], "interval": "1m", "rules": CPU},
            "spec.signals[0].window",
            True,
        ),
        ({"replicas": {"min": 5, "max": 5}, "rules": SCALE}, "spec.replicas", True),
        ({"rules": APPROVED}, "spec.rules[0].then[1].rollback.approval", True),
    ],
)
def test_settings_without_effect(spec: dict[str, Any], path: str, warning: bool, tmp_path: Path) -> None:
    [problem] = lint(tmp_path, text(**spec))

    assert (problem["path"], problem["warning"]) == (path, warning)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x7fELF\x02\x01\x01\x00\xff\xfe", "not text in UTF-8 or UTF-16"),
        (b"a: \x00\x01", "is not valid YAML"),
        (b"\xff\xfe\x00", "not text in UTF-8 or UTF-16"),
        (b"a: [", "is not valid YAML"),
        (b"a: 2026-13-45", "out of range: put it in quotes"),
        (b"a: 0x" + b"f" * 20_000 + b"\nb: " + b"9" * 20_000, "out of range: put it in quotes"),
        (b"a: !!int x", "is not valid YAML"),
        (b"a: !secret hunter2", "is not valid YAML"),
        (b"? [a]\n: b", "is not valid YAML"),
        (b"a: *b", "is not valid YAML"),
        (b"\ta: b", "is not valid YAML"),
        (b"kind: ResiliencePolicy\nspec: {{ toYaml .Values.spec }}", "looks like a template"),
        (b"apiVersion: resilience-operator.io/v1alpha1\nkind: ResilencePolicy", "only the kind ResiliencePolicy"),
        (b"kind: ResiliencePolicy\nmetadata: []\nspec: 7", "is not a mapping"),
        (b"kind: ResiliencePolicy", "is required"),
    ],
)
def test_any_input_is_findings_of_its_own_file(content: bytes, told: str, tmp_path: Path) -> None:
    found = lint(tmp_path, content, MANY)

    assert any(told in one["message"] for one in found if one["file"].endswith("0.yaml"))
    assert len([one for one in found if one["file"].endswith("1.yaml")]) == 13
    assert "hunter2" not in str(found)


def test_a_broken_document_hides_no_other(tmp_path: Path) -> None:
    found = lint(tmp_path, f"a: 2026-13-45\n---\n{MANY}---\na: [")

    assert [one["line"] for one in found][:2] == [1, 6]
    assert len(found) == 15
    assert found[-1]["line"] >= 20


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_ends_of_other_systems(newline: str, tmp_path: Path) -> None:
    assert len(lint(tmp_path, MANY.replace("\n", newline).encode())) == 13


def test_a_list_from_kubectl_is_checked(tmp_path: Path) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [policy(), policy(mode="Sometimes")]}
    listed["items"][1]["metadata"] = {"name": "other", "namespace": "shop"}
    listed["items"][1]["spec"]["targetRef"]["name"] = "other"
    [problem] = lint(tmp_path, yaml.safe_dump(listed, sort_keys=False))

    assert problem["path"] == "spec.mode"
    assert "mode: Sometimes" in (tmp_path / "0.yaml").read_text().splitlines()[problem["line"] - 1]


def test_folders_are_searched_and_files_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / ".git").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "chart" / "templates").mkdir(parents=True)
    (tmp_path / "a" / "b" / "templates").mkdir()
    (tmp_path / "a" / "chart" / "Chart.yaml").write_text("name: shop")
    (tmp_path / "a" / "chart" / "templates" / "no.yaml").write_text("{{- if .Values.on }}")
    for place in ("a/one.yaml", "a/b/two.yml", "a/.git/no.yaml", "a/readme.txt", "a/b/templates/three.yaml"):
        (tmp_path / place).write_text(MANY.replace("many", place.rpartition("/")[2].partition(".")[0]))
    (tmp_path / "a" / "round").symlink_to(tmp_path / "a")
    run = CliRunner().invoke(app, ["lint", "-o", "json", *map(str, (tmp_path / "a", tmp_path / "a" / "one.yaml"))])
    assert {one["file"].rpartition("/")[2] for one in json.loads(run.stdout)} == {"one.yaml", "two.yml", "three.yaml"}
    nothing = CliRunner().invoke(app, ["lint", str(tmp_path / "empty")])
    assert (nothing.exit_code, "it contains no .yaml" in nothing.stdout) == (1, True)


def test_what_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["lint", "nul\0l.yaml", str(tmp_path / "none.yaml"), "/proc/self/mem", "/dev/zero"])

    assert run.exit_code == 1
    assert [line.rpartition(": ")[2] for line in run.stdout.splitlines()] == [
        "embedded null byte", "No such file or directory", "Input/output error", "it has more than 64 MiB",
    ]  # fmt: skip


def test_process_substitution(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, text().encode())
    os.close(write)
    try:
        run = CliRunner().invoke(app, ["lint", f"/dev/fd/{read}"])
    finally:
        os.close(read)
    assert (run.exit_code, run.stderr) == (0, "kubectl resilience: 1 policy is valid\n")


@pytest.mark.parametrize("value", ["http://user:hunter2@prometheus:9090", "https://:hunter2@x/"])
def test_passwords_in_urls_are_masked(value: str, tmp_path: Path) -> None:
    found = lint(tmp_path, text(metricSource={"name": value}, interval=value, mode=value))

    assert len(found) == 3
    assert "hunter2" not in str(found)
    assert "**********@" in str(found)
