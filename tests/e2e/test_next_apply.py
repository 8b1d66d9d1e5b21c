"""The next apply after a rollback, by the real clients: it is not refused, and leaves nothing of the restored version.

Version 1.0 is good. Version 2.0 is bad: it drops a variable and a sidecar, adds a variable and changes the image. The
rollback brings 1.0 back. Version 3.0 has neither what only 1.0 had nor what only 2.0 had.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from resilience_operator.kube.writes.field_ownership import hand_back
from tests.e2e.test_release import bad, guard
from tests.support.clients import call
from tests.support.operator import Operator
from tests.support.proxy import faults
from tests.support.proxy.front import api_proxy, kubeconfig_through
from tests.support.waiting import eventually
from tests.support.world import World

Obj = dict[str, Any]
Apply = Callable[[World, Path, Obj], None]
NAME = "checkout"


def manifest(world: World, tag: str, env: dict[str, str], *, sidecar: bool, name: str = NAME) -> Obj:
    template = world.template(name, tag)
    (app,) = template["spec"]["containers"]
    app["image"] = world.image(tag)
    app["env"] = [{"name": key, "value": value} for key, value in env.items()]
    app["ports"] = [{"containerPort": 8080}]
    if sidecar:
        template["spec"]["containers"].append({**app, "name": "sidecar", "env": [], "ports": []})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": world.namespace},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def kubectl(*options: str) -> Apply:
    def apply(world: World, folder: Path, document: Obj) -> None:
        del folder
        arguments = ("apply", *options, "-f", "-")
        call("kubectl", *arguments, kubeconfig=world.cluster.kubeconfig, given=yaml.safe_dump(document))

    return apply


def helm(world: World, folder: Path, document: Obj) -> None:
    """A release of the workload's own name, whose chart is this one manifest."""
    name = document["metadata"]["name"]
    chart = folder / name
    (chart / "templates").mkdir(parents=True, exist_ok=True)
    (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": name, "version": "1.0.0"}))
    (chart / "templates" / "workload.yaml").write_text(yaml.safe_dump(document))
    arguments = ("upgrade", "--install", name, str(chart), "--namespace", world.namespace)
    call("helm", *arguments, kubeconfig=world.cluster.kubeconfig)


CLIENTS: dict[str, Apply] = {
    "kubectl": kubectl(),
    "kubectl-server-side": kubectl("--server-side"),
    "helm": helm,
}


def template_of(world: World, name: str = NAME) -> Obj:
    template: Obj = world.get(name)["spec"]["template"]
    return template


def guarded(world: World) -> None:
    """Version 1.0 is known good, and 2.0 will be bad."""
    world.load.workload(world.namespace, NAME, rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    world.policy(rules=guard({"pauseRollout": {}}, {"rollback": {}}), scaleDown={"enabled": False})
    world.until_phase("Stable")
    world.until_verdict("error-rate", "Ok")
    bad(world)


def until_rolled_back(world: World, folder: Path, apply: Apply) -> None:
    apply(world, folder, manifest(world, "1.0", {"KEPT": "1", "OLD": "1"}, sidecar=True))
    world.rolled_out()
    guarded(world)
    apply(world, folder, manifest(world, "2.0", {"KEPT": "2", "NEW": "2"}, sidecar=False))
    world.until_phase("RolledBack")
    assert len(template_of(world)["spec"]["containers"]) == 2


def owns_nothing(world: World) -> bool:
    return hand_back(world.get()["metadata"]["managedFields"]) is None


@pytest.mark.parametrize("tool", CLIENTS)
def test_the_next_apply_is_clean(world: World, operator: Operator, tmp_path: Path, tool: str) -> None:
    apply = CLIENTS[tool]
    until_rolled_back(world, tmp_path, apply)
    eventually(lambda: owns_nothing(world), "the operator owns no field of the template")
    fixed = {"KEPT": "3"}
    apply(world, tmp_path, manifest(world, "3.0", fixed, sidecar=False))
    apply(world, tmp_path, manifest(world, "3.0", fixed, sidecar=False, name="fresh"))
    fresh, now = template_of(world, "fresh"), template_of(world)
    assert now["spec"] == fresh["spec"]
    world.until_phase("Stable")


def test_the_bad_version_can_be_applied_again(world: World, operator: Operator, tmp_path: Path) -> None:
    """It is the same as before, and is rolled back again."""
    apply = CLIENTS["kubectl"]
    until_rolled_back(world, tmp_path, apply)
    again = manifest(world, "2.0", {"KEPT": "2", "NEW": "2"}, sidecar=False)
    apply(world, tmp_path, {**again, "metadata": {**again["metadata"], "labels": {"try": "2"}}})
    world.until(lambda: world.actions().count("rollback") == 2, "it is rolled back again")
    eventually(lambda: world.running() == "1.0" and owns_nothing(world), "the good template is back")


def test_a_crash_between_the_two_patches_keeps_no_field(
    world: World, new_operator: Callable[..., Operator], operator_identity: Path, tmp_path: Path
) -> None:
    with api_proxy(world.cluster, tmp_path) as proxy:
        operator = new_operator(kubeconfig=kubeconfig_through(proxy, operator_identity, tmp_path)).start()
        proxy.add(
            faults.call(operator.kill),
            "PATCH",
            f"/deployments/{NAME}$",
            where=lambda asked: b"managedFields" in asked.body,
            times=1,
        )
        apply = CLIENTS["kubectl-server-side"]
        apply(world, tmp_path, manifest(world, "1.0", {"OLD": "1"}, sidecar=False))
        world.rolled_out()
        guarded(world)
        apply(world, tmp_path, manifest(world, "2.0", {}, sidecar=False))
        eventually(lambda: operator.process is None, "it is killed between the two")
        assert world.running() == "1.0"
        assert not owns_nothing(world), json.dumps(world.get()["metadata"]["managedFields"])
        operator.start()
        eventually(lambda: owns_nothing(world), "the next start completes it")
        world.until_phase("RolledBack")
        apply(world, tmp_path, manifest(world, "3.0", {}, sidecar=False))
        assert not template_of(world)["spec"]["containers"][0].get("env")


def until_scaled_up(world: World, folder: Path, apply: Apply) -> None:
    """A manifest with three replicas, which are five in the peak."""
    apply(world, folder, manifest(world, "1.0", {"OLD": "1"}, sidecar=False))
    world.rolled_out()
    world.load.workload(world.namespace, NAME, rps=120, cpu_total_cores=0.255)
    world.policy(scaleDown={"after": "10m"})
    world.until(lambda: world.replicas() == 5, "it is scaled up")
    eventually(lambda: owns_nothing(world), "the operator owns no field that an apply has")


@pytest.mark.parametrize("tool", CLIENTS)
def test_replicas_in_a_manifest_neither_conflict_nor_end_a_scale_up(
    world: World, operator: Operator, tmp_path: Path, tool: str
) -> None:
    """Unchanged, changed and removed: the apply succeeds, and the size that the load needs is restored at once."""
    apply = CLIENTS[tool]
    until_scaled_up(world, tmp_path, apply)
    for tag, replicas in (("3.0", 3), ("4.0", 4), ("5.0", None)):
        fixed = manifest(world, tag, {}, sidecar=False)
        fixed["spec"]["replicas"] = replicas
        if replicas is None:
            del fixed["spec"]["replicas"]
        apply(world, tmp_path, fixed)
        assert world.running() == tag
        world.until(lambda: world.replicas() == 5, f"{replicas} replicas in the manifest: it is five again")
        eventually(lambda: owns_nothing(world), "the operator owns no field that an apply has")
        world.rolled_out()
    reasons = [e["reason"] for e in world.status()["history"] if e["action"] == "scaleUp"]
    assert reasons.count("ReplicasReset") == (3 if tool == "kubectl" else 2), "only a client-side apply resets to 1"
    assert not world.told("ManualScale") and not world.told("ChangeReverted") and not world.told("ReplicasReverted")


@pytest.mark.parametrize("tool", ["kubectl-server-side", "helm"])
def test_more_replicas_in_a_manifest_are_the_new_minimum(
    world: World, operator: Operator, tmp_path: Path, tool: str
) -> None:
    apply = CLIENTS[tool]
    until_scaled_up(world, tmp_path, apply)
    more = manifest(world, "3.0", {}, sidecar=False)
    more["spec"]["replicas"] = 7
    apply(world, tmp_path, more)
    world.until(lambda: world.told("ReplicasChanged"), "it is told")
    world.until(lambda: world.status()["memory"]["scaling"]["baseline"] == 7, "it is the lower bound")
    assert world.replicas() == 7


def test_a_crash_between_a_scale_and_the_next_patch_keeps_no_field(
    world: World, new_operator: Callable[..., Operator], operator_identity: Path, tmp_path: Path
) -> None:
    with api_proxy(world.cluster, tmp_path) as proxy:
        operator = new_operator(kubeconfig=kubeconfig_through(proxy, operator_identity, tmp_path)).start()
        path = f"/deployments/{NAME}$"
        proxy.add(faults.call(operator.kill), "PATCH", path, where=lambda a: b"managedFields" in a.body, times=1)
        apply = CLIENTS["kubectl-server-side"]
        apply(world, tmp_path, manifest(world, "1.0", {}, sidecar=False))
        world.rolled_out()
        world.load.workload(world.namespace, NAME, rps=120, cpu_total_cores=0.255)
        world.policy(scaleDown={"after": "10m"})
        eventually(lambda: operator.process is None, "it is killed between the two")
        assert world.replicas() == 5
        assert not owns_nothing(world)
        operator.start()
        eventually(lambda: owns_nothing(world), "the next start completes it")
        assert world.replicas() == 5


def test_the_manifest_of_an_autoscaler_does_not_conflict(world: World, operator: Operator) -> None:
    world.deployment()
    minimum = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": NAME}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}
    metric["resource"]["target"]["averageUtilization"] = 80  # type: ignore[index]
    spec = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 10, "metrics": [metric]}
    document = {**minimum, "spec": spec}
    apply = ("apply", "--server-side", "-n", world.namespace, "-f", "-")

    def read() -> Obj:
        read = world.autoscaling.read_namespaced_horizontal_pod_autoscaler
        found: Obj = world.api.sanitize_for_serialization(read(NAME, world.namespace))
        return found

    call("kubectl", *apply, kubeconfig=world.cluster.kubeconfig, given=yaml.safe_dump(document))
    world.load.workload(world.namespace, NAME, cpu_total_cores=0.255)
    world.policy(scaleDown={"after": "10m"})
    world.until(lambda: read()["spec"]["minReplicas"] == 5, "the minimum is raised")
    eventually(lambda: hand_back(read()["metadata"]["managedFields"]) is None, "it is owned by nobody")
    del document["spec"]["minReplicas"]
    call("kubectl", *apply, kubeconfig=world.cluster.kubeconfig, given=yaml.safe_dump(document))
    assert read()["spec"]["minReplicas"] == 5, "what nobody owns is not removed"
    document["spec"]["minReplicas"] = 4
    call("kubectl", *apply, kubeconfig=world.cluster.kubeconfig, given=yaml.safe_dump(document))
    mark = "resilience-operator.io/original-min-replicas"
    world.until(lambda: mark not in (read()["metadata"].get("annotations") or {}), "the manifest is the lower bound")


@contextmanager
def stamping(world: World) -> Iterator[None]:
    """An admission policy that annotates the pod template with each update of a Deployment in the namespace."""
    name, api = f"stamp-{world.namespace}", ("admissionregistration.k8s.io", "v1")
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}}
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}
    stamp = '[JSONPatch{op: "add", path: "/spec/template/metadata/annotations", value: {"stamp": "1"}}]'
    spec = {
        "matchConstraints": {**here, "resourceRules": [rule]},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": stamp}}],
    }
    policies, bindings = "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"
    for kind, plural, body in (
        ("MutatingAdmissionPolicy", policies, spec),
        ("MutatingAdmissionPolicyBinding", bindings, {"policyName": name}),
    ):
        document = {"apiVersion": "/".join(api), "kind": kind, "metadata": {"name": name}, "spec": body}
        world.custom.create_cluster_custom_object(*api, plural, document)
    try:
        eventually(lambda: is_stamped(world.apps, world.namespace), "the policy is in force")
        yield
    finally:
        for plural in (policies, bindings):
            world.custom.delete_cluster_custom_object(*api, plural, name)


def is_stamped(apps: client.AppsV1Api, namespace: str) -> bool:
    found = apps.patch_namespaced_deployment(NAME, namespace, {"metadata": {"labels": {"a": "b"}}}, dry_run="All")
    return "stamp" in (found.spec.template.metadata.annotations or {})


def test_a_webhook_that_changes_each_update_makes_no_rollout_of_a_scale(
    world: World, operator: Operator, tmp_path: Path
) -> None:
    """Here a MutatingAdmissionPolicy of the API server, which needs no server of its own."""
    apply = CLIENTS["kubectl-server-side"]
    apply(world, tmp_path, manifest(world, "1.0", {}, sidecar=False))
    world.rolled_out()
    with stamping(world):
        world.load.workload(world.namespace, NAME, rps=120, cpu_total_cores=0.255)
        world.policy(scaleDown={"after": "10m"})
        world.until(lambda: world.replicas() == 5, "it is scaled up")
        eventually(lambda: "a webhook changes each update" in operator.tail(), "it keeps the field", last=operator.tail)
    assert "stamp" not in (template_of(world)["metadata"].get("annotations") or {})
    assert not owns_nothing(world)
