"""Configuration belongs to the revision: it is kept, judged and restored together with the pod template."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.config import new_client_from_config

from resilience_operator.decision.configuration.content import object_digest
from tests.cluster import Cluster
from tests.e2e.test_admission import POLICIES, Account, refused
from tests.e2e.test_release import bad, guard
from tests.support.configuration import config_map, copies, data_of, grant, reading
from tests.support.install import NAMESPACE
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import World

pytestmark = pytest.mark.long

NAME = "checkout"
RULES = guard({"pauseRollout": {}}, {"rollback": {"after": "3s"}})


@pytest.fixture(scope="module", autouse=True)
def role(cluster: Cluster) -> None:
    """The rights of the component."""
    grant(cluster)


def settle(world: World, *, rules: object = RULES, env: dict[str, str] | None = None, **policy: Any) -> None:
    """A Deployment that reads ConfigMap `settings`, whose revision was watched and found good."""
    config_map(world, "settings", level="1")
    template = reading(world.template(NAME, "1.0"), "settings", env=env)
    world.deployment(replicas=4, template=template)
    world.load.workload(world.namespace, NAME, rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    release = {"bake": "10s", "configuration": {"include": "Referenced"}, **policy.pop("release", {})}
    world.policy(replicas={"min": 4}, rules=rules, release=release, **policy)
    world.until(lambda: bool(copies(world)), "what the good revision reads is kept")
    world.until_phase("Stable")
    world.until_verdict("error-rate", "Ok")


def broken(world: World, tag: str = "1.0", ratio: float = 0.3) -> None:
    """Let the pods of an image fail, as they do with bad configuration."""
    world.load.image(world.image(tag), error_ratio=ratio)


def test_bad_configuration_alone_is_paused_and_rolled_back(world: World, operator: Operator) -> None:
    settle(world)
    good = world.status()["target"]["lastGoodRevision"]
    broken(world)
    config_map(world, "settings", level="broken")
    world.until(lambda: "pauseRollout" in world.actions(), "it is paused")
    world.until(lambda: data_of(world, "settings") == {"level": "1"}, "the content is restored")
    broken(world, ratio=0.0)
    world.until_phase("RolledBack")
    decision = world.status()["lastDecision"]
    assert decision["to"] == good == world.status()["target"]["revision"]
    assert "ConfigMap/settings" in decision["message"]
    world.until_phase("Stable")
    assert world.actions().count("rollback") == 1


def test_content_and_template_are_restored_together(world: World, operator: Operator) -> None:
    settle(world)
    bad(world)
    config_map(world, "settings", level="2")
    world.release("2.0")
    world.until(lambda: world.running() == "1.0", "the good template is back")
    assert data_of(world, "settings") == {"level": "1"}
    world.until_phase("RolledBack")
    assert world.actions().count("rollback") == 1


def deploy(world: World, *names: str, tag: str = "1.0", env: dict[str, str] | None = None) -> None:
    """Replace the pod template, as a pipeline does."""
    template = reading(world.template(NAME, tag), *names, env=env)
    world.apps.patch_namespaced_deployment(
        NAME,
        world.namespace,
        [{"op": "replace", "path": "/spec/template", "value": template}],
        field_manager="kubectl-client-side-apply",
    )


def test_a_generated_name_that_was_pruned_is_created_again(world: World, operator: Operator) -> None:
    settle(world)
    bad(world)
    config_map(world, "settings-2", level="2")
    deploy(world, "settings-2", tag="2.0")
    world.core.delete_namespaced_config_map("settings", world.namespace)
    world.until(lambda: world.running() == "1.0", "the good template is back")
    assert data_of(world, "settings") == {"level": "1"}
    annotations = world.get()["spec"]["template"]["metadata"].get("annotations") or {}
    assert "resilience-operator.io/restored" not in annotations, "no pod has read another content of that name"
    world.until_phase("RolledBack")


def test_unknown_content_is_held_paused_and_nothing_is_restored(world: World, operator: Operator) -> None:
    settle(world, rules=guard({"rollback": {"after": "3s"}}))
    bad(world)
    config_map(world, "settings", level="2")
    deploy(world, "settings", tag="2.0")
    for copy in copies(world):
        world.core.delete_namespaced_config_map(copy["metadata"]["name"], world.namespace)
    world.until(lambda: world.told("ConfigurationUnknown"), "it is told")
    world.until(world.paused, "it is held paused")
    assert world.running() == "2.0"
    assert data_of(world, "settings") == {"level": "2"}
    assert "rollback" not in world.actions()


def test_what_pods_read_at_their_start_is_baked_after_a_restart(world: World, operator: Operator) -> None:
    settle(world, env={"S_": "settings"})
    config_map(world, "settings", level="2")
    world.until(lambda: world.told("ConfigurationWaits"), "it says that the pods have not read it")
    world.until_phase("Progressing")
    (event,) = world.told("ConfigurationWaits")
    assert f"kubectl rollout restart deployment/{NAME}" in event["note"]
    restart = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
    world.apps.patch_namespaced_deployment(NAME, world.namespace, restart, field_manager="kubectl-rollout")
    world.until_phase("Stable", patience=90)
    world.until(lambda: len(copies(world)) == 2, "both good contents are kept")


def test_a_good_change_is_kept_and_old_copies_are_pruned(world: World, operator: Operator) -> None:
    settle(world)
    limit = {"spec": {"revisionHistoryLimit": 2}}
    world.apps.patch_namespaced_deployment(NAME, world.namespace, limit, field_manager="test")
    first = copies(world)
    for level in ("2", "3"):
        before = {c["metadata"]["name"] for c in copies(world)}
        config_map(world, "settings", level=level)
        world.until(
            lambda before=before: {c["metadata"]["name"] for c in copies(world)} - before,  # type: ignore[misc]
            "the new content is kept",
            patience=90,
        )
    world.until(lambda: len(copies(world)) == 2, "the oldest copy is pruned")
    assert first[0]["metadata"]["name"] not in {c["metadata"]["name"] for c in copies(world)}
    assert all(c["immutable"] for c in copies(world))
    uid = world.read_policy()["metadata"]["uid"]
    assert {c["metadata"]["ownerReferences"][0]["uid"] for c in copies(world)} == {uid}


def test_more_than_a_mebibyte_is_not_kept_and_told(world: World, operator: Operator) -> None:
    for name in ("one", "two"):
        config_map(world, name, text="x" * 600_000)
    world.deployment(replicas=4, template=reading(world.template(NAME, "1.0"), "one", "two"))
    world.load.workload(world.namespace, NAME, rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    world.policy(replicas={"min": 4}, rules=RULES, release={"bake": "10s", "configuration": {}})
    world.until(lambda: world.told("ConfigurationTooLarge"), "it is told")
    assert copies(world) == []


def test_without_the_right_templates_are_restored_and_the_condition_says_so(
    world: World, new_operator: Callable[..., Operator], tmp_path: Path
) -> None:
    account = Account(world, tmp_path / "limited")
    for role in ("look", "act-scale", "act-release"):
        account.has("ClusterRole", f"resilience-operator-{role}")
    new_operator(kubeconfig=account.kubeconfig()).start()
    config_map(world, "settings", level="1")
    world.deployment(replicas=4, template=reading(world.template(NAME, "1.0"), "settings"))
    world.load.workload(world.namespace, NAME, rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    world.policy(replicas={"min": 4}, rules=RULES, release={"bake": "10s", "configuration": {}})
    world.until(lambda: world.condition("Ready").get("reason") == "ConfigurationForbidden", "the condition says so")
    world.until_phase("Stable")
    bad(world)
    config_map(world, "settings", level="2")
    world.release("2.0")
    world.until(lambda: world.running() == "1.0", "the template is restored")
    assert data_of(world, "settings") == {"level": "2"}


def test_a_source_that_applies_it_again_is_named_and_ends_held_paused(world: World, operator: Operator) -> None:
    settle(world)
    labels = {f"kustomize.toolkit.fluxcd.io/{key}": value for key, value in (("name", "shop"), ("namespace", "flux"))}
    world.core.patch_namespaced_config_map("settings", world.namespace, {"metadata": {"labels": labels}})
    broken(world)
    rolled_back = 0
    for _ in range(2):
        config_map_kept_labels(world, "settings", level="broken")
        world.until(lambda n=rolled_back: world.actions().count("rollback") > n, "it is rolled back")  # type: ignore[misc]
        rolled_back = world.actions().count("rollback")
        world.until(lambda: data_of(world, "settings") == {"level": "1"}, "the content is restored")
    assert "Kustomization flux/shop applies ConfigMap/settings" in world.status()["lastDecision"]["message"]
    config_map_kept_labels(world, "settings", level="broken")
    world.until(lambda: world.told("HeldPaused"), "it stops, and says so", patience=90)
    assert data_of(world, "settings") == {"level": "broken"}


def config_map_kept_labels(world: World, name: str, **data: str) -> None:
    """Change the data alone."""
    world.core.patch_namespaced_config_map(name, world.namespace, {"data": data}, field_manager="kustomize-controller")


def test_the_author_needs_the_rights_on_what_is_restored(world: World, tmp_path: Path) -> None:
    deployments = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]}
    account = Account(world, tmp_path / "ann").may([POLICIES, deployments])
    author = account.author()
    release = {"configuration": {"include": "Referenced"}}
    rollback = [{"rollback": {}}]
    message = refused(lambda: author.create(rollback, release=release))
    assert "no right to get, create, update and delete them" in message and "restores ConfigMaps" in message
    verbs = ["get", "create", "update", "delete"]
    account.may([{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}], "maps")
    secret = {"configuration": {"include": "Referenced", "secrets": True}}
    eventually(lambda: "restores Secrets" in refused(lambda: author.create(rollback, release=secret)), "of Secrets too")
    author.create(rollback, release=release)


@pytest.mark.parametrize("namespace", ["kube-system", NAMESPACE])
def test_the_operator_changes_no_config_map_in_protected_namespaces(
    world: World, operator_identity: Path, namespace: str
) -> None:
    core = client.CoreV1Api(new_client_from_config(str(operator_identity)))
    body = {"metadata": {"name": world.namespace}}
    message = refused(lambda: core.create_namespaced_config_map(namespace, body, dry_run="All"))
    assert f"changes nothing in namespace {namespace}" in message
    world.core.create_namespaced_config_map(namespace, body)
    try:
        change = {"data": {"a": "b"}}
        for call in (
            lambda: core.patch_namespaced_config_map(world.namespace, namespace, change, dry_run="All"),
            lambda: core.delete_namespaced_config_map(world.namespace, namespace, dry_run="All"),
        ):
            assert f"changes nothing in namespace {namespace}" in refused(call)
    finally:
        world.core.delete_namespaced_config_map(world.namespace, namespace)


def test_secrets_are_restored_and_appear_nowhere(world: World, operator: Operator) -> None:
    grant(world.cluster, "secrets")
    password, other = "hunter2-" + world.namespace, "letmein-" + world.namespace

    def put(value: str) -> None:
        body = {"metadata": {"name": "login"}, "stringData": {"password": value}}
        if value == password:
            world.core.create_namespaced_secret(world.namespace, body)
        else:
            world.core.patch_namespaced_secret("login", world.namespace, body)

    def value() -> str:
        return base64.b64decode(world.core.read_namespaced_secret("login", world.namespace).data["password"]).decode()

    put(password)
    config_map(world, "settings", level="1")
    template = reading(world.template(NAME, "1.0"), "settings")
    template["spec"]["volumes"].append({"name": "login", "secret": {"secretName": "login"}})
    template["spec"]["containers"][0]["volumeMounts"].append({"name": "login", "mountPath": "/etc/login"})
    world.deployment(replicas=4, template=template)
    world.load.workload(world.namespace, NAME, rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    release = {"bake": "10s", "configuration": {"secrets": True}}
    world.policy(replicas={"min": 4}, rules=RULES, release=release)
    world.until(lambda: bool(copies(world)), "what the good revision reads is kept")
    world.until_phase("Stable")
    broken(world)
    put(other)
    world.until(lambda: value() == password, "the Secret is restored")
    broken(world, ratio=0.0)
    world.until_phase("RolledBack")
    assert "Secret/login" in world.status()["lastDecision"]["message"]
    maps = world.api.sanitize_for_serialization(world.core.list_namespaced_config_map(world.namespace).items)
    seen = json.dumps([world.read_policy(), world.events("ResiliencePolicy"), world.events("Deployment"), maps])
    seen += operator.tail(5000)
    for text in (password, other):
        content = {"data": {"password": base64.b64encode(text.encode()).decode()}}
        assert text not in seen
        assert content["data"]["password"] not in seen
        assert object_digest(content) not in seen, "a plain digest could be guessed"


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_of_other_kinds_the_content_is_restored_and_the_pods_restart(
    world: World, operator: Operator, kind: str
) -> None:
    config_map(world, "settings", level="1")
    world.workload(kind)
    template = reading(world.template(NAME, "1.0"), "settings")
    change = [{"op": "replace", "path": "/spec/template", "value": template}]
    world._of(kind, "patch")(NAME, world.namespace, change, field_manager="test")
    world.load.workload(world.namespace, NAME, rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    release = {"bake": "10s", "configuration": {}}
    then = [{"rollback": {"after": "3s"}}, *([{"pauseRollout": {}}] if kind == "StatefulSet" else [])]
    world.policy(targetRef={"kind": kind}, replicas=None, rules=guard(*then), release=release)
    world.until(lambda: bool(copies(world)), "what the good revision reads is kept", patience=90)
    world.until_phase("Stable")
    world.until_verdict("error-rate", "Ok")
    broken(world)
    config_map(world, "settings", level="broken")
    world.until(lambda: data_of(world, "settings") == {"level": "1"}, "the content is restored")
    broken(world, ratio=0.0)
    world.until_phase("RolledBack", patience=90)
    annotations = world.read_workload(kind)["spec"]["template"]["metadata"]["annotations"]
    assert "resilience-operator.io/restored" in annotations
    assert world.actions().count("rollback") == 1
