"""Pods that cannot come: the condition Scaling says why, in the words of the controller or the scheduler."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.operator import Operator
from tests.support.world import World

Obj = dict[str, Any]

SCALE_ONLY = [{"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": [{"scaleUp": {"pods": 2}}]}]


def quota(world: World, pods: int) -> None:
    world.core.create_namespaced_resource_quota(
        world.namespace, {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": str(pods)}}}
    )


def scale(world: World, kind: str, replicas: int) -> None:
    patch = {"spec": {"replicas": replicas}}
    if kind == "Deployment":
        world.apps.patch_namespaced_deployment_scale("checkout", world.namespace, patch)
    else:
        world.apps.patch_namespaced_stateful_set_scale("checkout", world.namespace, patch)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_quota_is_shown_in_the_controllers_words(world: World, operator: Operator, kind: str) -> None:
    if kind == "Deployment":
        world.deployment(replicas=3)
    else:
        world.workload(kind)
    world.policy(targetRef={"kind": kind}, rules=SCALE_ONLY, replicas={"min": 3, "max": 20})
    world.until(lambda: world.condition("Scaling").get("status") == "True", "all pods are there")
    quota(world, 3)
    scale(world, kind, 5)
    found = world.until(lambda: reason(world, "PodsNotCreated"), "the quota is shown")
    assert found["status"] == "False"
    assert "exceeded quota: pods" in found["message"]
    scale(world, kind, 3)
    world.until(lambda: world.condition("Scaling").get("status") == "True", "it is gone with its cause")


def test_unschedulable_pods_are_shown_in_the_schedulers_words(world: World, operator: Operator) -> None:
    template = world.template("checkout", "1.0")
    # As if the cluster was full. A pod that fits nowhere takes nothing away from other tests.
    template["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "5000"
    body = {
        "metadata": {"name": "checkout"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "checkout"}}, "template": template},
    }
    world.apps.create_namespaced_deployment(world.namespace, body, field_manager="test")
    world.policy(rules=SCALE_ONLY, replicas={"min": 1, "max": 5})
    found = world.until(lambda: reason(world, "PodsUnschedulable"), "the scheduler's words are shown")
    assert found["status"] == "False"
    assert "Insufficient cpu" in found["message"]


def reason(world: World, wanted: str) -> Obj:
    found = world.condition("Scaling")
    return found if found.get("reason") == wanted else {}
