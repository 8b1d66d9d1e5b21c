"""Objects of Argo CD and Flux on the real control plane, and a stand-in for the controller that syncs.

The definitions are minimal ones: the operator reads names, and in a status the fields that `Kustomization` sets. The
stand-in does what kustomize-controller does with one object. It applies it, unless the object in the cluster has the
annotation `reconcile: disabled`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from kubernetes import client, dynamic
from kubernetes.config import new_client_from_config

from tests.cluster import Cluster
from tests.support.install import NAMESPACE, ROOT, SERVICE_ACCOUNT
from tests.support.waiting import eventually
from tests.support.world import World

ROLE = ROOT / "manifests" / "components" / "gitops" / "rbac-gitops.yaml"
KINDS = {
    "Application": ("argoproj.io", "v1alpha1", "applications"),
    "Kustomization": ("kustomize.toolkit.fluxcd.io", "v1", "kustomizations"),
    "HelmRelease": ("helm.toolkit.fluxcd.io", "v2", "helmreleases"),
}
RECONCILE = "kustomize.toolkit.fluxcd.io/reconcile"
DRIFT = "helm.toolkit.fluxcd.io/driftDetection"
FLUX = "kustomize-controller"


def apply_definitions(
    cluster: Cluster, kinds: Mapping[str, tuple[str, tuple[str, ...], str]], *others: dict[str, Any]
) -> None:
    """Apply definitions that accept any object, and other objects. kinds: group, versions and plural.

    Returns when the kinds are served.
    """
    api = dynamic.DynamicClient(new_client_from_config(str(cluster.kubeconfig)))
    for body in (*(_definition(kind, *one) for kind, one in kinds.items()), *others):
        resource = api.resources.get(api_version=body["apiVersion"], kind=body["kind"])
        api.server_side_apply(
            resource, body=body, name=body["metadata"]["name"], field_manager="install", force_conflicts=True
        )
    custom = client.CustomObjectsApi(new_client_from_config(str(cluster.kubeconfig)))
    for group, (version, *_), plural in kinds.values():
        eventually(lambda one=(group, version, plural): custom.list_cluster_custom_object(*one), f"{plural} are served")  # type: ignore[misc]


def _definition(kind: str, group: str, versions: tuple[str, ...], plural: str) -> dict[str, Any]:
    anything = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [
                {"name": v, "served": True, "storage": True, "schema": anything, "subresources": {"status": {}}}
                for v in versions
            ],
        },
    }


def install_definitions(cluster: Cluster) -> None:
    """The definitions, and the optional role of the component."""
    documents = [d for d in yaml.safe_load_all(ROLE.read_text()) if d]
    kinds = {kind: (group, (version,), plural) for kind, (group, version, plural) in KINDS.items()}
    apply_definitions(cluster, kinds, *documents)
    review = client.AuthorizationV1Api(new_client_from_config(str(cluster.kubeconfig)))
    spec = {
        "user": f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}",
        "resourceAttributes": {"group": "argoproj.io", "resource": "applications", "verb": "get", "namespace": "x"},
    }
    eventually(lambda: review.create_subject_access_review({"spec": spec}).status.allowed, "the operator has the right")


def owned(world: World, kind: str, name: str) -> str:
    """An object of that kind in the test's namespace. Returns its uid."""
    group, version, plural = KINDS[kind]
    body = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": name}, "spec": {}}
    made = world.custom.create_namespaced_custom_object(group, version, world.namespace, plural, body)
    return str(made["metadata"]["uid"])


def marked(world: World, workload: str = "checkout", **metadata: dict[str, str]) -> None:
    world.apps.patch_namespaced_deployment(
        workload, world.namespace, {"metadata": metadata}, field_manager="kustomize-controller"
    )


def marks(world: World, kind: str, owner: str = "shop") -> dict[str, dict[str, str]]:
    where = world.namespace
    if kind == "Application":
        return {"annotations": {"argocd.argoproj.io/tracking-id": f"{where}_{owner}:apps/Deployment:{where}/checkout"}}
    prefix = KINDS[kind][0]
    return {"labels": {f"{prefix}/name": owner, f"{prefix}/namespace": where}}


def attempted(
    world: World, version: str, *, applied: bool = True, kind: str = "Kustomization", name: str = "shop"
) -> None:
    """Set the version of the source that the owner has tried to apply, and whether that is complete."""
    group, api_version, plural = KINDS[kind]
    generation = world.custom.get_namespaced_custom_object(group, api_version, world.namespace, plural, name)[
        "metadata"
    ]["generation"]
    status: dict[str, Any] = {"lastAttemptedRevision": version, "observedGeneration": generation}
    if kind == "HelmRelease":
        status["history"] = [{"version": int(version)}]
    else:
        status["lastAppliedRevision"] = version if applied else "main@sha1:before"
        status["conditions"] = [{"type": "Reconciling", "status": "True"}] if not applied else []
    world.custom.patch_namespaced_custom_object_status(
        group,
        api_version,
        world.namespace,
        plural,
        name,
        {"status": status},
        _content_type="application/merge-patch+json",
    )


def annotations(world: World, name: str = "checkout") -> dict[str, str]:
    found: dict[str, str] = world.get(name)["metadata"].get("annotations") or {}
    return found


def synced(world: World, tag: str, name: str = "checkout") -> bool:
    """Do what kustomize-controller does with the Deployment in one sync. Returns whether it applied it."""
    if annotations(world, name).get(RECONCILE) == "disabled":
        return False
    if world.running(name) != tag:
        world.release(tag, name, manager=FLUX)
    return True
