"""Scenarios: courses over time, what a service does under load, and the stories that come of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from resilience_operator.cli.kubectl import app
from resilience_operator.cli.report.model import Kind, RunReport
from resilience_operator.cli.scenario.interpolation import value_at
from resilience_operator.cli.scenario.model import Scenario
from resilience_operator.cli.scenario.run import run
from resilience_operator.cli.scenario.series_model import Point
from tests.unit.cli.support import policy

SCENARIOS = Path(__file__).resolve().parents[3] / "docs" / "scenarios"
EXAMPLES = sorted(path for path in SCENARIOS.glob("*.yaml") if path.name != "policy.yaml")


def scenario(**fields: object) -> Scenario:
    base = {"policy": policy(), "duration": "30m", "workload": {"replicas": 4}, "load": 100}
    return Scenario.model_validate({**base, **fields})


def told(found: Scenario) -> RunReport:
    assert isinstance(found.policy, dict)
    return run(found, found.policy, "case").report


def actions(story: RunReport) -> list[str]:
    return [h.action for h in story.decisions]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_does_what_it_says(path: Path) -> None:
    result = CliRunner().invoke(app, ["simulate", str(path), "-o", "json"])
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["expected"] > 0
    assert document["unmet"] == []


@pytest.mark.parametrize(
    ("points", "time", "expected"),
    [
        ([{"to": 5}], 0, 5),
        ([{"at": "10s", "to": 5}], 9, None),
        ([{"to": 5}, {"at": "10s", "to": 8}], 9.9, 5),
        ([{"to": 5}, {"at": "10s", "to": 8}], 10, 8),
        ([{"to": 100}, {"at": "10s", "to": 200, "over": "10s"}], 15, 150),
        ([{"to": 100}, {"at": "10s", "to": 200, "over": "10s"}], 25, 200),
        # A new way begins where the one before had got to.
        ([{"to": 0}, {"to": 100, "over": "10s"}, {"at": "5s", "to": 0, "over": "10s"}], 10, 25),
        ([{"wave": {"low": 100, "high": 300, "period": "1h"}}], 0, 100),
        ([{"wave": {"low": 100, "high": 300, "period": "1h"}}], 1800, 300),
        ([{"wave": {"low": 100, "high": 300, "period": "1h"}}], 900, 200),
    ],
)
def test_courses(points: list[dict[str, object]], time: float, expected: float | None) -> None:
    found = value_at([Point.model_validate(point) for point in points], time)
    assert found == (expected if expected is None else pytest.approx(expected))


def test_the_same_seed_tells_the_same_story() -> None:
    found = scenario(noise="10%", load={"wave": {"low": 100, "high": 700, "period": "20m"}})
    assert told(found).events == told(found).events
    assert told(found.model_copy(update={"seed": 2})).samples != told(found).samples


def test_nothing_is_done_to_a_dry_run_and_all_is_told() -> None:
    found = scenario(policy=policy(mode="DryRun"), load=360)
    story = told(found)
    assert actions(story)[:1] == ["scaleUp"]
    assert {look.replicas for look in story.samples} == {4}
    assert max(look.wanted for look in story.samples) > 4


def test_a_pause_by_hand_is_respected() -> None:
    story = told(
        scenario(
            events=[
                {"at": "5m", "pause": {}},
                {"at": "6m", "release": {"revision": "v2", "errors": "20%"}},
                {"at": "10m", "resume": {}},
            ]
        )
    )
    assert (
        next(h.message for h in story.events if h.kind is Kind.EVENT) == "kubectl (kubectl-rollout) pauses the rollout"
    )
    assert "ManualPause" in {h.action for h in story.events}
    assert [h.at - story.start for h in story.decisions if h.action == "rollback"] > [600]


def test_signals_of_their_own_come_from_the_scenario() -> None:
    document = policy(
        signals=[{"name": "queue", "query": "sum(queue)"}],
        rules=[{"name": "long", "when": {"signal": "queue", "above": 10}, "then": [{"scaleUp": {"pods": 1}}]}],
    )
    without = told(scenario(policy=document))
    assert actions(without) == []
    assert {look.verdicts for look in without.samples} == {("Unknown",)}
    story = told(scenario(policy=document, signals={"queue": [{"to": 9}, {"at": "10m", "to": 40}]}))
    assert actions(story)[0] == "scaleUp"
    assert story.decisions[0].at - story.start == 600


def test_an_expectation_that_is_not_met_fails_the_command(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    found = {
        "policy": policy(), "duration": "5m", "workload": {"replicas": 4}, "load": 100,
        "expect": [{"action": "rollback"}],
    }  # fmt: skip
    file.write_text(yaml.safe_dump(found))
    result = CliRunner().invoke(app, ["simulate", str(file)])
    assert result.exit_code == 1
    assert "expected rollback at least once" in result.stderr
    assert result.stdout.startswith("case: 20 evaluations in 5m; no actions; 4 pods throughout")


POLICY_FILE = "apiVersion: resilience-operator.io/v1alpha1\nkind: ResiliencePolicy\nmetadata: {name: x}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a scenario"),
        (POLICY_FILE, "case.yaml is a ResiliencePolicy, not a scenario"),
        ("a: [", "is not valid YAML: line 1"),
        ("policy: {}\nduration: 1h\nload: 3\n", ":1: workload: is required"),
        (
            "policy: {}\nduration: 1h\nload: 3\nworkload:\n  replicas: many\n",
            ":5: workload.replicas: 'many' is not an integer",
        ),
        (
            "policy: {}\nduration: 1h\nload: 3\nworkload: {replicas: 1}\nevents:\n  - at: 1m\n  - at: 2m\n",
            ":6: events[0]: an event needs exactly one of release",
        ),
        ("policy: none.yaml\nduration: 1h\nload: 3\nworkload: {replicas: 1}\n", "none.yaml: No such file or directory"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(text)
    result = CliRunner().invoke(app, ["simulate", str(file)])
    assert result.exit_code == 2
    assert told in result.stderr
    lines = result.stderr.strip().splitlines()
    assert all(line.startswith("kubectl resilience: ") and line.count("case.yaml:") <= 1 for line in lines)
    assert len(lines) == (2 if "events" in text else 1)
    assert result.stdout == ""


@pytest.mark.parametrize("ending", ["html", "png", "svg"])
def test_pictures(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    result = CliRunner().invoke(
        app, ["simulate", str(SCENARIOS / "bad-release.yaml"), "--picture", str(path), "-o", "yaml"]
    )
    assert result.exit_code == 0, result.stderr
    content = path.read_bytes()
    assert content.startswith({"html": b"<!DOCTYPE html>", "png": b"\x89PNG", "svg": b"<?xml"}[ending])
    if ending == "html":
        page = content.decode()
        assert "<script" not in page
        assert "http://" not in page.replace("http://www.w3.org/", "").replace("http://purl.org/", "").replace(
            "http://creativecommons.org/", ""
        )
        assert "error-rate is" in page


@pytest.mark.parametrize("command", [["simulate"], ["replay", "-f"]])
@pytest.mark.parametrize(
    ("picture", "problem"),
    [
        ("out.gif", "must end in .html, .png or .svg"),
        ("none/out.svg", "does not exist"),
        ("folder.svg", "is a folder, not a file"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_before_the_run(
    tmp_path: Path, command: list[str], picture: str, problem: str
) -> None:
    """The file that is given does not exist, so a command that reads it first fails for another reason."""
    (tmp_path / "folder.svg").mkdir()
    path = tmp_path / picture
    result = CliRunner().invoke(app, [*command, str(tmp_path / "not-read.yaml"), "--picture", str(path)])
    assert result.exit_code == 2
    assert problem in result.stderr
    assert "not-read" not in result.stderr


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.gif"
    result = CliRunner().invoke(app, ["simulate", str(SCENARIOS / "queue.yaml"), "--picture", str(path)])
    assert result.exit_code == 2
    assert "must end in .html, .png or .svg" in result.stderr
