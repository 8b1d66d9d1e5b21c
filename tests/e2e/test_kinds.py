"""StatefulSets and DaemonSets: the same watch over their releases, in the ways that their kind allows."""

from __future__ import annotations

from kubernetes import client

from tests.e2e.test_release import bad, guard
from tests.support.install import NAMESPACE, SERVICE_ACCOUNT
from tests.support.operator import Operator
from tests.support.world import World

HELD = 1_000_000
ORIGINAL = "resilience-operator.io/original-partition"


def settle(world: World, kind: str, then: list[dict[str, object]]) -> None:
    world.workload(kind)
    world.load.workload(world.namespace, "checkout", rps=90)
    world.policy(targetRef={"kind": kind}, replicas={"min": 3}, rules=guard(*then))
    world.until_phase("Stable")
    world.until_verdict("error-rate", "Ok")
    bad(world, ratio=0.3)


def partition(world: World) -> int:
    return int(world.read_workload("StatefulSet")["spec"]["updateStrategy"]["rollingUpdate"]["partition"])


def test_a_stateful_set_is_paused_by_its_partition_and_rolled_back(world: World, operator: Operator) -> None:
    settle(world, "StatefulSet", [{"pauseRollout": {}}, {"rollback": {"after": "10s"}}])
    world.release_of("StatefulSet", "2.0")
    world.until_phase("Paused")
    assert partition(world) == HELD
    world.until_phase("RolledBack")
    world.runs("StatefulSet", "1.0")
    found = world.read_workload("StatefulSet")
    assert partition(world) == 0
    assert ORIGINAL not in found["metadata"].get("annotations", {})
    assert world.actions() == ["pauseRollout", "rollback"]
    assert world.told("RolledBack", "StatefulSet")


def test_the_pause_of_a_stateful_set_goes_with_the_policy(world: World, operator: Operator) -> None:
    settle(world, "StatefulSet", [{"pauseRollout": {}}])
    world.release_of("StatefulSet", "2.0")
    world.until_phase("Paused")
    world.delete_policy()
    world.until(lambda: partition(world) == 0, "the partition is what it was")
    assert ORIGINAL not in world.read_workload("StatefulSet")["metadata"].get("annotations", {})


def test_a_daemon_set_is_rolled_back(world: World, operator: Operator) -> None:
    settle(world, "DaemonSet", [{"rollback": {"after": "5s"}}])
    world.release_of("DaemonSet", "2.0")
    world.until_phase("RolledBack")
    world.runs("DaemonSet", "1.0")
    assert world.actions() == ["rollback"]


def test_a_stateful_set_is_scaled(world: World, operator: Operator) -> None:
    world.workload("StatefulSet")
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
    rule = {
        "name": "busy",
        "when": {"signal": "cpu", "above": "70%"},
        "then": [{"scaleUp": {"pods": 2, "cooldown": "10m"}}],
    }
    world.policy(targetRef={"kind": "StatefulSet"}, rules=[rule])
    world.until(lambda: world.read_workload("StatefulSet")["spec"]["replicas"] == 5, "two pods more")


def test_a_kind_that_is_known_by_its_scale_alone_is_scaled(world: World, operator: Operator) -> None:
    body = {
        "metadata": {"name": "checkout"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": world.template("checkout", "1.0"),
        },
    }
    world.apps.create_namespaced_replica_set(world.namespace, body)
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
    rule = {
        "name": "busy",
        "when": {"signal": "cpu", "above": "70%"},
        "then": [{"scaleUp": {"pods": 2, "cooldown": "10m"}}],
    }
    grant_scale(world)
    world.policy(targetRef={"kind": "ReplicaSet"}, rules=[rule])
    world.until(
        lambda: world.apps.read_namespaced_replica_set("checkout", world.namespace).spec.replicas == 5, "two pods more"
    )
    world.until(lambda: world.actions() == ["scaleUp"], "it is in the history")


def grant_scale(world: World) -> None:
    """The right to the scale of ReplicaSets, in this namespace alone: other tests ask what the operator may do."""
    rbac = client.RbacAuthorizationV1Api(world.api)
    rules = [{"apiGroups": ["apps"], "resources": ["replicasets/scale"], "verbs": ["get", "patch"]}]
    rbac.create_namespaced_role(world.namespace, {"metadata": {"name": "scale"}, "rules": rules})
    rbac.create_namespaced_role_binding(
        world.namespace,
        {
            "metadata": {"name": "scale"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "scale"},
            "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}],
        },
    )


def test_a_kind_that_does_not_exist_is_told(world: World, operator: Operator) -> None:
    rule = {"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": [{"scaleUp": {"pods": 2}}]}
    world.policy(targetRef={"apiVersion": "example.com/v1", "kind": "Fleet"}, rules=[rule])
    found = world.until(lambda: _reason(world, "UnsupportedTarget"), "it is told")
    assert "no kind Fleet in example.com/v1 with a scale subresource" in found["message"]


def _reason(world: World, reason: str) -> dict[str, str]:
    found = world.condition("Ready")
    return found if found.get("reason") == reason else {}
