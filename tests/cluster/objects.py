"""The API objects a cluster starts with: what KWOK may do, and the nodes."""

from __future__ import annotations

from typing import Any

from tests.cluster.httpclient import Http
from tests.cluster.pki import KWOK

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


def apply_objects(http: Http, server: str, nodes: int, *, permissions: bool) -> None:
    """Create or mend the nodes, and KWOK's permissions where it is a user of its own."""
    for collection, manifest in kwok_permissions() if permissions else []:
        http.apply(server + collection, manifest)
    for index in range(nodes):
        http.apply(f"{server}/api/v1/nodes", node(index))


def missing(http: Http, server: str, nodes: int) -> str | None:
    """Say what pods would still have to wait for, or None if they can be created and scheduled now."""
    answered = {item["metadata"]["name"]: item for item in http.get(f"{server}/api/v1/nodes")["items"]}
    for index in range(nodes):
        name = node(index)["metadata"]["name"]
        found = answered.get(name, {})
        conditions = found.get("status", {}).get("conditions", [])
        if not any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions):
            return f"{name} is not Ready"
        if found["spec"].get("taints"):
            return f"{name} still has its taint"
    for kind, name in (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")):
        if not http.found(f"{server}/api/v1/namespaces/default/{kind}/{name}"):
            return f"{kind}/{name} is not in the default namespace"
    return None
