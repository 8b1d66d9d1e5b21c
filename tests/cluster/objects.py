"""The API objects a cluster starts with: what KWOK may do, and the nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.cluster.httpclient import Http
from tests.cluster.pki import KUBELET, KUBELET_CLIENT, KWOK, PROMETHEUS, PROXY, Identity

ZONES = ("a", "b", "c")
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"


def node(index: int) -> dict[str, Any]:
    """Return the manifest of the n-th simulated node; zones take turns, and each node has 65,000 pod addresses."""
    name = f"node-{index + 1}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/region": "local",
                "topology.kubernetes.io/zone": ZONES[index % len(ZONES)],
            },
        },
        "spec": {"podCIDR": f"10.{index}.0.0/16", "podCIDRs": [f"10.{index}.0.0/16"]},
    }


def kwok_permissions() -> list[tuple[str, dict[str, Any]]]:
    """Let KWOK do what kubelets do, on every node, and without waiting behind the clients under test."""
    metadata = {"name": KWOK.user}
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": KWOK.user}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": metadata,
        "rules": [
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["nodes/status", "pods/status"], "verbs": ["patch", "update"]},
            {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": ["get", "list", "watch", "create", "patch", "update"],
            },
        ],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": KWOK.user},
        "subjects": [subject],
    }
    flow = {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": "kwok"},
        "spec": {
            "priorityLevelConfiguration": {"name": "exempt"},
            "matchingPrecedence": 1000,
            "rules": [
                {
                    "subjects": [{"kind": "User", "user": {"name": KWOK.user}}],
                    "resourceRules": [
                        {
                            "apiGroups": ["*"],
                            "resources": ["*"],
                            "verbs": ["*"],
                            "clusterScope": True,
                            "namespaces": ["*"],
                        }
                    ],
                }
            ],
        },
    }
    return [(f"{_RBAC}/clusterroles", role), (f"{_RBAC}/clusterrolebindings", binding), (f"{_FLOW}/flowschemas", flow)]


def _bound(identity: Identity, role: str) -> dict[str, Any]:
    """A binding of one of the cluster's own roles."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"resilience-local:{identity.name}:{role.replace(':', '-')}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": identity.user}],
    }


def node_permissions() -> list[tuple[str, dict[str, Any]]]:
    """What the parts of a real node may, and whoever measures it: the roles that every cluster has for them."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": PROMETHEUS.user},
        "rules": [
            {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
        ],
    }
    bound = (
        (KUBELET, "system:node"),
        (KUBELET_CLIENT, "system:kubelet-api-admin"),
        (PROXY, "system:node-proxier"),
        (PROMETHEUS, PROMETHEUS.user),
    )
    bindings = [(f"{_RBAC}/clusterrolebindings", _bound(*pair)) for pair in bound]
    return [(f"{_RBAC}/clusterroles", role), *bindings]


def apply_objects(http: Http, server: str, nodes: int, permissions: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Create or mend the nodes, and the permissions of what serves them."""
    for collection, manifest in permissions:
        http.apply(server + collection, manifest)
    for index in range(nodes):
        http.apply(f"{server}/api/v1/nodes", node(index))


def unready(name: str, found: dict[str, Any]) -> str | None:
    """Say why a node takes no pods yet, or None."""
    conditions = found.get("status", {}).get("conditions", [])
    if not any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions):
        return f"{name} is not Ready"
    return f"{name} still has its taint" if found["spec"].get("taints") else None


def missing(http: Http, server: str, nodes: int, real: str | None = None) -> str | None:
    """Say what pods would still have to wait for, or None if they can be created and scheduled now.

    real: the name of a node that makes itself known.
    """
    answered = {item["metadata"]["name"]: item for item in http.get(f"{server}/api/v1/nodes")["items"]}
    if real is not None and (lacking := unready(real, answered.get(real, {}))) is not None:
        return lacking
    for index in range(nodes):
        name = node(index)["metadata"]["name"]
        if (lacking := unready(name, answered.get(name, {}))) is not None:
            return lacking
    for kind, name in (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")):
        if not http.found(f"{server}/api/v1/namespaces/default/{kind}/{name}"):
            return f"{kind}/{name} is not in the default namespace"
    return None
