"""Scaling, end to end: real counters, real Prometheus, real Deployments."""

from __future__ import annotations

from tests.support.operator import Operator
from tests.support.waiting import throughout
from tests.support.world import World


def test_cpu_over_its_threshold_for_long_enough_adds_two_pods_once(world: World, operator: Operator) -> None:
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
    world.policy(rules=[
        {
            "name": "cpu-saturation",
            "when": {"signal": "cpu", "above": "70%", "for": "10s"},
            "then": [{"scaleUp": {"pods": 2, "cooldown": "10m"}}],
        }
    ])  # fmt: skip
    world.until_verdict("cpu", "Pending")
    assert world.replicas() == 3
    world.until(lambda: world.replicas() == 5, "two pods more")
    world.until(lambda: world.actions() == ["scaleUp"], "it is in the history")
    decision = world.status()["lastDecision"]
    assert (decision["from"], decision["to"], decision["rule"]) == ("3", "5", "cpu-saturation")
    assert "85" in decision["message"]
    assert not decision["dryRun"]
    evaluated = operator.metric("resilience_evaluations_total")
    throughout(
        lambda: world.replicas() == 5,
        "the cooldown holds",
        until=lambda: operator.metric("resilience_evaluations_total") >= evaluated + 3,
    )
    assert world.told("ScaledUp")
    assert world.told("ScaledUp", "Deployment")
