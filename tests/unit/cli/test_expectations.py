"""Expectations of scenarios: what each kind accepts, what it reports, and which files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from typer.testing import CliRunner

from resilience_operator.cli.kubectl import app
from resilience_operator.cli.scenario.check import check
from resilience_operator.cli.scenario.description import describe
from resilience_operator.cli.scenario.expectations import Expectation
from resilience_operator.cli.scenario.model import Scenario
from resilience_operator.cli.scenario.run import run
from resilience_operator.cli.scenario.trace import Trace
from tests.unit.cli.support import policy

BAD_RELEASE: dict[str, Any] = {
    "duration": "30m",
    "workload": {"replicas": 5},
    "load": 300,
    "events": [{"at": "10m", "release": {"revision": "v2", "errors": "20%"}}],
}
"""A release of which one request in five fails: paused, then rolled back to v1."""


@pytest.fixture(scope="module")
def trace() -> Trace:
    # The expectation makes the run record conditions.
    document = {**BAD_RELEASE, "policy": policy(), "expect": [{"condition": {"type": "Ready", "status": "True"}}]}
    return run(Scenario.model_validate(document), policy(), "case").trace


MET: list[dict[str, Any]] = [
    {"action": "rollback"},
    {"action": "rollback", "times": 1, "to": "v1", "rule": "failing-release"},
    {"action": "rollback", "times": {"min": 1, "max": 2}},
    {"action": "rollback", "message": "ERROR-RATE is"},
    {"action": "rollback", "from": "10m", "within": "3m"},
    {"action": "rollback", "after": "release", "within": "3m"},
    {"action": "rollback", "after": "pauseRollout", "within": "2m"},
    {"action": "rollback", "notBefore": "10m"},
    {"action": "rollback", "never": True, "until": "10m"},
    {"action": "scaleUp", "never": True},
    {"action": "scaleUp", "times": 0},
    {"order": ["pauseRollout", "rollback"]},
    {"rolledBack": True},
    {"phase": "Stable", "until": "9m"},
    {"phase": ["Progressing", "Paused"], "at": "10m30s"},
    {"phase": "RolledBack", "within": "20m"},
    {"phase": "Baking", "never": True},
    {"condition": {"type": "ReleaseHealthy", "status": "True"}, "until": "9m"},
    {"condition": {"type": "ReleaseHealthy", "reason": "RolledBack"}, "after": "rollback", "within": "5m"},
    {"condition": {"type": "ReleaseHealthy", "status": "True"}, "at": "5m", "message": "last good"},
    {"signal": {"name": "error-rate", "verdict": "Ok"}, "at": "end"},
    {"revision": "v1", "at": "end"},
    {"revision": "v2", "at": "10m"},
    {"paused": True, "within": "15m"},
    {"paused": False, "at": "end"},
    {"replicas": 5},
    {"ready": {"min": 4}},
    {"podHours": {"min": 2.4, "max": 2.7}},
    {"failedRequests": {"max": "2%"}},
    {"failedRequests": {"min": "2%"}, "from": "10m15s", "until": "11m"},
]


@pytest.mark.parametrize("fields", MET, ids=str)
def test_is_met(trace: Trace, fields: dict[str, Any]) -> None:
    found = check(Expectation.model_validate(fields), trace)
    assert found.met, found.seen


UNMET: list[tuple[dict[str, Any], str, str]] = [
    ({"action": "scaleUp"}, "scaleUp at least once", "it did not happen"),
    ({"action": "rollback", "times": 2}, "rollback 2 times", "it happened once, at +1"),
    ({"action": "rollback", "never": True}, "rollback never", "it happened once, at +1"),
    ({"action": "rollback", "times": 0}, "rollback never", "it happened once, at +1"),
    ({"action": "rollback", "until": "10m"}, "rollback at least once from +0s until +10m", "it did not happen"),
    (
        {"action": "rollback", "from": "10m", "within": "10s"},
        "rollback at least once within 10s after +10m",
        "it did not happen",
    ),
    (
        {"action": "rollback", "notBefore": "15m"},
        "rollback at least once not before +15m",
        "it happened once, at +1",
    ),
    (
        {"action": "rollback", "to": "v0"},
        "rollback to v0 at least once",
        "rollback did, but otherwise: rollback to v1 by failing-release, error-rate is",
    ),
    (
        {"action": "rollback", "after": "scaleUp", "within": "1m"},
        "rollback at least once within 1m after scaleUp",
        "scaleUp did not happen",
    ),
    ({"order": ["rollback", "pauseRollout"]}, "rollback → pauseRollout", "saw pauseRollout → rollback"),
    ({"rolledBack": False}, "not rolled back", "it happened once, at +1"),
    ({"phase": "Stable"}, "phase Stable always", "Progressing at +10m, Paused at +1"),
    ({"phase": "Baking", "within": "20m"}, "phase Baking within 20m", "Stable at +0s, Progressing at +10m"),
    (
        {"condition": {"type": "ReleaseHealthy", "status": "True"}},
        "ReleaseHealthy True always",
        "ReleaseHealthy=False ",
    ),
    (
        {"signal": {"name": "error-rate", "verdict": "Unknown"}, "at": "5m"},
        "error-rate Unknown at +5m",
        "error-rate Ok WithinBounds at +5m",
    ),
    ({"signal": {"name": "queue", "verdict": "Ok"}}, "queue Ok always", "no rule reads queue"),
    ({"revision": "v2", "at": "end"}, "revision v2 at the end", "revision v1 at +29m"),
    ({"paused": False}, "not paused always", "paused by resilience-operator at +1"),
    ({"replicas": {"min": 6}}, "at least 6 replicas always", "5 replicas at +0s"),
    ({"ready": {"max": 4}}, "at most 4 ready always", "5 ready at +0s"),
    ({"hpaMin": 3}, "minReplicas 3 always", "no HPA at +0s"),
    ({"podHours": {"max": 1}}, "pod-hours at most 1", "pod-hours"),
    ({"failedRequests": {"max": "0%"}}, "failed requests at most 0%", "requests failed"),
]


@pytest.mark.parametrize(("fields", "text", "seen"), UNMET, ids=lambda value: str(value)[:60])
def test_is_not_met(trace: Trace, fields: dict[str, Any], text: str, seen: str) -> None:
    expectation = Expectation.model_validate(fields)
    found = check(expectation, trace)
    assert not found.met
    assert seen in found.seen
    assert describe(expectation) == text


def write(folder: Path, name: str, **fields: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"policy": policy(), **BAD_RELEASE, **fields}))
    return path


def test_runs_all_files_below_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", expect=[{"rolledBack": True}, {"action": "scaleUp", "never": True}])
    write(tmp_path, "below/b.yml", expect=[{"rolledBack": True}], policy="../policy.yaml")
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy()))
    (tmp_path / "notes.txt").write_text("not a scenario")
    report = tmp_path / "results.xml"
    result = CliRunner().invoke(app, ["test", str(tmp_path), "--seeds", "2", "--junit", str(report)])
    assert result.exit_code == 0, result.output
    assert "2 scenarios, 3 expectations: 3 passed, 0 failed" in result.stdout
    suites = ET.parse(report).getroot().findall("testsuite")
    assert [suite.get("tests") for suite in suites] == ["2", "1"]
    assert not list(ET.parse(report).getroot().iter("failure"))


def test_a_failure_is_reported_with_what_was_seen(tmp_path: Path) -> None:
    file = write(tmp_path, "a.yaml", expect=[{"rolledBack": False}, {"rolledBack": True}], seed=7)
    report = tmp_path / "results.xml"
    result = CliRunner().invoke(app, ["test", str(file), "--seeds", "2", "--junit", str(report), "-o", "json"])
    assert result.exit_code == 1
    (found,) = json.loads(result.stdout)["scenarios"]
    first, second = found["expectations"]
    assert (first["passed"], first["met"], first["unmetSeeds"], first["seed"]) == (False, 0, [7, 8], 7)
    assert first["seen"].startswith("it happened once, at +1")
    assert second["passed"]
    (failure,) = ET.parse(report).getroot().iter("failure")
    assert "not rolled back" in (failure.text or "")
    assert "7, 8" in (failure.text or "")


def test_a_share_of_seeds_is_enough(tmp_path: Path) -> None:
    # A trickle of requests: whether one of the first hundred fails depends on the seed.
    fields = {"load": 0.5, "duration": "13m", "events": [{"at": "10m", "release": {"revision": "v2", "errors": "2%"}}]}
    lost = {"failedRequests": {"max": "0%"}}
    file = write(tmp_path, "a.yaml", expect=[lost, {**lost, "seeds": "10%"}], **fields)
    result = CliRunner().invoke(app, ["test", str(file), "--seeds", "10", "-o", "json"])
    strict, share = json.loads(result.stdout)["scenarios"][0]["expectations"]
    assert 0 < strict["met"] < 10
    assert not strict["passed"]
    assert share["passed"]
    assert share["expected"] == "failed requests at most 0% in 10% of the seeds"


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ([{}], "expect[0]: an expectation needs exactly one of action, order"),
        ([{"action": "rollback", "phase": "Stable"}], "expect[0]: an expectation needs exactly one of"),
        ([{"phase": "Bored"}], "expect[0].phase"),
        ([{"condition": {"type": "Ready"}}], "expect[0].condition: needs status, reason or both"),
        ([{"action": "rollback", "at": "5m"}], "expect[0].at: at goes with phase"),
        ([{"rolledBack": True, "times": 1}], "expect[0].times: times goes with action only"),
        ([{"action": "rollback", "never": True, "times": 1}], "expect[0].never: never excludes times"),
        ([{"phase": "Stable", "at": "5m", "from": "1m"}], "expect[0].at: at excludes from"),
        ([{"action": "rollback", "within": "1m", "until": "5m"}], "expect[0].within: within excludes until"),
        ([{"action": "rollback", "from": "6m", "until": "5m"}], "expect[0].until: until is before from"),
        ([{"rolledBack": True, "seeds": "120%"}], "expect[0].seeds: needs a share"),
        ([{"replicas": {}}], "expect[0].replicas: needs min, max or both"),
        ([{"replicas": {"min": 3, "max": 2}}], "expect[0].replicas: min is larger than max"),
        ([{"replicas": "many"}], "expect[0].replicas"),
        ([{"action": "rollback", "sometimes": True}], "expect[0].sometimes: unknown field"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_expectation_is_refused_with_its_line(tmp_path: Path, expect: list[Any], message: str) -> None:
    file = write(tmp_path, "a.yaml", expect=expect)
    result = CliRunner().invoke(app, ["test", str(file)])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith(f"kubectl resilience: {file}:")


def test_all_bad_files_are_named_before_any_runs(tmp_path: Path) -> None:
    write(tmp_path, "good.yaml", expect=[{"rolledBack": True}])
    write(tmp_path, "bad.yaml", load="much")
    write(tmp_path, "worse.yaml", policy=policy(interval="soon"))
    result = CliRunner().invoke(app, ["test", str(tmp_path)])
    assert result.exit_code == 2
    assert "bad.yaml:" in result.stderr
    assert "worse.yaml:" in result.stderr
    assert "policy.spec.interval" in result.stderr
    assert result.stdout == ""


def test_a_folder_without_scenarios_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["test", str(tmp_path)])
    assert result.exit_code == 2
    assert "no scenario files in" in result.stderr
