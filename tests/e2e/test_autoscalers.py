"""Beside a HorizontalPodAutoscaler, with its real controller running: its lower bound is moved, never the replicas."""

from __future__ import annotations

from typing import Any

from tests.support.operator import Operator
from tests.support.world import World

ORIGINAL = "resilience-operator.io/original-min-replicas"
RULE = {
    "name": "busy",
    "when": {"signal": "cpu", "above": "70%"},
    "then": [{"scaleUp": {"pods": 2, "cooldown": "10m"}}],
}


def autoscaler(world: World, *, most: int = 10) -> None:
    """An HPA that, without a metrics API, only keeps its bounds."""
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
    world.autoscaling.create_namespaced_horizontal_pod_autoscaler(
        world.namespace,
        {
            "metadata": {"name": "checkout"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
                "minReplicas": 3,
                "maxReplicas": most,
                "metrics": [cpu],
            },
        },
    )


def read(world: World) -> Any:
    return world.autoscaling.read_namespaced_horizontal_pod_autoscaler("checkout", world.namespace)


def minimum(world: World) -> int:
    return int(read(world).spec.min_replicas)


def wrote_replicas(world: World) -> set[str]:
    """The field managers that own spec.replicas."""
    fields = world.get()["metadata"]["managedFields"]
    return {f["manager"] for f in fields if "f:replicas" in (f.get("fieldsV1", {}).get("f:spec") or {})}


def test_the_minimum_is_raised_and_given_back(world: World, operator: Operator) -> None:
    world.deployment()
    autoscaler(world)
    world.load.workload(world.namespace, "checkout", cpu_total_cores=0.27)
    world.policy(rules=[RULE])
    world.until(lambda: minimum(world) == 5, "the minimum is raised")
    assert read(world).metadata.annotations[ORIGINAL] == "3"
    world.until(lambda: world.replicas() == 5, "the HPA follows")
    assert "resilience-operator" not in wrote_replicas(world)
    world.load.workload(world.namespace, "checkout", cpu_total_cores=0.06)
    world.until(lambda: minimum(world) == 3, "the minimum is given back")
    assert ORIGINAL not in (read(world).metadata.annotations or {})
    world.until(lambda: world.actions() == ["scaleUp", "scaleDown"], "both are in the history")


def test_never_above_the_maximum_of_the_autoscaler(world: World, operator: Operator) -> None:
    world.deployment()
    autoscaler(world, most=4)
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.9)
    world.policy(rules=[RULE])
    world.until(lambda: minimum(world) == 4, "as high as it goes")


def test_the_original_survives_a_restart_and_the_end_of_the_policy(world: World, operator: Operator) -> None:
    world.deployment()
    autoscaler(world)
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.9)
    world.policy(rules=[RULE])
    world.until(lambda: minimum(world) == 5, "the minimum is raised")
    operator.kill()
    operator.start()
    world.delete_policy()
    world.until(lambda: minimum(world) == 3, "the minimum is given back")
    assert ORIGINAL not in (read(world).metadata.annotations or {})
    world.until(lambda: world.told("MinimumRestored", "Deployment"), "it is told")


def set_minimum(world: World, value: int, manager: str) -> None:
    body = {"spec": {"minReplicas": value}}
    world.autoscaling.patch_namespaced_horizontal_pod_autoscaler(
        "checkout", world.namespace, body, field_manager=manager
    )


def test_a_persons_minimum_is_the_floor(world: World, operator: Operator) -> None:
    world.deployment()
    autoscaler(world)
    world.load.workload(world.namespace, "checkout", cpu_total_cores=0.27)
    world.policy(rules=[RULE], replicas={"min": 3, "max": 12}, scaleDown={"after": "1s"})
    world.until(lambda: minimum(world) == 5, "the minimum is raised")
    set_minimum(world, 8, "kubectl-edit")
    world.until(lambda: ORIGINAL not in (read(world).metadata.annotations or {}), "the original is forgotten")
    world.until(lambda: world.told("MinimumChanged"), "it is told")
    world.until(lambda: world.replicas() == 8, "the HPA follows")
    world.load.workload(world.namespace, "checkout", cpu_total_cores=0.06)
    world.until_verdict("cpu", "Ok")
    world.until(lambda: world.condition("Scaling")["reason"] == "WithinBounds", "eight is the lower bound")
    assert minimum(world) == 8
    assert world.actions() == ["scaleUp", "adoptMinimum"]


def test_a_manifest_that_resets_the_minimum_twice_is_not_fought(world: World, operator: Operator) -> None:
    world.deployment()
    autoscaler(world)
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.9)
    rule = {**RULE, "then": [{"scaleUp": {"pods": 2, "cooldown": "1s"}}]}
    world.policy(rules=[rule])
    for _ in range(2):
        world.until(lambda: minimum(world) > 3, "the minimum is raised")
        set_minimum(world, 3, "argocd-controller")
    (event,) = world.until(lambda: world.told("ChangeReverted"), "the fight is told")
    assert "Argo CD (argocd-controller)" in event["note"]
    assert "ignoreDifferences" in event["note"]
    world.until(lambda: world.condition("Scaling")["reason"] == "ChangeReverted", "the condition says so")
    assert minimum(world) == 3


def test_a_scaled_object_keeps_its_autoscaler(world: World, operator: Operator) -> None:
    world.deployment()
    autoscaler(world)
    body = {"metadata": {"labels": {"scaledobject.keda.sh/name": "checkout-queue"}}}
    world.autoscaling.patch_namespaced_horizontal_pod_autoscaler("checkout", world.namespace, body)
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.9)
    world.policy(rules=[RULE])
    (event,) = world.until(lambda: world.told("ManagedByKEDA"), "it says what to do")
    assert "minReplicaCount of ScaledObject checkout-queue" in event["note"]
    assert minimum(world) == 3
    assert ORIGINAL not in (read(world).metadata.annotations or {})
