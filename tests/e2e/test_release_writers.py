"""Releases that others write too, and rollbacks that change nothing: real clients, on the real control plane."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.test_release import bad, guard, settle
from tests.e2e.test_scaling import after_evaluations
from tests.support.clients import call
from tests.support.operator import Operator
from tests.support.waiting import throughout
from tests.support.world import World

pytestmark = pytest.mark.long


def kubectl(world: World, *arguments: str) -> None:
    call("kubectl", "-n", world.namespace, *arguments, kubeconfig=world.cluster.kubeconfig)


def until_rolled_back(world: World) -> None:
    """Version 1.0 runs everywhere again. The phase RolledBack lasts a bake only, and can be missed."""
    world.until(lambda: world.running() == "1.0" and world.phase() in ("RolledBack", "Stable"), "it is rolled back")
    world.rolled_out()


def manifest(world: World) -> dict[str, Any]:
    """The Deployment as a manifest in git would have it: its template, and nothing that the operator sets."""
    found = world.get()
    spec = {key: value for key, value in found["spec"].items() if key != "paused"}
    metadata = {"name": "checkout", "namespace": world.namespace, "labels": found["metadata"].get("labels")}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def test_a_replace_from_git_that_removes_the_pause_is_no_persons_resume(world: World, operator: Operator) -> None:
    settle(world, rules=guard({"pauseRollout": {}}, {"rollback": {"after": "20s"}}))
    bad(world)
    world.release("2.0", manager="argocd-controller")
    world.until_phase("Paused")
    world.apps.replace_namespaced_deployment(
        "checkout", world.namespace, manifest(world), field_manager="argocd-controller"
    )
    (event,) = world.until(lambda: world.told("PauseLifted"), "it is told")
    assert "Argo CD" in event["note"]
    assert "/spec/paused" in event["note"]
    world.until(lambda: world.running() == "1.0", "the bad release is rolled back all the same")
    assert not world.told("HandsOff")


def test_kubectl_rollout_resume_is_a_persons(world: World, operator: Operator) -> None:
    settle(world, rules=guard({"pauseRollout": {}}, {"rollback": {"after": "1m"}}))
    bad(world)
    world.release("2.0")
    world.until_phase("Paused")
    kubectl(world, "rollout", "resume", "deployment/checkout")
    world.until(lambda: world.told("HandsOff"), "it is told")
    throughout(lambda: not world.paused(), "it is not paused again", until=after_evaluations(operator, 4))
    assert world.actions() == ["pauseRollout"]
    world.until(lambda: world.condition("ReleaseHealthy")["status"] == "False", "and its breach is not silent")


def test_the_commands_of_a_message_restore_the_revision_before(world: World, operator: Operator) -> None:
    settle(world, rules=guard({"pauseRollout": {}}))
    bad(world)
    world.release("2.0")
    world.until_phase("Paused")
    with pytest.raises(AssertionError):
        kubectl(world, "rollout", "undo", "deployment/checkout")
    kubectl(world, "rollout", "resume", "deployment/checkout")
    kubectl(world, "rollout", "undo", "deployment/checkout")
    assert world.running() == "1.0"
    world.until_phase("Stable")
    assert world.actions() == ["pauseRollout"]


def test_a_rollback_that_did_not_help_is_told_and_acquits(world: World, operator: Operator) -> None:
    settle(world)
    bad(world)
    world.release("2.0", manager="argocd-controller")
    world.until(lambda: world.running() == "1.0", "it is rolled back")
    bad(world, "1.0")  # the ConfigMap that both read has changed
    (event,) = world.until(lambda: world.told("RollbackDidNotHelp"), "it is told")
    assert event["type"] == "Warning"
    world.until(lambda: world.condition("ReleaseHealthy")["reason"] == "RollbackDidNotHelp", "the status says so")
    assert world.condition("ReleaseHealthy")["status"] == "False"
    world.until(lambda: not world.status().get("quarantined"), "the revision is not quarantined any more")
    bad(world, "1.0", ratio=0.0)
    bad(world, "2.0", ratio=0.0)
    world.until(lambda: world.condition("ReleaseHealthy")["status"] == "True", "it ends with the breach")
    world.release("2.0", manager="argocd-controller")
    world.until(lambda: world.status()["target"].get("phase") == "Stable" and world.running() == "2.0", "it is let in")
    assert world.actions().count("rollback") == 1


def test_a_hotfix_of_a_bad_release_that_fails_as_well_is_rolled_back(world: World, operator: Operator) -> None:
    settle(world)
    good = world.status()["target"]["lastGoodRevision"]
    bad(world, "2.0")
    bad(world, "2.1")
    world.release("2.0")
    world.until(lambda: world.tags().count("2.0"), "it has pods")
    world.release("2.1")
    world.until(lambda: world.running() == "1.0", "the last good state is back")
    until_rolled_back(world)
    assert world.status()["lastDecision"]["to"] == good


@pytest.mark.parametrize("manager", ["helm", "kustomize-controller", "GitHubActions"])
def test_a_machine_that_applies_a_bad_release_again_is_named(world: World, operator: Operator, manager: str) -> None:
    settle(world)
    bad(world)
    world.release("2.0", manager=manager)
    until_rolled_back(world)
    world.release("2.0", manager=manager)
    world.until(lambda: world.actions().count("rollback") == 2, "rolled back again, at once")
    decision = world.status()["lastDecision"]
    assert decision["reason"] == "QuarantinedReapplied"
    assert manager.lower() in decision["message"].lower()
    assert not world.told("HandsOff")


def test_kubectl_rollout_undo_to_a_bad_release_is_a_persons(world: World, operator: Operator) -> None:
    settle(world)
    bad(world)
    world.release("2.0")
    until_rolled_back(world)
    kubectl(world, "rollout", "undo", "deployment/checkout")
    world.until(lambda: world.told("HandsOff"), "it is told")
    assert world.running() == "2.0"
    throughout(lambda: world.running() == "2.0", "it is not fought", until=after_evaluations(operator, 4))
    assert world.actions().count("rollback") == 1
