"""A pause or rollback is reported on the object that applies the target from git.

The definitions of Argo CD and Flux are minimal ones of the tests: the operator only reads the objects' names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kubernetes import client, dynamic
from kubernetes.config import new_client_from_config

from tests.cluster import Cluster
from tests.e2e.test_release import bad, guard, settle
from tests.e2e.test_scaling import after_evaluations
from tests.support.install import NAMESPACE, ROOT, SERVICE_ACCOUNT
from tests.support.operator import Operator
from tests.support.waiting import eventually, throughout
from tests.support.world import World

pytestmark = pytest.mark.long

ROLE = ROOT / "manifests" / "components" / "gitops" / "rbac-gitops.yaml"
KINDS = {
    "Application": ("argoproj.io", "v1alpha1", "applications"),
    "Kustomization": ("kustomize.toolkit.fluxcd.io", "v1", "kustomizations"),
    "HelmRelease": ("helm.toolkit.fluxcd.io", "v2", "helmreleases"),
}


def definition(kind: str) -> dict[str, Any]:
    group, version, plural = KINDS[kind]
    anything = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [{"name": version, "served": True, "storage": True, "schema": anything}],
        },
    }


@pytest.fixture(scope="module")
def role(cluster: Cluster) -> Iterator[None]:
    """The definitions, and the optional role of the component."""
    api = dynamic.DynamicClient(new_client_from_config(str(cluster.kubeconfig)))
    documents = [d for d in yaml.safe_load_all(ROLE.read_text()) if d]
    for body in (*map(definition, KINDS), *documents):
        resource = api.resources.get(api_version=body["apiVersion"], kind=body["kind"])
        api.server_side_apply(
            resource, body=body, name=body["metadata"]["name"], field_manager="install", force_conflicts=True
        )
    custom = client.CustomObjectsApi(new_client_from_config(str(cluster.kubeconfig)))
    for one in KINDS.values():
        eventually(lambda one=one: custom.list_cluster_custom_object(*one), f"{one[2]} are served")  # type: ignore[misc]
    review = client.AuthorizationV1Api(new_client_from_config(str(cluster.kubeconfig)))
    spec = {
        "user": f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}",
        "resourceAttributes": {"group": "argoproj.io", "resource": "applications", "verb": "get", "namespace": "x"},
    }
    eventually(lambda: review.create_subject_access_review({"spec": spec}).status.allowed, "the operator has the right")
    yield


def owned(world: World, kind: str, name: str) -> str:
    """An object of that kind in the test's namespace. Returns its uid."""
    group, version, plural = KINDS[kind]
    body = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": name}, "spec": {}}
    made = world.custom.create_namespaced_custom_object(group, version, world.namespace, plural, body)
    return str(made["metadata"]["uid"])


def marked(world: World, **metadata: dict[str, str]) -> None:
    world.apps.patch_namespaced_deployment(
        "checkout", world.namespace, {"metadata": metadata}, field_manager="kustomize-controller"
    )


def marks(world: World, kind: str) -> dict[str, dict[str, str]]:
    where = world.namespace
    if kind == "Application":
        return {"annotations": {"argocd.argoproj.io/tracking-id": f"{where}_shop:apps/Deployment:{where}/checkout"}}
    prefix = KINDS[kind][0]
    return {"labels": {f"{prefix}/name": "shop", f"{prefix}/namespace": where}}


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_is_reported_on_what_applies_the_target(
    world: World, operator: Operator, role: None, kind: str
) -> None:
    settle(world, rules=guard({"pauseRollout": {}}, {"rollback": {"after": "2s"}}))
    uid = owned(world, kind, "shop")
    marked(world, **marks(world, kind))
    bad(world)
    world.release("2.0")
    world.until(lambda: world.told("RolledBack", kind, "shop"), "it is reported there")
    world.until(lambda: "rollback" in world.actions(), "it is in the history")
    told = {"pauseRollout": "RolloutPaused", "rollback": "RolledBack"}
    assert [e["reason"] for e in world.events(kind, "shop")] == [told[action] for action in world.actions()]
    (event,) = world.told("RolledBack", kind, "shop")
    assert event["type"] == "Warning"
    assert event["regarding"]["uid"] == uid
    assert event["related"]["kind"] == "Deployment"
    decision = world.status()["lastDecision"]
    for part in (f"Deployment {world.namespace}/checkout", "error-rate", decision["from"], "revert it there"):
        assert part in event["note"]
    world.until(lambda: world.told("RolledBack") and world.told("RolledBack", "Deployment"), "and as ever")
    # The figures of DORA.
    world.until(
        lambda: operator.metric("resilience_release_restore_seconds_count") == 1, "the restored release is counted"
    )
    releases = {r: operator.metric("resilience_releases_total", result=r) for r in ("begun", "rolled_back")}
    assert releases == {"begun": 1, "rolled_back": 1}


def test_an_object_that_does_not_exist_changes_nothing(world: World, operator: Operator, role: None) -> None:
    settle(world, rules=guard({"rollback": {"after": "2s"}}))
    marked(world, **marks(world, "Kustomization"))
    bad(world)
    world.release("2.0")
    world.until(lambda: world.told("RolledBack") and world.told("RolledBack", "Deployment"), "it is reported")
    world.until(lambda: "no Event on Kustomization" in operator.tail(500), "the log says why there is no third Event")


def test_ignore_reports_nothing(world: World, operator: Operator, role: None) -> None:
    settle(world, rules=guard({"rollback": {"after": "2s"}}), release={"bake": "10s", "gitOps": "Ignore"})
    owned(world, "Kustomization", "shop")
    marked(world, **marks(world, "Kustomization"))
    bad(world)
    world.release("2.0")
    world.until(lambda: world.told("RolledBack", "Deployment"), "it is reported on the target")
    throughout(
        lambda: not world.events("Kustomization", "shop"),
        "there is no Event on it",
        until=after_evaluations(operator, 3),
    )
