"""What only the cluster can tell: a policy that cannot act says why, and what to change."""

from __future__ import annotations

from tests.support.operator import Operator
from tests.support.world import World


def ready(world: World, name: str = "checkout") -> tuple[str, str]:
    found = world.condition("Ready", name)
    return found.get("status", ""), found.get("reason", "")


def test_a_missing_target_is_told_and_found_when_it_comes(world: World, operator: Operator) -> None:
    world.policy()
    world.until(lambda: ready(world) == ("False", "TargetNotFound"), "it says that the target is missing")
    assert "no Deployment checkout in namespace" in world.condition("Ready")["message"]
    world.deployment()
    world.until(lambda: ready(world) == ("True", "Accepted"), "it is found")


def test_the_older_of_two_policies_on_a_target_acts(world: World, operator: Operator) -> None:
    world.deployment()
    metas = [world.policy(name)["metadata"] for name in ("first", "second")]
    # Within one second the API server tells no order; the uid does then.
    older, younger = (m["name"] for m in sorted(metas, key=lambda m: (m["creationTimestamp"], m["uid"])))
    world.until(lambda: ready(world, older) == ("True", "Accepted"), "the older is accepted", older)
    world.until(lambda: ready(world, younger) == ("False", "TargetConflict"), "the younger is not", younger)
    assert older in world.condition("Ready", younger)["message"]
    world.delete_policy(older)
    world.until(lambda: ready(world, younger) == ("True", "Accepted"), "the younger takes over", younger)


def test_a_threshold_in_another_unit_is_told(world: World, operator: Operator) -> None:
    world.deployment()
    world.policy(rules=[{"name": "odd", "when": {"signal": "cpu", "above": "1s"}, "then": [{"alert": {}}]}])
    world.until(lambda: ready(world) == ("False", "InvalidSpec"), "it is refused")
    assert "write a ratio like 70%" in world.condition("Ready")["message"]
    world.change_policy(rules=[{"name": "odd", "when": {"signal": "cpu", "above": "70%"}, "then": [{"alert": {}}]}])
    world.until(lambda: ready(world) == ("True", "Accepted"), "and accepted once it is mended")


def test_a_source_that_is_not_configured_is_told(world: World, operator: Operator) -> None:
    world.deployment()
    world.policy(metricSource={"name": "elsewhere"})
    world.until(lambda: world.condition("MetricsAvailable").get("reason") == "SourceNotFound", "it is told")


def test_a_suspended_policy_does_nothing(world: World, operator: Operator) -> None:
    world.deployment()
    world.load.workload(world.namespace, "checkout", latency_p99_seconds=3)
    world.policy(mode="Suspended")
    world.until(lambda: ready(world) == ("True", "Suspended"), "it says so")
    assert world.replicas() == 3
    assert world.actions() == []
