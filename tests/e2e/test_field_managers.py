"""Other writers of the target on a real API server: manifests, people and what they undo."""

from __future__ import annotations

from tests.support.operator import Operator
from tests.support.world import World

BUSY = {
    "name": "busy",
    "when": {"signal": "cpu", "above": "70%"},
    "then": [{"scaleUp": {"pods": 2, "cooldown": "1s"}}],
}


def scale(world: World, replicas: int, manager: str) -> None:
    """Set the replicas as a patch of the Deployment."""
    body = {"spec": {"replicas": replicas}}
    world.apps.patch_namespaced_deployment("checkout", world.namespace, body, field_manager=manager)


def test_an_apply_below_the_minimum_is_restored(world: World, operator: Operator) -> None:
    world.deployment()
    world.policy(rules=[BUSY], replicas={"min": 3, "max": 9})
    world.until_phase("Stable")
    scale(world, 1, "kubectl-client-side-apply")
    world.until(lambda: world.replicas() == 3, "the minimum is restored")
    (entry,) = world.until(lambda: world.status()["history"], "it is in the history")
    assert (entry["action"], entry["reason"]) == ("scaleUp", "BelowMinimum")
    assert "kubectl apply (kubectl-client-side-apply)" in entry["message"]


def test_replicas_that_argo_cd_heals_twice_are_not_fought(world: World, operator: Operator) -> None:
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.9)
    world.policy(rules=[BUSY], replicas={"min": 3, "max": 9})
    for _ in range(2):
        world.until(lambda: world.replicas() > 3, "it is scaled up")
        scale(world, 3, "argocd-controller")
    (event,) = world.until(lambda: world.told("ChangeReverted"), "the fight is told")
    assert "Argo CD (argocd-controller)" in event["note"]
    assert not world.told("ManualScale")
    world.until(lambda: world.condition("Scaling")["reason"] == "ChangeReverted", "the condition says so")
    assert world.replicas() == 3


def test_a_scale_by_kubectl_is_a_persons(world: World, operator: Operator) -> None:
    world.deployment()
    world.policy(rules=[BUSY], replicas={"min": 3, "max": 9})
    world.until_phase("Stable")
    body = {"spec": {"replicas": 5}}
    world.apps.patch_namespaced_deployment_scale("checkout", world.namespace, body, field_manager="kubectl")
    (event,) = world.until(lambda: world.told("ManualScale"), "it is told")
    assert "kubectl (kubectl-scale)" in event["note"]
