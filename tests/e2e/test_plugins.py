"""Plugins, installed beside the operator and used by it: what they are given, and whom a bad one harms."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.install import ROOT
from tests.support.operator import Operator
from tests.support.plugins import install_plugins
from tests.support.waiting import throughout
from tests.support.world import World

RULE = {"name": "busy", "when": {"signal": "load", "above": 10}}
LOAD = [{"name": "load", "query": "load", "window": "10s"}]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example and the rogue plugins installed in it."""
    folder = tmp_path_factory.mktemp("site")
    install_plugins(folder)
    return folder


class Plugged:
    """An operator with plugins, and the files through which they are seen."""

    def __init__(self, folder: Path, site: Path, new_operator: Callable[..., Operator]) -> None:
        self.calls, self.told, self._numbers = (folder / name for name in ("calls.jsonl", "told.jsonl", "numbers.json"))
        self._config = folder / "config.yaml"
        self._site, self._new_operator = site, new_operator
        self.load(0)

    def load(self, value: float) -> None:
        """Set what the numbers source answers. Replaced as a whole, so that nobody reads the half of it."""
        new = self._numbers.with_suffix(".new")
        new.write_text(json.dumps({"load": value}))
        new.replace(self._numbers)

    def operator(self, **config: Any) -> Operator:
        """A running operator; `config` is added to its configuration."""
        document = {
            "sources": [{"name": "numbers", "type": "numbers", "options": {"file": str(self._numbers)}}],
            "actions": [{"name": "note", "type": "append", "options": {"file": str(self.calls)}}],
            "notifiers": [{"name": "log", "type": "append", "options": {"file": str(self.told)}}],
        }
        for key, value in config.items():
            document[key] = [*document.get(key, []), *value]
        self._config.write_text(yaml.safe_dump(document))
        path = f"{ROOT / 'operator'}:{self._site}"
        operator = self._new_operator("--config", str(self._config), environment={"PYTHONPATH": path})
        return operator.start()


@pytest.fixture
def plugged(tmp_path: Path, site: Path, new_operator: Callable[..., Operator]) -> Plugged:
    """An operator with plugins, not started yet."""
    return Plugged(tmp_path, site, new_operator)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def policy(world: World, name: str = "checkout", **spec: Any) -> dict[str, Any]:
    """A policy on the numbers source."""
    changes = {"signals": LOAD, "metricSource": {"type": "numbers"}, "replicas": {"min": 2, "max": 20}, **spec}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return world.policy(name, targetRef=target, **changes)


def calls(name: str = "note", **arguments: Any) -> list[dict[str, Any]]:
    return [{"plugin": {"name": name, "with": arguments}}]


def evaluations(operator: Operator) -> float:
    return operator.metric("resilience_evaluations_total", result="evaluated")


def test_an_action_is_called_once_for_each_breach_with_what_the_rule_gives_it(world: World, plugged: Plugged) -> None:
    operator = plugged.operator()
    world.deployment(replicas=2)
    began = time.time()
    made = policy(
        world, rules=[{**RULE, "then": [*calls(note="hello", deep={"n": 1, "on": True}), *calls(note="again")]}]
    )
    world.until_verdict("load", "Ok")
    assert lines(plugged.calls) == []

    plugged.load(25)
    world.until(lambda: len(world.actions()) == 2, "both calls are in the history")
    first, second = sorted(lines(plugged.calls), key=lambda line: str(line["key"]))
    assert first["arguments"] == {"note": "hello", "deep": {"n": 1, "on": True}}
    assert second["arguments"] == {"note": "again"}
    assert first["key"].startswith(f"{made['metadata']['uid']}/busy/")
    assert first["key"] != second["key"]
    expected = {"namespace": world.namespace, "policy": "checkout", "rule": "busy", "kind": "Deployment"}
    assert expected.items() <= first.items()
    assert began <= first["since"] <= time.time()
    assert "load is 25 (above 10)" in first["message"]
    decision = world.status()["history"][-1]
    assert (decision["action"], decision["rule"], decision["reason"]) == ("plugin", "busy", "RuleBreached")
    assert any("taken down: hello" in d["message"] for d in world.status()["history"])
    assert len(world.told("PluginRun")) == 2
    assert len(world.told("PluginRun", "Deployment")) == 2

    after = evaluations(operator) + 3
    throughout(lambda: len(lines(plugged.calls)) == 2, "once a breach", until=lambda: evaluations(operator) >= after)
    plugged.load(1)
    world.until_verdict("load", "Ok")
    plugged.load(30)
    world.until(lambda: len(lines(plugged.calls)) == 4, "another breach, other calls")


def test_a_breach_that_was_acted_on_is_not_acted_on_again_after_a_crash(world: World, plugged: Plugged) -> None:
    operator = plugged.operator()
    world.deployment(replicas=2)
    plugged.load(25)
    policy(world, rules=[{**RULE, "then": calls(note="once")}])
    world.until(lambda: world.actions() == ["plugin"], "it is called")
    operator.kill()
    operator.start()
    world.until(lambda: evaluations(operator) >= 3, "it was looked at again")
    assert world.actions() == ["plugin"]
    assert len(lines(plugged.calls)) == 1


def test_a_call_that_a_crash_cuts_off_is_made_again_under_its_key(
    world: World, plugged: Plugged, tmp_path: Path
) -> None:
    operator = plugged.operator()
    world.deployment(replicas=2)
    plugged.load(25)
    noted = tmp_path / "keys"
    policy(world, rules=[{**RULE, "then": calls("rogue", how="hang", file=str(noted))}])
    world.until(lambda: noted.exists() and noted.read_text().count("\n") == 1, "the call is under way")
    operator.kill()
    operator.start()
    world.until(lambda: noted.read_text().count("\n") == 2, "it is made again")
    first, second = noted.read_text().splitlines()
    assert first == second
    world.until(lambda: world.actions() == ["plugin"], "it hangs, and is recorded as failed")
    assert world.status()["lastDecision"]["reason"] == "ActionFailed"
    after = evaluations(operator) + 2
    throughout(lambda: noted.read_text().count("\n") == 2, "and is over", until=lambda: evaluations(operator) >= after)


def test_a_dry_run_rehearses_the_call_and_the_real_one_follows(world: World, plugged: Plugged) -> None:
    plugged.operator()
    world.deployment(replicas=2)
    plugged.load(25)
    policy(world, mode="DryRun", rules=[{**RULE, "then": calls(note="x")}])
    world.until(lambda: world.actions() == ["plugin"], "it is recorded")
    assert world.status()["lastDecision"]["dryRun"] is True
    assert lines(plugged.calls) == []
    world.change_policy(mode="Enforce")
    world.until(lambda: len(lines(plugged.calls)) == 1, "in earnest it is called")


def test_a_plugin_that_is_not_installed_is_told_and_the_rest_goes_on(world: World, plugged: Plugged) -> None:
    plugged.operator()
    world.deployment(replicas=2)
    plugged.load(25)
    policy(world, rules=[{**RULE, "then": [*calls("nowhere"), {"scaleUp": {"pods": 1, "cooldown": "10m"}}]}])
    world.until(lambda: world.condition("Ready").get("reason") == "PluginNotFound", "it is told")
    ready = world.condition("Ready")
    assert ready["status"] == "False"
    told = f"no action plugin named nowhere is installed for namespace {world.namespace}; available: note, rogue"
    assert told in ready["message"]
    world.until(lambda: world.replicas() == 3, "it scales all the same")
    world.change_policy(rules=[{**RULE, "then": calls("unloadable")}])
    world.until(lambda: "cannot be loaded" in world.condition("Ready")["message"], "this one cannot be loaded")
    world.change_policy(rules=[{**RULE, "then": calls("note")}])
    world.until(lambda: world.condition("Ready").get("reason") == "Accepted", "this one is there")


def test_a_source_that_is_not_there_is_told(world: World, plugged: Plugged) -> None:
    plugged.operator(sources=[{"name": "gone", "type": "nothing"}])
    world.deployment(replicas=2)
    policy(world, metricSource={"type": "nothing"}, rules=[{**RULE, "then": [{"alert": {}}]}])
    world.until(lambda: world.condition("Ready").get("reason") == "PluginNotFound", "there is no such plugin")
    world.change_policy(metricSource={"type": "numbers", "name": "default"})
    world.until(lambda: world.condition("Ready").get("reason") == "MetricSourceNotFound", "that one is a Prometheus")
    assert "metric source default is of type prometheus" in world.condition("Ready")["message"]
    world.change_policy(metricSource={"type": "numbers", "name": "numbers"})
    world.until(lambda: world.condition("Ready").get("reason") == "Accepted", "and this is right")
    world.until_verdict("load", "Ok")


@pytest.mark.parametrize("how", ["raise", "exit", "hang", "nonsense"])
def test_a_bad_action_harms_only_the_policies_that_use_it(world: World, plugged: Plugged, how: str) -> None:
    operator = plugged.operator()
    for name in ("checkout", "other"):
        world.deployment(name, replicas=2)
    plugged.load(25)
    scale = {"scaleUp": {"pods": 1, "cooldown": "10m"}}
    policy(world, rules=[{**RULE, "then": [*calls("rogue", how=how), scale]}])
    policy(world, "other", rules=[{**RULE, "then": [*calls(note="fine"), scale]}])
    world.until(lambda: world.replicas("other") == 3, "the other scales", "other")
    world.until(lambda: world.actions("other") == ["scaleUp", "plugin"], "the other calls its own", "other")
    world.until(lambda: world.replicas() == 3, "it scales itself, too")
    world.until(lambda: world.told("ActionFailed"), "the failure is told")
    world.until(lambda: "plugin" in world.actions(), "and recorded, which is last")
    failed = next(d for d in world.status()["history"] if d["action"] == "plugin")
    assert failed["reason"] == "ActionFailed"
    assert "secret" not in failed["message"]
    assert world.condition("Ready")["reason"] == "Accepted"
    assert operator.metric("resilience_plugin_failures_total", kind="action", plugin="rogue") == 1
    assert operator.metric("resilience_plugin_failures_total", plugin="note") == 0


@pytest.mark.parametrize("how", ["raise", "hang", "nonsense"])
def test_a_bad_source_harms_only_the_policies_that_use_it(world: World, plugged: Plugged, how: str) -> None:
    operator = plugged.operator(sources=[{"name": "rogue", "type": "rogue", "options": {"how": how}}])
    for name in ("checkout", "other"):
        world.deployment(name, replicas=2)
    then = [{"scaleUp": {"pods": 1, "cooldown": "10m"}}]
    policy(world, metricSource={"type": "rogue"}, rules=[{**RULE, "then": then}])
    policy(world, "other", rules=[{**RULE, "then": then}])
    world.until(lambda: world.condition("MetricsAvailable").get("status") == "False", "its signal is unknown")
    plugged.load(25)
    world.until(lambda: world.replicas("other") == 3, "the other goes on", "other")
    assert world.replicas() == 2
    assert world.verdict("load") == "Unknown"
    assert operator.metric("resilience_plugin_failures_total", kind="metric_source", plugin="rogue") >= 1


def test_notifiers_are_told_and_bad_ones_hold_nothing_up(world: World, plugged: Plugged) -> None:
    bad = [{"name": how, "type": "rogue", "options": {"how": how}} for how in ("raise", "hang", "exit")]
    operator = plugged.operator(notifiers=[*bad, {"name": "missing", "type": "missing"}])
    world.deployment(replicas=2)
    plugged.load(25)
    policy(world, rules=[{**RULE, "then": [{"alert": {}}, {"scaleUp": {"pods": 1, "cooldown": "10m"}}]}])
    world.until(lambda: world.replicas() == 3, "it scales")
    world.until(lambda: len(lines(plugged.told)) >= 2, "both are told")
    by_kind = {line["kind"]: line for line in lines(plugged.told)}
    decision, notice = by_kind["decision"], by_kind["notice"]
    assert (decision["action"], decision["before"], decision["after"]) == ("scaleUp", "2", "3")
    assert (decision["result"], decision["policy"], decision["rule"]) == ("Done", "checkout", "busy")
    assert (notice["reason"], notice["warning"]) == ("Alert", True)
    world.until(
        lambda: all(
            operator.metric("resilience_plugin_failures_total", kind="notifier", plugin=name)
            for name in ("raise", "hang", "exit", "missing")
        ),
        "the failures are counted",
    )


def test_the_contract_tests_pass_for_the_example(site: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "resilience_operator.contract", "-q", "--plugin", "append", "--options"]
    found = subprocess.run(
        [*command, json.dumps({"file": str(tmp_path / "calls")}), "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": f"{ROOT / 'operator'}:{site}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "passed" in found.stdout
