"""Pods of a new revision that fail, on the real control plane and without a metric: reported, paused, rolled back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.kubelet import (
    NEVER_READY,
    FailingKubelet,
    Fault,
    crash_loop,
    flapping,
    image_pull_error,
    mark,
    marked,
    never_ready,
    out_of_memory,
)
from tests.support.operator import Operator
from tests.support.world import World

pytestmark = pytest.mark.long

Obj = dict[str, Any]

FAULTS: dict[str, tuple[Fault, str]] = {
    "image": (image_pull_error, "ImagePull"),
    "crash": (crash_loop, "CrashLoopBackOff"),
    "memory": (out_of_memory, "OOMKilled"),
    "ready": (never_ready, "NotReady"),
    "flaps": (flapping, "ReadinessFlapping"),
}


def blind(kind: str = "Deployment") -> Obj:
    """A policy whose only signal is never measured. The rollout of a DaemonSet cannot be paused."""
    pause: list[Obj] = [] if kind == "DaemonSet" else [{"pauseRollout": {}}]
    rule = {
        "name": "failing-release",
        "when": {"signal": "error-rate", "above": "1%"},
        "then": [*pause, {"rollback": {"after": "3s"}}],
    }
    return {"rules": [rule], "release": {"bake": "1s", "progressDeadline": "20s"}, "replicas": None}


def create(world: World, kind: str, name: str, **spec: Any) -> None:
    if kind == "Deployment":
        world.deployment(name, replicas=3, progressDeadlineSeconds=20, **spec)
    else:
        world.workload(kind, name)


def break_release(world: World, kind: str, name: str, tag: str = "2.0") -> None:
    """Apply an image whose pods do not become ready by themselves."""
    container = world.template(name, tag)["spec"]["containers"][0]
    template = {
        "metadata": {"annotations": {NEVER_READY: "true"}},
        "spec": {"containers": [{"name": "app", "image": container["image"]}]},
    }
    plain = {"Deployment": "deployment", "StatefulSet": "stateful_set", "DaemonSet": "daemon_set"}[kind]
    patch = getattr(world.apps, f"patch_namespaced_{plain}")
    patch(name, world.namespace, {"spec": {"template": template}}, field_manager="kubectl-client-side-apply")


def running(world: World, kind: str, name: str) -> str:
    found = world.get(name) if kind == "Deployment" else world.read_workload(kind, name)
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2])


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_each_kind_of_failure_is_reported_and_rolled_back(world: World, operator: Operator, kind: str) -> None:
    with FailingKubelet(world) as kubelet:
        for name in FAULTS:
            create(world, kind, name)
            kubelet.faults[world.image("2.0", name)] = FAULTS[name][0]
        for name in FAULTS:
            world.policy(name, targetRef={"kind": kind, "name": name}, **blind(kind))
        for name in FAULTS:
            world.until_phase("Stable", name)
            break_release(world, kind, name)
        for name, (_, words) in FAULTS.items():
            world.until(lambda name=name: world.told("ReleaseStuck", name=name), f"{name} is reported", name)
            world.until(lambda name=name: "rollback" in world.actions(name), f"{name} is rolled back", name)
            assert running(world, kind, name) == "1.0"
            rollback = next(d for d in world.status(name)["history"] if d["action"] == "rollback")
            assert rollback["rule"] == "pod-health"
            assert words in rollback["message"]
            if kind != "DaemonSet":
                assert world.actions(name)[0] == "pauseRollout"


def test_a_stateful_set_that_waits_for_its_broken_pod_says_which_to_delete(world: World, operator: Operator) -> None:
    with FailingKubelet(world) as kubelet:
        world.workload("StatefulSet")
        kubelet.faults[world.image("2.0")] = crash_loop
        world.policy(targetRef={"kind": "StatefulSet"}, **blind())
        world.until_phase("Stable")
        break_release(world, "StatefulSet", "checkout")
        world.until_phase("RollingBack")
        (event,) = world.until(lambda: world.told("RollbackBlocked"), "the blocking pod is named")
        assert f"kubectl -n {world.namespace} delete pod checkout-2" in event["note"]
        world.core.delete_namespaced_pod("checkout-2", world.namespace)
        world.until_phase("RolledBack")
        world.runs("StatefulSet", "1.0")


def test_what_the_old_pods_suffer_too_is_reported_and_left_alone(world: World, operator: Operator) -> None:
    with FailingKubelet(world) as kubelet:
        world.deployment(replicas=3)
        kubelet.faults[world.image("2.0")] = image_pull_error
        world.policy(**blind())
        world.until_phase("Stable")
        # An old pod was moved to a node that cannot pull the image either.
        old = world.core.list_namespaced_pod(world.namespace).items[0].metadata.name
        world.core.patch_namespaced_pod(old, world.namespace, {"metadata": {"annotations": {NEVER_READY: "true"}}})
        found = world.api.sanitize_for_serialization(world.core.read_namespaced_pod(old, world.namespace))
        world.core.patch_namespaced_pod_status(old, world.namespace, image_pull_error(found, 1))
        break_release(world, "Deployment", "checkout")
        (event,) = world.until(lambda: world.told("ReleaseStuck"), "it is reported")
        assert "old revision fail alike" in event["note"]
        world.until(lambda: world.condition("ReleaseHealthy")["reason"] == "ReleaseStuck", "the status says so")
        assert world.actions() == []


def baking(world: World) -> None:
    """Four pods, one more than needed, in a bake that does not end during the test."""
    world.deployment(replicas=4)
    world.load.workload(world.namespace, "checkout", rps=120, cpu_utilisation=0.1, latency_p99_seconds=0.2)
    world.policy(replicas={"min": 3}, release={"bake": "1s"}, scaleDown={"enabled": False})
    world.until_phase("Stable")
    world.until_verdict("error-rate", "Ok")
    world.change_policy(release={"bake": "20m"}, scaleDown={"enabled": True, "after": "1s", "pods": 1})
    world.release("1.1")
    world.until_phase("Baking")


def test_pods_that_begin_to_crash_in_the_bake_fail_the_release(world: World, operator: Operator) -> None:
    with FailingKubelet(world) as kubelet:
        baking(world)
        kubelet.faults[world.image("1.1")] = marked(crash_loop)
        world.rolled_out()
        mark(world, "checkout", 3)
        world.until(lambda: "rollback" in world.actions(), "the release is rolled back")
        assert "scaleDown" not in world.actions()
        assert world.running() == "1.0"
        rollback = next(d for d in world.status()["history"] if d["action"] == "rollback")
        assert "CrashLoopBackOff" in rollback["message"]


def test_one_pod_that_does_not_come_back_holds_the_bake_and_not_the_surplus(world: World, operator: Operator) -> None:
    world.deployment(replicas=6, progressDeadlineSeconds=15)
    world.load.workload(world.namespace, "checkout", rps=120, cpu_utilisation=0.1, latency_p99_seconds=0.2)
    world.policy(replicas={"min": 3}, release={"bake": "1s"}, scaleDown={"enabled": False})
    world.until_phase("Stable")
    world.until_verdict("error-rate", "Ok")
    world.change_policy(release={"bake": "10s"})
    world.release("1.1")
    world.until_phase("Baking")
    world.rolled_out()
    mark(world, "checkout", 1)
    (event,) = world.until(lambda: world.told("ReleaseStuck"), "it is reported")
    assert "1 of 6 pods" in event["note"]
    world.change_policy(scaleDown={"enabled": True, "after": "1s", "pods": 1})
    world.until(lambda: "scaleDown" in world.actions(), "the surplus is given back")
    assert "rollback" not in world.actions()
    assert world.running() == "1.1"
