"""Worlds whose targets read ConfigMaps that belong to their revisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from kubernetes import client, dynamic
from kubernetes.config import new_client_from_config

from tests.cluster import Cluster
from tests.support.install import NAMESPACE, ROOT, SERVICE_ACCOUNT
from tests.support.waiting import eventually
from tests.support.world import Obj, World

COMPONENTS = ROOT / "manifests" / "components"
POLICY_LABEL = "resilience-operator.io/policy-uid"


def grant(cluster: Cluster, component: str = "configuration") -> None:
    """Grant the operator what a component grants."""
    role = COMPONENTS / component / f"rbac-{component}.yaml"
    api = dynamic.DynamicClient(new_client_from_config(str(cluster.kubeconfig)))
    for body in (d for d in yaml.safe_load_all(role.read_text()) if d):
        resource = api.resources.get(api_version=body["apiVersion"], kind=body["kind"])
        api.server_side_apply(
            resource, body=body, name=body["metadata"]["name"], field_manager="install", force_conflicts=True
        )
    review = client.AuthorizationV1Api(new_client_from_config(str(cluster.kubeconfig)))
    spec = {
        "user": f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}",
        "resourceAttributes": {"resource": "secrets" if component == "secrets" else "configmaps", "verb": "watch"},
    }
    eventually(lambda: review.create_subject_access_review({"spec": spec}).status.allowed, "the operator has the right")


def config_map(world: World, name: str, **data: str) -> None:
    """Create a ConfigMap, or replace its data."""
    body = {"metadata": {"name": name}, "data": data}
    try:
        world.core.create_namespaced_config_map(world.namespace, body, field_manager="test")
    except client.ApiException as error:
        if error.status != 409:
            raise
        found = world.core.read_namespaced_config_map(name, world.namespace)
        body["metadata"]["resourceVersion"] = found.metadata.resource_version
        world.core.replace_namespaced_config_map(name, world.namespace, body, field_manager="test")


def data_of(world: World, name: str) -> dict[str, str] | None:
    """The data of a ConfigMap; None if there is none of that name."""
    try:
        return dict(world.core.read_namespaced_config_map(name, world.namespace).data or {})
    except client.ApiException as error:
        if error.status == 404:
            return None
        raise


def copies(world: World, policy: str = "checkout") -> list[Obj]:
    """The copies that belong to a policy."""
    uid = world.read_policy(policy)["metadata"]["uid"]
    found = world.core.list_namespaced_config_map(world.namespace, label_selector=f"{POLICY_LABEL}={uid}").items
    return [world.api.sanitize_for_serialization(one) for one in found]


def reading(template: Obj, *names: str, env: Mapping[str, str] | None = None) -> Obj:
    """The pod template, which mounts these ConfigMaps, and reads others by `envFrom` (prefix: name)."""
    container: dict[str, Any] = template["spec"]["containers"][0]
    container["volumeMounts"] = [{"name": name, "mountPath": f"/etc/{name}"} for name in names]
    template["spec"]["volumes"] = [{"name": name, "configMap": {"name": name}} for name in names]
    container["envFrom"] = [{"prefix": p, "configMapRef": {"name": name}} for p, name in (env or {}).items()]
    return template
