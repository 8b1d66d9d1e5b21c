"""Releases, end to end: watched, paused, rolled back, and left alone where nothing is known."""

from __future__ import annotations

import pytest

from resilience_operator.kube.writes.field_ownership import hand_back
from tests.e2e.test_scaling import after_evaluations
from tests.support.operator import Operator
from tests.support.waiting import throughout
from tests.support.world import World

pytestmark = pytest.mark.long

SIDE_BY_SIDE = {
    "minReadySeconds": 20,
    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
}
"""A rollout in which old and new pods serve together for a while: one pod at a time, each held for 20 s."""


def settle(world: World, deployment: dict[str, object] | None = None, **policy: object) -> None:
    """A Deployment with a policy, whose revision was watched and found good."""
    world.deployment(replicas=4, **(deployment or {}))
    world.load.workload(world.namespace, "checkout", rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    world.policy(replicas={"min": 4}, **policy)
    world.until_phase("Stable")
    world.until_verdict("error-rate", "Ok")


def guard(*then: dict[str, object]) -> list[dict[str, object]]:
    """The rule against a failing release, with what is to be done."""
    return [{"name": "failing-release", "when": {"signal": "error-rate", "above": "1%"}, "then": list(then)}]


def bad(world: World, tag: str = "2.0", ratio: float = 0.2) -> None:
    """Declare an image to answer with errors."""
    world.load.image(world.image(tag), error_ratio=ratio)


def test_a_failing_release_is_paused_and_rolled_back_in_one_patch(world: World, operator: Operator) -> None:
    settle(world)
    good = world.status()["target"]["lastGoodRevision"]
    bad(world)
    world.release("2.0")
    world.until(world.paused, "the rollout is paused")
    world.until(lambda: world.phase() == "Paused", "the status says so")
    world.until(lambda: world.running() == "1.0", "the good template is back")
    assert not world.paused()
    world.until_phase("RolledBack")
    status = world.status()
    assert world.actions() == ["pauseRollout", "rollback"]
    decision = status["lastDecision"]
    assert decision["to"] == good == status["target"]["revision"]
    assert decision["rule"] == "failing-release"
    assert "error-rate is" in decision["message"]
    assert [q["revision"] for q in status["quarantined"]] == [decision["from"]]
    world.until(lambda: set(world.tags()) == {"1.0"}, "the bad pods are gone")
    for reason in ("RolloutPaused", "RolledBack"):
        assert [e["type"] for e in world.told(reason)] == ["Warning"]
        assert [e["type"] for e in world.told(reason, "Deployment")] == ["Warning"]
    # The fields of the template were returned to their manager.
    assert hand_back(world.get()["metadata"]["managedFields"]) is None
    world.until_phase("Stable")


def test_a_good_release_becomes_the_last_good_one(world: World, operator: Operator) -> None:
    settle(world)
    first = world.status()["target"]["lastGoodRevision"]
    world.release("1.1")
    world.until(lambda: world.status()["target"].get("lastGoodRevision") != first, "the new revision is the good one")
    world.until_phase("Stable")
    assert world.running() == "1.1"
    assert world.actions() == []
    assert world.told("ReleaseGood")


def test_a_dry_run_of_a_failing_release_changes_nothing(world: World, operator: Operator) -> None:
    settle(world, mode="DryRun")
    bad(world)
    world.release("2.0")
    generation = world.get()["metadata"]["generation"]
    world.until(lambda: world.actions() == ["pauseRollout", "rollback"], "both are rehearsed")
    assert all(d["dryRun"] for d in world.status()["history"])
    world.rolled_out()
    found = world.get()
    assert world.running() == "2.0"
    assert found["metadata"]["generation"] == generation
    assert all(f["manager"] != "resilience-operator" for f in found["metadata"]["managedFields"])
    throughout(
        lambda: world.actions() == ["pauseRollout", "rollback"],
        "nothing is rehearsed twice",
        until=after_evaluations(operator, 4),
    )


def test_a_restart_while_paused_goes_on_to_the_rollback(world: World, operator: Operator) -> None:
    settle(world, rules=guard({"pauseRollout": {}}, {"rollback": {"after": "20s"}}))
    bad(world)
    world.release("2.0")
    world.until_phase("Paused")
    since = world.status()["history"][0]["at"]
    operator.kill()
    operator.start()
    world.until(lambda: world.running() == "1.0", "the good template is back")
    world.until_phase("RolledBack")
    assert world.actions() == ["pauseRollout", "rollback"]
    assert world.status()["history"][1]["at"] == since
    assert world.replicas() == 4
    assert len(world.told("RolloutPaused")) == 1


def test_a_pause_of_the_operators_own_goes_with_the_policy(world: World, operator: Operator) -> None:
    settle(world, rules=guard({"pauseRollout": {}}))
    bad(world)
    world.release("2.0")
    world.until_phase("Paused")
    world.delete_policy()
    world.until(lambda: not world.paused(), "the pause is lifted")
    world.until(lambda: world.told("RolloutResumed", "Deployment"), "it is told")
    annotations = world.get()["metadata"].get("annotations", {})
    assert not [a for a in annotations if "resilience" in a]


def test_a_policy_deleted_while_no_operator_ran_leaves_no_pause(world: World, operator: Operator) -> None:
    settle(world, rules=guard({"pauseRollout": {}}))
    bad(world)
    world.release("2.0")
    world.until_phase("Paused")
    operator.kill()
    world.delete_policy()
    operator.start()
    world.until(lambda: not world.paused(), "the pause is lifted")


def test_a_pause_by_hand_is_never_lifted(world: World, operator: Operator) -> None:
    settle(world)
    bad(world)
    world.apps.patch_namespaced_deployment(
        "checkout", world.namespace, {"spec": {"paused": True}}, field_manager="kubectl-rollout"
    )
    world.until(lambda: world.told("ManualPause"), "it is told")
    world.until(lambda: world.condition("ReleaseHealthy").get("reason") == "ManualPause", "the condition says so")
    throughout(world.paused, "it stays paused", until=after_evaluations(operator, 4))
    assert world.actions() == []


def test_a_resume_by_hand_is_not_fought_over(world: World, operator: Operator) -> None:
    settle(world, rules=guard({"pauseRollout": {}}, {"rollback": {"after": "1m"}}))
    bad(world)
    world.release("2.0")
    world.until_phase("Paused")
    world.apps.patch_namespaced_deployment(
        "checkout", world.namespace, {"spec": {"paused": False}}, field_manager="kubectl-rollout"
    )
    world.until(lambda: world.told("HandsOff"), "it is told")
    world.rolled_out()
    throughout(lambda: not world.paused(), "it is not paused again", until=after_evaluations(operator, 4))
    assert world.actions() == ["pauseRollout"]
    assert world.running() == "2.0"


def test_a_reapplied_bad_release_is_rolled_back_again_then_held(world: World, operator: Operator) -> None:
    settle(world)
    bad(world)
    world.release("2.0", manager="argocd-controller")
    world.until_phase("RolledBack")
    world.release("2.0", manager="argocd-controller")
    world.until(lambda: world.actions().count("rollback") == 2, "rolled back again, at once")
    world.until_phase("RolledBack")
    world.release("2.0", manager="argocd-controller")
    note = world.until(lambda: world.told("HeldPaused"), "held, and told")[-1]["note"]
    assert "Argo CD" in note
    world.until(lambda: world.condition("ReleaseHealthy").get("reason") == "HeldPaused", "the condition says so")
    throughout(world.paused, "it stays paused", until=after_evaluations(operator, 4))
    assert world.actions().count("rollback") == 2


def test_a_quarantine_survives_restarts(world: World, operator: Operator) -> None:
    settle(world)
    bad(world)
    world.release("2.0")
    world.until_phase("RolledBack")
    operator.kill()
    world.release("2.0")
    operator.start()
    world.until(lambda: world.actions().count("rollback") == 2, "rolled back again")
    world.until_phase("RolledBack")
    operator.kill()
    world.release("2.0")
    operator.start()
    # An operator that had forgotten would roll it back for what it takes for the first time.
    world.until(lambda: world.told("HeldPaused"), "held, and told")
    throughout(world.paused, "it stays paused", until=after_evaluations(operator, 4))
    assert world.actions().count("rollback") == 2


def test_a_bad_release_under_a_load_spike_is_rolled_back_not_scaled_through(world: World, operator: Operator) -> None:
    settle(world, SIDE_BY_SIDE, rules=[
        {
            "name": "too-many-errors",
            "when": {"signal": "error-rate", "above": "1%"},
            "then": [{"scaleUp": {"pods": 3}}],
        },
        {
            "name": "failing-release",
            "when": {"signal": "error-rate", "above": "1%"},
            "then": [{"pauseRollout": {}}, {"rollback": {"after": "5s"}}],
        },
    ])  # fmt: skip
    bad(world)
    world.load.workload(world.namespace, "checkout", rps=145)
    world.release("2.0")
    world.until_phase("RolledBack")
    assert world.actions() == ["pauseRollout", "rollback"]
    assert world.replicas() == 4


def test_a_load_spike_during_a_good_release_is_scaled_for_not_rolled_back(world: World, operator: Operator) -> None:
    settle(world, SIDE_BY_SIDE, rules=[
        {
            "name": "too-many-errors",
            "when": {"signal": "error-rate", "above": "1%"},
            "then": [{"scaleUp": {"pods": 2, "cooldown": "10m"}}],
        },
        {
            "name": "failing-release",
            "when": {"signal": "error-rate", "above": "1%"},
            "then": [{"pauseRollout": {}}, {"rollback": {"after": "5s"}}],
        },
    ])  # fmt: skip
    # Both revisions answer with errors alike while they serve side by side.
    world.load.workload(world.namespace, "checkout", error_ratio=0.15)
    world.release("1.1")
    world.until(lambda: world.replicas() == 6, "scaled for")
    throughout(lambda: world.running() == "1.1", "not rolled back", until=after_evaluations(operator, 4))
    # Both revisions fail since the release: it may be paused, but is not rolled back without proof.
    assert "rollback" not in world.actions()


def test_a_bad_release_that_hardly_anybody_asked_is_kept_and_told(world: World, operator: Operator) -> None:
    settle(world)
    bad(world, ratio=1.0)
    world.load.workload(world.namespace, "checkout", rps=0.3)
    world.until_verdict("error-rate", "Unknown")
    world.release("2.0")
    world.until(lambda: world.told("ReleaseNotJudged") or world.told("BakeUnmeasured"), "it is told")
    world.rolled_out()
    throughout(lambda: world.running() == "2.0", "it is kept", until=after_evaluations(operator, 3))
    assert world.actions() == []
    assert world.status()["target"]["phase"] != "Stable"
