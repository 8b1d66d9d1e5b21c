"""Scaling, end to end: real counters, real Prometheus, real Deployments."""

from __future__ import annotations

import re

from tests.support.operator import Operator
from tests.support.waiting import throughout
from tests.support.world import World

CPU_RULE = {
    "name": "cpu-saturation",
    "when": {"signal": "cpu", "above": "70%", "for": "10s"},
    "then": [{"scaleUp": {"pods": 2, "cooldown": "10m"}}],
}


def evaluations(operator: Operator) -> float:
    return operator.metric("resilience_evaluations_total", result="evaluated")


def after_evaluations(operator: Operator, count: int) -> object:
    """A state to wait for: that many evaluations further on."""
    wanted = evaluations(operator) + count
    return lambda: evaluations(operator) >= wanted


def test_cpu_over_its_threshold_for_long_enough_adds_two_pods_once(world: World, operator: Operator) -> None:
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
    world.policy(rules=[CPU_RULE])
    world.until_verdict("cpu", "Pending")
    assert world.replicas() == 3
    world.until(lambda: world.replicas() == 5, "two pods more")
    world.until(lambda: world.actions() == ["scaleUp"], "it is in the history")
    decision = world.status()["lastDecision"]
    assert (decision["from"], decision["to"], decision["rule"]) == ("3", "5", "cpu-saturation")
    # A rate of real scrapes: some per mille off where a scrape came late.
    told = re.search(r"cpu is ([\d.]+)% \(above 70% for 10s\)", decision["message"])
    assert told, decision["message"]
    assert abs(float(told[1]) - 85) < 1, decision["message"]
    assert decision["dryRun"] is False
    throughout(lambda: world.replicas() == 5, "the cooldown holds", until=after_evaluations(operator, 3))
    assert [e["type"] for e in world.told("ScaledUp")] == ["Normal"]
    assert len(world.told("ScaledUp", "Deployment")) == 1
    assert world.condition("Scaling")["reason"] == "ScaledUp"


def test_cpu_that_falls_before_the_time_is_up_scales_nothing(world: World, operator: Operator) -> None:
    world.deployment()
    rule = {**CPU_RULE, "when": {"signal": "cpu", "above": "70%", "for": "25s"}}
    world.policy(rules=[rule])
    for _ in range(2):
        world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
        world.until_verdict("cpu", "Pending")
        world.load.workload(world.namespace, "checkout", cpu_utilisation=0.2)
        world.until_verdict("cpu", "Ok")
    assert world.replicas() == 3
    assert world.actions() == []


def test_never_above_the_maximum_which_is_told_once(world: World, operator: Operator) -> None:
    world.deployment()
    # So far over that it stays over while the new pod, which has used nothing yet, lowers the mean; and steadily so,
    # which the first rule tells, before the second one acts on it.
    world.load.workload(world.namespace, "checkout", cpu_utilisation=1.4)
    steady = {"name": "steady", "when": {"signal": "cpu", "above": "135%"}, "then": [{"alert": {}}]}
    world.policy(replicas={"max": 4}, rules=[steady])
    world.until(lambda: world.told("Alert"), "the load is what it will be")
    then = [{"scaleUp": {"pods": 2, "cooldown": "5s"}}]
    world.change_policy(rules=[{**CPU_RULE, "when": {"signal": "cpu", "above": "70%"}, "then": then}])
    world.until(lambda: world.replicas() == 4, "the maximum")
    world.until(lambda: world.condition("Scaling").get("reason") == "AtMaximum", "it says that it is at its maximum")
    throughout(lambda: world.replicas() == 4, "never above", until=after_evaluations(operator, 3))
    assert len(world.told("AtMaximum")) == 1


def test_slow_requests_are_told_and_scaled_for(world: World, operator: Operator) -> None:
    world.deployment()
    world.load.workload(world.namespace, "checkout", latency_p99_seconds=1.4)
    world.policy()
    world.until(lambda: world.replicas() == 5, "half as many again, rounded up: 3 → 5")
    alert = world.until(lambda: world.told("Alert"), "a warning on the policy")[0]
    assert alert["type"] == "Warning"
    assert re.search(r"latency-p99 is 1\.\d+s \(above 1s\)", alert["note"])
    (on_target,) = world.until(lambda: world.told("Alert", "Deployment"), "and on its target")
    assert on_target["type"] == "Warning"


def test_pods_are_given_back_after_calm(world: World, operator: Operator) -> None:
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_total_cores=0.27)
    world.policy()
    world.until(lambda: world.replicas() == 5, "90% on 3 pods asks for two more")
    world.load.workload(world.namespace, "checkout", cpu_total_cores=0.06)
    world.until(lambda: world.replicas() == 3, "they are given back")
    world.until(lambda: world.actions()[-1:] == ["scaleDown"], "it is in the history")
    throughout(lambda: world.replicas() == 3, "no lower than the minimum", until=after_evaluations(operator, 4))


def test_a_dry_run_changes_nothing_and_records_all(world: World, operator: Operator) -> None:
    before = world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
    world.policy(mode="DryRun")
    world.until(lambda: world.actions() == ["scaleUp"], "the decision is recorded")
    assert world.status()["lastDecision"]["dryRun"] is True
    assert world.condition("Ready")["reason"] == "DryRun"
    assert world.told("ScaledUp")[0]["note"].startswith("[dry run]")
    after = world.get()
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert all(f["manager"] != "resilience-operator" for f in after["metadata"]["managedFields"])


def test_an_operator_in_dry_run_changes_nothing_for_any_policy(world: World, new_operator) -> None:  # type: ignore[no-untyped-def]
    new_operator("--dry-run").start()
    before = world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
    world.policy()
    world.until(lambda: world.actions() == ["scaleUp"], "the decision is recorded")
    assert world.status()["lastDecision"]["dryRun"] is True
    assert world.get()["metadata"]["generation"] == before["metadata"]["generation"]


def test_a_scale_by_hand_is_respected_and_told(world: World, operator: Operator) -> None:
    world.deployment()
    world.policy()
    world.until_verdict("cpu", "Ok")
    world.apps.patch_namespaced_deployment_scale(
        "checkout", world.namespace, {"spec": {"replicas": 6}}, field_manager="kubectl"
    )
    note = world.until(lambda: world.told("ManualScale"), "it is told")[0]["note"]
    assert "kubectl (kubectl-scale) scaled Deployment checkout from 3 to 6" in note
    throughout(lambda: world.replicas() == 6, "it stays", until=after_evaluations(operator, 5))
