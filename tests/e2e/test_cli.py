"""`kubectl resilience` against the real API server and the real Prometheus, as people call it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.test_release import bad, guard, settle
from tests.support.install import ROOT
from tests.support.operator import Operator
from tests.support.world import World

Run = subprocess.CompletedProcess[str]
Call = Callable[..., Run]


@pytest.fixture
def resilience(world: World) -> Call:
    """Calls the plugin for this test's namespace."""

    def call(*arguments: str, namespaced: bool = True, **variables: str) -> Run:
        command = [sys.executable, "-m", "resilience_operator.cli.kubectl", *arguments]
        if namespaced:
            command += ["-n", world.namespace, "--kubeconfig", str(world.cluster.kubeconfig)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), **variables}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)

    return call


def answered(run: Run) -> Any:
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_a_policy_that_acted_is_told_and_replayed(
    world: World, operator: Operator, resilience: Call, tmp_path: Path
) -> None:
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_total_cores=0.255)
    world.policy(scaleDown={"after": "10m"})
    world.until(lambda: world.actions() == ["scaleUp"], "two pods more")
    world.until_verdict("cpu", "Ok")
    decision = world.status()["lastDecision"]

    row = answered(resilience("status", "-o", "json"))[0]
    assert (row["name"], row["state"], row["replicas"], row["phase"]) == ("checkout", "Ok", 5, "Stable")
    assert row["lastDecision"]["action"] == "scaleUp"
    table = resilience("status").stdout
    assert "\x1b" not in table
    assert table.splitlines()[0].split()[:3] == ["NAME", "STATE", "TARGET"]

    told = answered(resilience("explain", "checkout", "-o", "json"))
    assert told["rules"][0]["verdict"] == "Ok"
    assert "acts on cpu above 70% for 10s" in told["rules"][0]["then"][0]
    assert told["target"][0] == "Deployment checkout has 5 pods, all ready"
    assert told["scaleDown"][0].startswith(("no scale-down yet from 5 to 3: ", "stable for "))
    assert told["lastDecision"].startswith("scaleUp, ")
    text = resilience("explain", "checkout").stdout
    assert text.startswith(f"{world.namespace}/checkout is Ok")

    entries = answered(resilience("history", "checkout", "-o", "json"))
    assert [(e["action"], e["from"], e["to"], e["rule"]) for e in entries] == [("scaleUp", "3", "5", "cpu-saturation")]
    assert "3 → 5" in resilience("history", "checkout").stdout

    export = tmp_path / "hour.json.gz"
    url = world.cluster.prometheus_url
    replayed = answered(
        resilience(
            "replay", "checkout", "--since", "20m", "--prometheus-url", url, "--export", str(export), "-o", "json"
        )
    )
    (again,) = replayed["decisions"]
    assert (again["action"], again["from"], again["to"], again["rule"]) == ("scaleUp", "3", "5", "cpu-saturation")
    assert "above 70% for 10s" in again["message"]
    assert abs(moment(again["at"]) - moment(decision["at"])) <= 15
    assert [e["message"] for e in replayed["events"]] == ["scaled from 3 to 5 pods (by the operator)"]
    from_file = resilience("replay", "--from", str(export), "-o", "json", namespaced=False)
    assert answered(from_file)["decisions"] == replayed["decisions"]

    document = world.read_policy()
    document["spec"]["rules"][0]["when"]["above"] = "95%"
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump(document))
    calmer = resilience("replay", "-f", str(changed), "--from", str(export), "-o", "json", namespaced=False)
    assert answered(calmer)["decisions"] == []


def moment(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def test_a_release_that_was_rolled_back_is_explained_and_replayed(
    world: World, operator: Operator, resilience: Call, tmp_path: Path
) -> None:
    settle(world, rules=guard({"pauseRollout": {}}, {"rollback": {"after": "20s"}}))
    bad(world)
    world.release("2.0")
    world.until_phase("RolledBack")
    revision = world.status()["quarantined"][0]["revision"]
    told = answered(resilience("explain", "checkout", "-o", "json"))
    assert any(f"revision {revision} is quarantined" in sentence for sentence in told["blockers"])
    entries = answered(resilience("history", "checkout", "-o", "json"))
    assert [e["action"] for e in entries] == ["rollback", "pauseRollout"]
    # A replay looks on its own beat, and of the bad pods there is only what was scraped before they were gone: that it
    # pauses is certain, that it still sees them when the rollback is due is not.
    world.change_policy(rules=guard({"pauseRollout": {}}, {"rollback": {"after": "5s"}}))
    url = world.cluster.prometheus_url
    export = tmp_path / "release.json"
    replayed = answered(
        resilience(
            "replay", "checkout", "--since", "20m", "--prometheus-url", url, "--export", str(export), "-o", "json"
        )
    )
    assert [d["action"] for d in replayed["decisions"]] in (["pauseRollout"], ["pauseRollout", "rollback"])
    assert {d["from"] for d in replayed["decisions"]} == {revision}


def test_what_stands_in_the_way_is_told(world: World, operator: Operator, resilience: Call) -> None:
    settle(world)
    world.apps.patch_namespaced_deployment(
        "checkout", world.namespace, {"spec": {"paused": True}}, field_manager="kubectl-rollout"
    )
    world.until(lambda: world.told("ManualPause"), "the pause is seen")

    def blockers() -> str:
        return " ".join(answered(resilience("explain", "checkout", "-o", "json"))["blockers"])

    world.until(lambda: "kubectl (kubectl-rollout) paused the rollout" in blockers(), "explain names the person's tool")


def test_what_is_not_there_is_told_in_one_line(world: World, resilience: Call) -> None:
    for arguments, message in (
        (("status",), f"no policies found in namespace {world.namespace}"),
        (("explain", "nobody"), f"policy nobody not found in namespace {world.namespace}"),
        (("history", "nobody"), f"policy nobody not found in namespace {world.namespace}"),
        (("replay", "nobody"), f"policy nobody not found in namespace {world.namespace}"),
    ):
        run = resilience(*arguments)
        assert run.returncode == 1
        assert run.stderr == f"kubectl resilience: {message}\n"
        assert run.stdout == ""


def test_a_policy_that_no_operator_saw_says_so(world: World, resilience: Call) -> None:
    world.deployment()
    world.policy()
    assert answered(resilience("status", "-o", "json"))[0]["state"] == "NotSeen"
    run = resilience("history", "checkout")
    assert (run.returncode, run.stderr) == (1, "kubectl resilience: policy checkout has no decisions yet\n")
    told = resilience("explain", "checkout").stdout
    assert "no operator has evaluated the policy yet" in told


def test_a_cluster_that_is_not_there_is_told(world: World, resilience: Call, tmp_path: Path) -> None:
    run = resilience("status", "--kubeconfig", str(tmp_path / "none"), namespaced=False)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert "no kubeconfig at" in run.stderr
