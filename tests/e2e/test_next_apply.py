"""The next apply after a rollback, by the real clients: it is not refused, and leaves nothing of the restored version.

Version 1.0 is good. Version 2.0 is bad: it drops a variable and a sidecar, adds a variable and changes the image. The
rollback brings 1.0 back. Version 3.0 has neither what only 1.0 had nor what only 2.0 had.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

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


@pytest.mark.parametrize("client", CLIENTS)
def test_the_next_apply_is_clean(world: World, operator: Operator, tmp_path: Path, client: str) -> None:
    apply = CLIENTS[client]
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


@pytest.mark.parametrize("client", ["kubectl-server-side", "helm"])
def test_replicas_in_a_manifest_conflict_only_while_the_service_is_scaled(
    world: World, operator: Operator, tmp_path: Path, client: str
) -> None:
    """Without replicas in the manifest the fix is never refused. With them it would drop a service in its peak."""
    apply = CLIENTS[client]
    apply(world, tmp_path, manifest(world, "1.0", {"OLD": "1"}, sidecar=False))
    world.rolled_out()
    world.load.workload(world.namespace, NAME, rps=120, cpu_total_cores=0.255)
    world.policy(scaleDown={"after": "10m"})
    world.until(lambda: world.replicas() == 5, "it is scaled up")
    fixed = manifest(world, "3.0", {}, sidecar=False)
    with pytest.raises(AssertionError) as refused:
        apply(world, tmp_path, fixed)
    assert "resilience-operator" in str(refused.value)
    assert ".spec.replicas" in str(refused.value)
    assert ".spec.template" not in str(refused.value)
    del fixed["spec"]["replicas"]
    apply(world, tmp_path, fixed)
    assert not template_of(world)["spec"]["containers"][0].get("env")
    assert world.replicas() == 5
