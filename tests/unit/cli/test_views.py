"""`status`, `explain`, `history` and `lint`: what they make of policies as the operator leaves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from resilience_operator.cli.common.cluster import Access, default_namespace
from resilience_operator.cli.common.policy_loader import load_policy
from resilience_operator.cli.completion import suggestions
from resilience_operator.cli.explain.view import explain, to_document
from resilience_operator.cli.history import view as history
from resilience_operator.cli.kubectl import app
from resilience_operator.cli.status import view as overview
from resilience_operator.decision.analysis.sequential import add_slot
from resilience_operator.decision.model.commands import Outcome, Result
from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.memory_codec import dump_memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.score import Cell, Score
from resilience_operator.decision.model.target import HorizontalPodAutoscaler, TargetState
from resilience_operator.explain.explain import document
from resilience_operator.simulation.engine import simulate
from resilience_operator.simulation.workload import Workload, steady_workload
from resilience_operator.status.history import DecisionHistory, history_entry
from resilience_operator.status.render import render
from tests.unit.cli.support import START, policy

Scene = Callable[[float, Workload], tuple[Workload, dict[str, Observation]]]


def seen(
    at: float,
    *,
    cpu: float | None = 0.4,
    latency: float = 0.2,
    errors: float = 0.0,
    new: float | None = None,
) -> dict[str, Observation]:
    """Three signals, `at` seconds from the start. errors, new: share of failing requests, of the old and the new."""
    now = START + at
    rate = Measured(errors, 6000.0, errors * 6000)
    split = {"v1": rate} if new is None else {"v1": rate, "v2": Measured(new, 1500.0, new * 1500)}
    whole = rate if new is None else Measured((errors + new) / 2, 7500.0, 3750 * (errors + new))
    return {
        "cpu": Observation.unknown(now, "NoData", "cpu: no series") if cpu is None else Observation(now, Measured(cpu)),
        "latency-p99": Observation(now, Measured(latency, 6000.0)),
        "error-rate": Observation(now, whole, by_revision=split, splittable=True),
    }


def after(
    seconds: float, scene: Scene, spec: dict[str, Any] | None = None, workload: Workload | None = None
) -> tuple[dict[str, Any], TargetState, float]:
    """The policy as the operator would have left it after so many seconds, its target, and the time."""
    body = policy(**(spec or {}))
    _, compiled = load_policy(body)
    journal, end = DecisionHistory(), START
    workload = workload or steady_workload(4, "v1", START)
    for judged, turn in simulate(compiled, workload, scene, START, START + seconds + 1):
        rehearsed = body["spec"].get("mode") == "DryRun"
        result = Result.DRY_RUN if rehearsed else Result.DONE
        journal = journal.add([history_entry(Outcome(o.command, result), turn.at, "4bf92f35") for o in turn.outcomes])
        rendered = render(turn.decision, judged.state(turn.at), turn.memory, journal, ())
        workload, end = judged, turn.at
        for outcome in turn.outcomes if not rehearsed else ():
            workload = workload.apply(outcome.command, turn.at)
    return {**body, "status": rendered.body}, workload.state(end), end


def still(**values: Any) -> Scene:
    return lambda now, workload: (workload, seen(now - START, **values))


def sentences(body: dict[str, Any], target: TargetState | str, now: float) -> str:
    return to_document(explain(body, target, now)).plain


def releasing(new: float, errors: float = 0.0) -> Scene:
    def scene(now: float, workload: Workload) -> tuple[Workload, dict[str, Observation]]:
        if now < START + 60:
            return workload, seen(now - START)
        if now == START + 60:
            return workload.release("v2", "argocd-controller", now), seen(now - START, errors=errors)
        gone = all(pod.revision != "v2" for pod in workload.pods)
        return workload, seen(now - START, errors=errors, new=None if gone else new)

    return scene


@pytest.mark.parametrize(
    ("seconds", "scene", "spec", "told"),
    [
        (60, still(), {}, [
            "shop/checkout is Ok: 4 pods",
            "cpu is 40%, not above 70%.",
            "no action needed: it acts on cpu above 70% for 2m.",
            "revision v1 is the last good revision; no release is in progress.",
        ]),
        (60, still(cpu=0.85), {}, [
            "is Pending: cpu 85%",
            "cpu is 85%, above 70% for 1m; it becomes a breach in 1m unless it recovers.",
            "no action yet: the time in `for` has not passed.",
        ]),
        (150, still(cpu=0.85), {}, [
            "is Breach: cpu 85%",
            "cpu is 85%, above 70% for 2m30s.",
            "it requested pods 30s ago and is in its cooldown: it may request more in 30s.",
            "no scale-down yet from 6 to 3: cpu-saturation is Breach",
            "scaleUp, 30s ago: cpu is 85% (above 70% for 2m): 4 → 6 pods",
        ]),
        (150, still(cpu=0.85), {"replicas": {"min": 3, "max": 4}}, [
            "is AtMaximum",
            "it adds no pods: there are 4, the maximum is 4.",
        ]),
        (150, still(cpu=0.85), {"mode": "DryRun"}, [
            "mode is DryRun: decisions are recorded and reported, but nothing is changed.",
            "its actions are only simulated: mode is DryRun.",
            "simulated by the dry run so far: 6 pods instead of 4.",
            "scaleUp (dry run), 30s ago",
        ]),
        (60, still(cpu=None), {}, [
            "is Unmeasured",
            "cpu has no value: a query returned no series for this target (NoData).",
            "no action: the rule does not act on Unknown signals",
        ]),
        (90, releasing(0.05), {}, [
            "the breach has been attributed to revision v2 for 15s.",
            "the rollout is paused because of this rule.",
            "it will be rolled back to v1 in 15s (30s after the breach).",
        ]),
        (90, releasing(0.018), {}, [
            "error-rate is 0.9%, not above 1%.",
            "the breach has been attributed to revision v2 for 15s.",
            "it will be rolled back to v1 in 15s",
        ]),
        (90, releasing(0.05, errors=0.05), {}, [
            "no action on the release: revision v2 is not the cause",
        ]),
        (150, releasing(0.05), {}, [
            "revision v2 was rolled back to v1, on all pods for",
            "revision v2 is quarantined: rolled back once, 45s ago, by failing-release",
            "rollback, 45s ago: error-rate is 5% (above 1%): revision v2 rolled back to v1.",
        ]),
        (60, still(errors=0.05), {}, [
            "error-rate is 5%, above 1% for 1m.",
            "there is nothing to pause or roll back: no release is in progress (phase Stable).",
        ]),
        (60, still(cpu=0.15), {}, ["removes the pods that the load has not needed since in 4m, down to 3."]),
    ],
    ids=[
        "calm", "pending", "cooling down", "at its maximum", "dry run", "unknown", "failing release",
        "failing for a few", "not to blame",
        "rolled back", "errors without a release", "giving back",
    ],
)  # fmt: skip
def test_explanations(seconds: float, scene: Scene, spec: dict[str, Any], told: list[str]) -> None:
    text = sentences(*after(seconds, scene, spec))
    for sentence in told:
        assert sentence in text


def test_what_else_stands_in_the_way_is_told() -> None:
    body, target, now = after(60, still())
    target = replace(
        target,
        paused=True,
        paused_by="kubectl-rollout",
        hpa=HorizontalPodAutoscaler("web", "1", 3, 9, original_min=2, owner="KEDA"),
    )
    text = sentences(body, target, now)
    assert "kubectl (kubectl-rollout) paused the rollout: the operator neither resumes it nor rolls it back." in text
    assert "HorizontalPodAutoscaler web, managed by KEDA, scales the target between 3 and 9" in text
    assert "it was 2 before the operator raised it" in text


def test_a_target_that_cannot_be_read_is_told_and_the_rest_still_stands() -> None:
    body, _, now = after(60, still())
    text = sentences(body, "deployments is forbidden", now)
    assert "the target could not be read, so its state is that of the last evaluation" in text
    assert "Deployment checkout had 4 pods at the last evaluation." in text


def test_an_explanation_for_scripts() -> None:
    found = document(explain(*after(60, still())))
    assert json.loads(json.dumps(found)) == found
    assert [rule["name"] for rule in found["rules"]] == ["cpu-saturation", "slow-requests", "failing-release"]


@pytest.mark.parametrize(
    ("spec", "told", "limit"),
    [
        ({}, "the load needs 5 pods with a margin of 11%: cpu of 4.0 pods at 70%; 4 serve.", ""),
        ({"replicas": {"min": 3, "max": 4}}, "the size is limited by: replicas.max (4).", "replicas.max (4)"),
    ],
)
def test_the_capacity_is_explained(spec: dict[str, Any], told: str, limit: str) -> None:
    found = explain(*after(60, still(cpu=0.7), spec))
    text = to_document(found).plain
    assert told in text
    assert "one pod carries cpu up to 70%." in text
    assert "a new pod serves after 30s (assumed until a scale-up shows it)." in text
    assert document(found)["capacity"] == {
        "load": 4.0, "need": 5, "margin": 0.11, "rule": "cpu-saturation", "signal": "cpu", "threshold": 0.7,
        "requestsPerPod": None, "startUpSeconds": 30, "startUpMeasured": False, "limit": limit,
    }  # fmt: skip


def test_without_a_signal_that_follows_the_load_there_is_no_capacity() -> None:
    rule = {"name": "slow", "when": {"signal": "latency-p99", "above": "1s"}, "then": [{"scaleUp": {"pods": 2}}]}
    found = explain(*after(60, still(), {"rules": [rule]}))
    assert document(found)["capacity"] is None
    assert "Capacity" not in to_document(found).plain


def scored_release(slots: int = 3, failures: float = 2.0) -> tuple[dict[str, Any], TargetState, float]:
    """A release in its bake whose sequential test has counted something. failures: of 60 requests in each slot."""
    body, target, now = after(60, still())
    score = Score()
    for slot in range(1, slots + 1):
        cells = [Cell("v2-x", True, 60.0, failures), Cell("v1-y", False, 180.0, 1.0)]
        score = add_slot(score, cells, now - 20 + slot)
    score = replace(score, pod="v2-x")
    memory = load_policy(body)[0].memory
    assert memory.release is not None
    release = replace(memory.release, phase=Phase.PROGRESSING, revision="v2", scores={"error-rate>0.01": score})
    body["status"]["memory"] = dump_memory(replace(memory, release=release))
    return body, target, now


def test_the_evidence_on_a_release_is_explained() -> None:
    text = sentences(*scored_release())
    assert (
        "error-rate on the release: 6 of 180 requests bad on the new revision, 3 of 540 on the old one; score "
    ) in text
    assert " of 4000; most of them on pod v2-x; a verdict needs about " in text
    assert "more requests of the new revision at this rate (counted until 17s ago)." in text
    rules = {rule["name"]: rule["evidence"] for rule in document(explain(*scored_release()))["rules"]}
    assert rules["cpu-saturation"] == []
    (found,) = rules["failing-release"]
    assert found["new"] == {"requests": 180, "failures": 6} and found["old"] == {"requests": 540, "failures": 3}
    assert 1 < found["score"] < found["limit"] == 4000
    assert found["pod"] == "v2-x" and found["moreRequests"] > 0


def test_a_score_above_its_limit_is_proven_only_if_it_is_no_burst() -> None:
    assert "in too few pods or intervals to exclude one burst" in sentences(*scored_release(3, 40.0))
    assert "; proven (counted" in sentences(*scored_release(5, 40.0))


def test_a_policy_that_nobody_looked_at() -> None:
    text = sentences(policy(), "not asked", START)
    assert "is NotSeen" in text
    assert "not evaluated yet." in text


def condition(type_: str, status: str, reason: str) -> dict[str, Any]:
    return {
        "type": type_, "status": status, "reason": reason, "message": f"{reason} it is",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip


READY = condition("Ready", "True", "Accepted")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, "NotSeen"),
        ({"conditions": "none"}, "Unreadable"),
        ({"conditions": [condition("Ready", "False", "TargetNotFound")]}, "TargetNotFound"),
        ({"conditions": [condition("Ready", "True", "Suspended")]}, "Suspended"),
        ({"conditions": [READY]}, "Ok"),
        ({"conditions": [READY], "observedGeneration": 0}, "Changed"),
        ({"conditions": [READY, condition("ReleaseHealthy", "False", "HeldPaused")]}, "HeldPaused"),
        ({"conditions": [READY, condition("ReleaseHealthy", "True", "Baking")]}, "Baking"),
        ({"conditions": [READY, condition("ReleaseHealthy", "True", "NoRelease")]}, "Ok"),
        ({"conditions": [READY, condition("Scaling", "False", "AtMaximum")]}, "AtMaximum"),
        ({"conditions": [READY, condition("MetricsAvailable", "False", "NoData")]}, "Unmeasured"),
        ({"conditions": [READY], "signals": [{"name": "cpu", "verdict": "Pending"}]}, "Pending"),
        ({"conditions": [READY], "signals": [{"name": "cpu", "verdict": "Breach", "value": "85%"}]}, "Breach"),
    ],
)
def test_states(status: dict[str, Any], state: str) -> None:
    (row,) = overview.overview([{**policy(), "status": {"observedGeneration": 1, **status} if status else {}}])
    assert row.state.word == state


def test_the_worst_stands_first() -> None:
    def named(name: str, *conditions: dict[str, Any], **meta: str) -> dict[str, Any]:
        body = policy()
        body["metadata"] |= {"name": name, **meta}
        return {**body, "status": {"observedGeneration": 1, "conditions": [READY, *conditions]}}

    rows = overview.overview(
        [
            named("b"),
            named("a"),
            named("releasing", condition("ReleaseHealthy", "True", "Progressing")),
            named("held", condition("ReleaseHealthy", "False", "HeldPaused"), namespace="z"),
        ]
    )
    assert [row.name for row in rows] == ["held", "releasing", "a", "b"]


def test_a_row_and_its_history() -> None:
    body, _, now = after(150, still(cpu=0.85))
    (row,) = overview.overview([body])
    assert [cell.text for cell in overview.cells(row, now)] == [
        "checkout", "Breach", "deploy/checkout", "6", "Stable", "cpu 85% Breach, latency-p99 200ms, error-rate 0%",
        "scaleUp 30s ago", "cpu 85%",
    ]  # fmt: skip
    assert row.status.history[0].trace_id == "4bf92f35"
    (line,) = history.rows(row.status.history, now)
    when = datetime.fromtimestamp(START + 120, UTC)
    assert [cell.text for cell in line] == [
        f"{when:%Y-%m-%d %H:%M:%S}Z", "30s", "scaleUp", "4 → 6", "cpu-saturation", "RuleBreached", "4bf92f35",
        "cpu is 85% (above 70% for 2m): 4 → 6 pods",
    ]  # fmt: skip


# lint


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        ("", 0, ""),
        ("above: 70%|above: seventy", 11, "spec.rules[0].when.above: 'seventy' is not a threshold"),
        ("for: 2m|until: 2m", 11, "spec.rules[0].when.until: unknown field"),
        ("max: 20|least: 20", 8, "spec.replicas.least: unknown field"),
        ("{min: 3, max: 20}|{min: 30, max: 20}", 8, "spec.replicas: max is below min"),
    ],
)
def test_lint_names_file_line_and_path(tmp_path: Path, change: str, line: int, message: str) -> None:
    from tests.unit.cli.support import POLICY

    old, _, new = change.partition("|")
    file = tmp_path / "policy.yaml"
    file.write_text("kind: Other\n---\n" + (POLICY.replace(old, new, 1) if change else POLICY).lstrip())
    result = CliRunner().invoke(app, ["lint", str(file)])
    if not change:
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == "kubectl resilience: 1 policy is valid\n"
        return
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{file}:{line}: {message}")
    (fault,) = json.loads(CliRunner().invoke(app, ["lint", str(file), "-o", "json"]).stdout)
    assert (fault["line"], fault["file"]) == (line, str(file))


@pytest.mark.parametrize(
    ("when", "then", "signals", "warning"),
    [
        (
            {"all": [{"signal": "cpu", "above": "7000%"}]},
            {"alert": {}},
            [],
            "when.all[0].above: warning: cpu is a ratio",
        ),
        ({"signal": "cpu", "above": 1.5}, {"alert": {}}, [], ""),
        ({"signal": "latency-p99", "above": 70}, {"alert": {}}, [], ""),
        (
            {"signal": "queue", "above": 70},
            {"scaleUp": {"toTarget": True}},
            [{}],
            "of queue returns a total",
        ),
        ({"signal": "queue", "above": 70}, {"scaleUp": {"toTarget": True}}, [{"of": "total"}], ""),
        ({"signal": "queue", "above": 70}, {"scaleUp": {"toTarget": True}}, [{"of": "perPod"}], ""),
        ({"signal": "queue", "above": 70}, {"scaleUp": {"pods": 2}}, [{}], ""),
    ],
)
def test_lint_warns_of_what_is_hardly_meant(
    tmp_path: Path, when: dict[str, Any], then: dict[str, Any], signals: list[dict[str, str]], warning: str
) -> None:
    file = tmp_path / "policy.yaml"
    queue = [{"name": "queue", "query": "sum(queue_length)", **signal} for signal in signals]
    rules = [{"name": "a", "when": when, "then": [then]}]
    file.write_text(yaml.safe_dump(policy(signals=queue, rules=rules, replicas={"max": 9})))
    result = CliRunner().invoke(app, ["lint", str(file)])
    assert result.exit_code == 0
    assert (warning in result.stdout) if warning else result.stdout == ""


def test_lint_bounds_the_queries(tmp_path: Path) -> None:
    signals = [{"name": f"s{number}", "query": "+".join(["up"] * 250)} for number in range(13)]
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(policy(signals=signals)))
    result = CliRunner().invoke(app, ["lint", str(file)])
    assert result.exit_code == 1
    assert "spec.signals: the policy's queries have more than 3000 operators" in result.stdout
    signals = [{"name": "big", "query": "+".join(["up"] * 400)}, {"name": "open", "query": "up{a='}"}]
    file.write_text(yaml.safe_dump(policy(signals=signals)))
    result = CliRunner().invoke(app, ["lint", str(file)])
    assert "spec.signals[0].query: the query has more than 300 operators" in result.stdout
    assert "spec.signals[1].query: the query cannot be read: the string at character 6 is not closed" in result.stdout


def test_explain_tells_the_window_that_is_used() -> None:
    signals = [{"name": "cpu", "preset": "cpu", "window": "45s"}]
    assert "cpu is 40% (over 1m: 45s is rounded up)" in sentences(*after(60, still(), {"signals": signals}))


def test_lint_reads_standard_input_and_tells_what_it_cannot_read() -> None:
    good = CliRunner().invoke(app, ["lint", "-"], input=yaml.safe_dump(policy()))
    assert good.exit_code == 0
    broken = CliRunner().invoke(app, ["lint", "-", "none.yaml"], input="a: [")
    assert broken.exit_code == 1
    assert broken.stdout.splitlines()[0].startswith("-:1: is not valid YAML: ")
    assert broken.stdout.splitlines()[1].startswith("none.yaml: cannot be read")
    nothing = CliRunner().invoke(app, ["lint", "-"], input="kind: Other\n")
    assert (nothing.exit_code, nothing.stderr) == (
        1,
        "kubectl resilience: the input contains no ResiliencePolicy\n",
    )


# The command line as a whole


@pytest.mark.parametrize("command", ["status", "explain", "history", "lint", "simulate", "replay"])
def test_every_command_has_help_with_examples(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"kubectl resilience {command}" in result.stdout
    assert "Examples:" in result.stdout


@pytest.mark.parametrize("arguments", [["nothing"], ["explain"], ["status", "-o", "xml"], ["lint"]])
def test_a_wrong_call_is_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("words", "some", "directive"),
    [
        ([""], "status", 4),
        (["re"], "replay", 4),
        (["status", "-"], "--watch", 4),
        (["status", "-o", ""], "json", 4),
        (["convert", "--output", "y"], "yaml", 4),
        (["lint", ""], "", 0),
        (["explain", "--kubeconfig", "/nowhere", ""], "", 4),
    ],
)
def test_completion_as_kubectl_asks_for_it(words: list[str], some: str, directive: int) -> None:
    found, told = suggestions(words)
    assert told == directive
    assert (some in [line.partition("\t")[0] for line in found]) if some else found == []


def test_no_cluster_is_2_and_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--kubeconfig", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert result.stderr.startswith("kubectl resilience: no kubeconfig at")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(("current", "namespace"), [("a", "shop"), ("b", "default"), ("c", "default"), ("", "default")])
def test_the_namespace_is_the_contexts(tmp_path: Path, current: str, namespace: str) -> None:
    path = tmp_path / "config"
    contexts = [{"name": "a", "context": {"namespace": "shop"}}, {"name": "b", "context": {}}]
    path.write_text(yaml.safe_dump({"current-context": current, "contexts": contexts}))
    assert default_namespace(Access(path)) == namespace
    assert default_namespace(Access(tmp_path / "none")) == "default"


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("explain", "Usage: kubectl resilience explain [OPTIONS] [NAME]..."),
        ("status", "Usage: kubectl resilience status [OPTIONS] [NAME]..."),
        ("lint", "Usage: kubectl resilience lint [OPTIONS] FILE..."),
        ("convert", "Usage: kubectl resilience convert [OPTIONS] FILE..."),
        ("init", "Usage: kubectl resilience init [OPTIONS] DEPLOYMENT"),
    ],
)
def test_the_usage_line_is_as_kubectl_writes_it(command: str, usage: str) -> None:
    assert CliRunner().invoke(app, [command, "--help"]).stdout.splitlines()[0] == usage
