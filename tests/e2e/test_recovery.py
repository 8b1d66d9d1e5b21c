"""What a policy may ask for beyond pausing and rolling back: resuming, the progress deadline, a fallback."""

from __future__ import annotations

from tests.e2e.test_release import SIDE_BY_SIDE, bad, guard, settle
from tests.support.operator import Operator
from tests.support.world import World

PAUSE_ONLY = guard({"pauseRollout": {}})


def test_a_paused_release_that_recovers_goes_on_when_the_policy_allows(world: World, operator: Operator) -> None:
    settle(world, SIDE_BY_SIDE, rules=PAUSE_ONLY, release={"resume": True})
    bad(world)
    world.release("2.0")
    world.until_phase("Paused")
    world.load.image(world.image("2.0"), error_ratio=0.0)
    world.until(lambda: not world.paused(), "it goes on")
    world.until(lambda: world.actions() == ["pauseRollout", "resumeRollout"], "and says so")
    assert world.told("RolloutResumed")
    assert world.running() == "2.0"


def test_a_release_without_progress_is_rolled_back_when_the_policy_says_so(world: World, operator: Operator) -> None:
    settle(
        world,
        {"progressDeadlineSeconds": 5},
        release={"failOnProgressDeadline": True},
        rules=guard({"pauseRollout": {}}, {"rollback": {"after": "5s"}}),
    )
    world.apps.patch_namespaced_deployment(
        "checkout",
        world.namespace,
        {"spec": {"template": {"metadata": {"labels": {"resilience-test/never-ready": "true"}}}}},
        field_manager="kubectl-client-side-apply",
    )
    world.until(lambda: "rollback" in world.actions(), "it is rolled back")
    world.until_phase("RolledBack")
    assert "never was ready" in world.status()["lastDecision"]["message"]


def test_a_fallback_holds_more_pods_while_the_metrics_are_gone(world: World, operator: Operator) -> None:
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.3)
    world.policy(fallback={"after": "10s", "replicas": 6})
    world.until_verdict("cpu", "Ok")
    world.load.workload(world.namespace, "checkout", metrics="absent")
    world.until(lambda: world.replicas() == 6, "the fallback holds")
    world.until(lambda: world.status().get("lastDecision", {}).get("reason") == "Fallback", "and says why")


def test_a_new_template_under_the_operators_pause_goes_on(world: World, operator: Operator) -> None:
    settle(world, rules=PAUSE_ONLY)
    bad(world)
    world.release("2.0")
    world.until_phase("Paused")
    world.release("2.1")
    world.until(lambda: not world.paused(), "the pause was for another release")
    world.rolled_out()
    world.until_phase("Stable")
    assert world.running() == "2.1"
