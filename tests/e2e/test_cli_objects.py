"""What `status`, `explain` and `history` print: of several policies, of targets of every kind, in kubectl's formats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_cli import Call, answered, resilience
from tests.e2e.test_scaling import CPU_RULE
from tests.support.clients import PATIENCE, links
from tests.support.install import ROOT
from tests.support.operator import Operator
from tests.support.world import GROUP, PLURAL, VERSION, World

__all__ = ["resilience"]

ALERT = [{"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": [{"alert": {}}]}]


@pytest.fixture
def two(world: World) -> World:
    """Two policies on Deployments; one of them has a label."""
    for name in ("one", "two"):
        world.deployment(name, replicas=1)
        world.policy(name, targetRef={"name": name}, rules=[CPU_RULE])
    world.custom.patch_namespaced_custom_object(
        GROUP, VERSION, world.namespace, PLURAL, "two", {"metadata": {"labels": {"team": "other"}}}
    )
    return world


def test_formats_are_kubectls(two: World, operator: Operator, resilience: Call) -> None:
    two.until(lambda: bool(two.condition("Ready", "two")), "it was evaluated", "two")
    typed = "resiliencepolicy.resilience-operator.io"

    assert sorted(resilience("status", "-o", "name").stdout.splitlines()) == [f"{typed}/one", f"{typed}/two"]
    wide = resilience("status", "rsp/two", "-o", "wide").stdout.splitlines()
    assert [header in wide[0] for header in ("MODE", "REVISION", "LAST GOOD", "QUARANTINED")] == [True] * 4
    assert "Enforce" in wide[1] and two.status("two")["target"]["revision"] in wide[1]
    assert answered(resilience("status", "two", "-o", "json"))["name"] == "two"
    assert [one["name"] for one in answered(resilience("status", "-l", "team=other", "-o", "json"))] == ["two"]
    assert resilience("status", "two", "-o", "jsonpath={.name}").stdout == "two"
    template = 'jsonpath={range [*]}{.name}{"\\n"}{end}'
    assert sorted(resilience("status", "-o", template).stdout.split()) == ["one", "two"]
    assert resilience("explain", "two", "-o", "jsonpath={.rules[*].name}").stdout == CPU_RULE["name"]
    assert len(answered(resilience("explain", "--all", "-o", "json"))) == 2
    assert resilience("explain", "one", "two", "-o", "name").stdout.splitlines() == [f"{typed}/one", f"{typed}/two"]
    for command in ("status", "explain", "history"):
        assert resilience(command, "two", "-o", "xml").returncode == 2


def test_one_that_is_missing_hides_no_other(two: World, resilience: Call) -> None:
    for command in ("status", "explain"):
        run = resilience(command, "one", "nobody", "two", "-o", "json")
        assert [one["name"].rpartition("/")[2] for one in json.loads(run.stdout)] == ["one", "two"]
        assert run.stderr == f"kubectl resilience: policy nobody not found in namespace {two.namespace}\n"
        assert run.returncode == 1


def test_decisions_of_several_policies_name_theirs(two: World, operator: Operator, resilience: Call) -> None:
    for name in ("one", "two"):
        two.load.workload(two.namespace, name, cpu_total_cores=0.255)
        two.until(lambda name=name: bool(two.actions(name)), "it acted", name)

    entries = answered(resilience("history", "--all", "-o", "json"))
    assert {(entry["namespace"], entry["policy"]) for entry in entries} == {
        (two.namespace, "one"), (two.namespace, "two"),
    }  # fmt: skip
    assert [entry["at"] for entry in entries] == sorted((entry["at"] for entry in entries), reverse=True)
    assert answered(resilience("history", "one", "-o", "json"))[-1]["action"] == "scaleUp"
    table = resilience("history", "deployment/one", "two").stdout.splitlines()
    assert table[0].startswith("POLICY")
    assert {line.split()[0] for line in table[1:]} == {"one", "two"}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_target_of_every_kind_is_explained(kind: str, world: World, operator: Operator, resilience: Call) -> None:
    if kind == "Deployment":
        world.deployment()
    else:
        world.workload(kind)
    world.policy(targetRef={"apiVersion": "apps/v1", "kind": kind, "name": "checkout"}, rules=ALERT)
    world.until(lambda: bool(world.condition("Ready")), "it was evaluated")

    [told] = answered(resilience("explain", f"{kind.lower()}/checkout", "-o", "json"))
    assert told["target"][0].startswith(f"{kind} checkout has ")
    assert not any("could not be read" in sentence for sentence in told["blockers"])
    assert answered(resilience("status", f"{kind.lower()}s.apps/checkout", "-o", "json"))[0]["name"] == "checkout"


def test_a_workload_without_a_policy_is_told(two: World, resilience: Call) -> None:
    two.deployment("alone", replicas=1)
    for command in ("status", "explain", "history"):
        run = resilience(command, "deployment/alone")
        assert (run.returncode, run.stdout) == (1, "")
        assert f"no policy targets Deployment alone in namespace {two.namespace}" in run.stderr
        assert f"`kubectl resilience init deployment/alone -n {two.namespace}` proposes one" in run.stderr
    none = resilience("explain", "sts/nobody")
    assert "and there is no such StatefulSet" in none.stderr
    other = resilience("explain", "sts/one")
    assert "policy one targets Deployment one" in other.stderr


def test_the_policies_of_a_target_are_paused(two: World, resilience: Call) -> None:
    run = resilience("pause", "deployment/one", "deployment/nobody", "--reason", "incident", "-o", "json")
    assert json.loads(run.stdout) == [
        {"namespace": two.namespace, "name": "Deployment nobody", "result": "no policy targets it"},
        {"namespace": two.namespace, "name": "one", "result": "paused"},
    ]
    assert run.returncode == 1


def test_kubectl_completes_the_plugin(two: World, tmp_path: Path) -> None:
    """`kubectl completion bash`, zsh and fish all ask `kubectl __complete`, which calls the plugin's program."""
    folder = links(tmp_path / "bin")
    for name, module in (("kubectl-resilience", "kubectl"), ("kubectl_complete-resilience", "completion")):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m resilience_operator.cli.{module} "$@"\n')
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "operator")}
    access = ("--kubeconfig", str(two.cluster.kubeconfig), "-n", two.namespace)

    def suggested(*words: str) -> list[str]:
        command = ["kubectl", "__complete", "resilience", *words]
        run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE, check=True)
        return [line.partition("\t")[0] for line in run.stdout.splitlines() if not line.startswith(":")]

    assert suggested("sta") == ["status"]
    assert "jsonpath=" in suggested("status", "-o", "")
    assert suggested("explain", *access, "t") == ["two"]
