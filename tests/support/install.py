"""Install the CRD, the ServiceAccount and its roles from `manifests/`, as a person would, but for the Deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, dynamic
from kubernetes.client.exceptions import ApiException
from kubernetes.config import new_client_from_config

from tests.cluster import Cluster, write_kubeconfig
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "manifests" / "base"
NAMESPACE = "resilience-system"
SERVICE_ACCOUNT = "resilience-operator"
TOKEN_SECONDS = 12 * 3600
AUTHORS, LIMITS = "resilience-operator-authors", "resilience-operator-limits"
"""The admission policies."""

KINDS = {"Fleet.example.com": "fleets"}
"""Kinds that the tests' administrator adds to those that the admission policy knows."""

_INSTALLED = (
    "CustomResourceDefinition", "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
)  # fmt: skip
_NAMESPACED = ("ServiceAccount", "Role", "RoleBinding")


def documents(kustomization: Path = BASE) -> Iterator[dict[str, Any]]:
    """Every object that a kustomization names, itself and below."""
    files = (kustomization / name for name in ("kustomization.yaml", "Kustomization"))
    for name in yaml.safe_load(next(file for file in files if file.is_file()).read_text())["resources"]:
        path = (kustomization / name).resolve()
        if path.is_dir():
            yield from documents(path)
        else:
            yield from (d for d in yaml.safe_load_all(path.read_text()) if d)


def install(cluster: Cluster) -> None:
    """Apply all of the base that gives the operator its resource and its rights."""
    api = dynamic.DynamicClient(new_client_from_config(str(cluster.kubeconfig)))
    for document in documents():
        kind = document["kind"]
        if kind not in (*_INSTALLED, "Role", "RoleBinding"):
            continue
        if document["metadata"]["name"] == AUTHORS and kind == "ValidatingAdmissionPolicy":
            add_kinds(document, KINDS)
        resource = api.resources.get(api_version=document["apiVersion"], kind=kind)
        where = {"namespace": document["metadata"].get("namespace", NAMESPACE)} if kind in _NAMESPACED else {}
        if where:
            document["metadata"]["namespace"] = where["namespace"]
        api.server_side_apply(
            resource,
            body=document,
            name=document["metadata"]["name"],
            field_manager="install",
            force_conflicts=True,
            **where,
        )
    definitions = client.ApiextensionsV1Api(new_client_from_config(str(cluster.kubeconfig)))
    name = "resiliencepolicies.resilience-operator.io"
    eventually(
        lambda: any(
            c.type == "Established" and c.status == "True"
            for c in definitions.read_custom_resource_definition(name).status.conditions or ()
        ),
        "the CRD is established",
    )
    eventually(lambda: _limited(cluster), "the admission policies are in force")


def add_kinds(policy: dict[str, Any], kinds: Mapping[str, str]) -> None:
    """Add resource names by kind to the admission policy for authors, as an administrator would."""
    (variable,) = (v for v in policy["spec"]["variables"] if v["name"] == "kinds")
    added = ", ".join(f"'{kind}': '{plural}'" for kind, plural in kinds.items())
    variable["expression"] = variable["expression"].removesuffix("}") + f", {added}}}"


def _limited(cluster: Cluster) -> bool:
    """Whether both admission policies are in force: the API server needs a moment to read them."""
    api = new_client_from_config(str(cluster.kubeconfig))
    rule = {"name": "tried", "when": {"signal": "cpu", "above": "70%"}, "then": [{"alert": {}}]}
    policy = {
        "apiVersion": "resilience-operator.io/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "tried"},
        "spec": {"targetRef": {"apiVersion": "example.com/v1", "kind": "Unknown", "name": "tried"}, "rules": [rule]},
    }
    custom = client.CustomObjectsApi(api)
    with suppress(ApiException):
        custom.create_namespaced_custom_object(
            "resilience-operator.io", "v1alpha1", "default", "resiliencepolicies", policy, dry_run="All"
        )
        return False
    return True


def operator_kubeconfig(cluster: Cluster, path: Path) -> Path:
    """A kubeconfig with the operator's own ServiceAccount, so that it runs under the shipped roles alone."""
    core = client.CoreV1Api(new_client_from_config(str(cluster.kubeconfig)))
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=TOKEN_SECONDS)
    )
    answer = core.create_namespaced_service_account_token(SERVICE_ACCOUNT, NAMESPACE, request)
    return write_kubeconfig(path, cluster.server, cluster.ca_file, token=answer.status.token)


def grant_lease(cluster: Cluster, namespace: str) -> None:
    """The role for the Lease, in another namespace, so that elections do not meet."""
    rbac = client.RbacAuthorizationV1Api(new_client_from_config(str(cluster.kubeconfig)))
    for document in documents():
        if document["kind"] in ("Role", "RoleBinding"):
            document["metadata"]["namespace"] = namespace
            for subject in document.get("subjects", ()):
                subject["namespace"] = NAMESPACE
            create = rbac.create_namespaced_role if document["kind"] == "Role" else rbac.create_namespaced_role_binding
            create(namespace, document)
