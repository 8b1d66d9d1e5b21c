"""The objects: Deployments with a ReplicaSet each, as their controller would leave them, and policies. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.world import GROUP, VERSION

Obj = dict[str, Any]

NAMESPACES = 50
CUSTOM_NAMESPACE = "scale-custom"
"""Where the Deployments are whose policies ask questions of their own."""

CALM, CRAZY = 0.03, 10.0
"""Cores. A pod asks for 0.1. The second is so much that the first scrape after the step proves it."""


@dataclass(frozen=True, slots=True)
class Member:
    """One Deployment of one pod, by its number."""

    number: int
    namespace: str
    name: str

    @property
    def replica_set(self) -> str:
        """Its only ReplicaSet."""
        return f"{self.name}-{self.label}"

    @property
    def label(self) -> str:
        """The pod template's hash, as the controller would make one."""
        return f"7c9f{self.number:06d}"

    @property
    def pod(self) -> str:
        """Its only pod."""
        return f"{self.replica_set}-x{self.number % 10000:04d}"

    @property
    def path(self) -> str:
        """The Deployment's, in the API."""
        return f"{deployments(self.namespace)}/{self.name}"

    @property
    def replica_set_path(self) -> str:
        """The ReplicaSet's, in the API."""
        return f"{replica_sets(self.namespace)}/{self.replica_set}"

    @property
    def policy_path(self) -> str:
        """The policy's, in the API."""
        return f"{policies(self.namespace)}/{self.name}"


def members(count: int) -> list[Member]:
    """The crowd, over all namespaces."""
    return [Member(n, f"scale-{n % NAMESPACES:02d}", f"app-{n:05d}") for n in range(count)]


def asking(count: int, first: int) -> list[Member]:
    """Those whose policies bring queries of their own; numbered from `first`."""
    return [Member(n, CUSTOM_NAMESPACE, f"app-{n:05d}") for n in range(first, first + count)]


def namespaces() -> list[str]:
    """All that are needed."""
    return [CUSTOM_NAMESPACE, *(f"scale-{n:02d}" for n in range(NAMESPACES))]


def deployments(namespace: str) -> str:
    """The collection's path."""
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


def replica_sets(namespace: str) -> str:
    """The collection's path."""
    return f"/apis/apps/v1/namespaces/{namespace}/replicasets"


def policies(namespace: str) -> str:
    """The collection's path."""
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/resiliencepolicies"


def _template(member: Member, **labels: str) -> Obj:
    container = {
        "name": "app",
        "image": f"scale/{member.name}:1.0",
        "resources": {"requests": {"cpu": "100m", "memory": "32Mi"}},
    }
    return {"metadata": {"labels": {"app": member.name, **labels}}, "spec": {"containers": [container]}}


def deployment(member: Member) -> Obj:
    """As a person would apply it."""
    return {
        "metadata": {"name": member.name, "labels": {"member": str(member.number)}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": member.name}},
            "template": _template(member),
        },
    }


def replica_set(member: Member, owner: Obj) -> Obj:
    """As the controller would make it for Deployment `owner`."""
    hashed = {"pod-template-hash": member.label}
    return {
        "metadata": {
            "name": member.replica_set,
            "labels": {"app": member.name, **hashed},
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": member.name,
                    "uid": owner["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "replicas": owner["spec"]["replicas"],
            "selector": {"matchLabels": {"app": member.name, **hashed}},
            "template": _template(member, **hashed),
        },
    }


def deployment_status(owner: Obj) -> Obj:
    """All pods that are asked for run and are ready."""
    pods = owner["spec"]["replicas"]
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), pods)
    return {"status": {"observedGeneration": owner["metadata"]["generation"], **counts}}


def replica_set_status(pods: int, generation: int) -> Obj:
    """The same, for the ReplicaSet."""
    counts = dict.fromkeys(("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"), pods)
    return {"status": {"observedGeneration": generation, **counts}}


def policy(member: Member, interval: float, window: str) -> Obj:
    """Three preset signals and three rules: the founding ones, without their holds, so that one look is enough."""
    signals: list[Obj] = [
        {"name": "cpu", "preset": "cpu", "window": window},
        {"name": "latency-p99", "preset": "latency-p99", "window": window, "minSamples": 20},
        {"name": "error-rate", "preset": "error-rate", "window": window, "minSamples": 20},
    ]
    rules: list[Obj] = [
        {"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": [{"scaleUp": {"pods": 1}}]},
        {
            "name": "slow",
            "when": {"signal": "latency-p99", "above": "2s"},
            "then": [{"alert": {}}, {"scaleUp": {"pods": 1}}],
        },
        {
            "name": "failing",
            "when": {"signal": "error-rate", "above": "5%"},
            "then": [{"pauseRollout": {}}, {"rollback": {"after": "5s"}}],
        },
    ]
    return _policy(member, interval, signals, rules)


def asking_policy(member: Member, interval: float, window: str) -> Obj:
    """Two queries of its own, which no other policy shares."""
    pod = '{namespace="{{namespace}}", pod=~"{{pods}}"}'
    signals: list[Obj] = [
        {"name": "busy", "query": f"sum(rate(container_cpu_usage_seconds_total{pod}[{{{{window}}}}]))"},
        {"name": "served", "query": f"sum(rate(http_requests_total{pod}[{{{{window}}}}]))"},
    ]
    for signal in signals:
        signal |= {"window": window, "unit": "number"}
    rules: list[Obj] = [
        {"name": name, "when": {"signal": name, "above": above}, "then": [{"scaleUp": {"pods": 1}}]}
        for name, above in (("busy", 5), ("served", 5000))
    ]
    return _policy(member, interval, signals, rules)


def _policy(member: Member, interval: float, signals: list[Obj], rules: list[Obj]) -> Obj:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "ResiliencePolicy",
        "metadata": {"name": member.name},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": member.name},
            "interval": f"{interval:g}s",
            "replicas": {"min": 1, "max": 5},
            "release": {"bake": "5s"},
            "scaleDown": {"enabled": False},
            "signals": signals,
            "rules": rules,
        },
    }
