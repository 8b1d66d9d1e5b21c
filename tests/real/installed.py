"""The operator, installed on a real node as people install it, in its own image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client
from kubernetes.config import new_client_from_config

from tests.cluster import Cluster
from tests.cluster.settings import ROOT
from tests.real.images import operator_image
from tests.support.clients import call
from tests.support.waiting import eventually

NAMESPACE = "resilience-system"
SELECTOR = "app.kubernetes.io/component=operator"
BASE = ROOT / "manifests" / "base"
CHART = ROOT / "manifests" / "helm" / "resilience-operator"
SHIPPED = "ghcr.io/resilience-operator/resilience-operator"


def with_kubectl(cluster: Cluster, folder: Path, **changed: object) -> None:
    """`kubectl apply -k` of the shipped base, with this image and Prometheus; changed: fields of its configuration."""
    name, tag = operator_image().rsplit(":", 1)
    config = yaml.safe_load((BASE / "config.yaml").read_text())
    config = {**config, **changed}
    config["sources"][0]["url"] = cluster.prometheus_url
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": [os.path.relpath(BASE, folder.resolve())],
                "namespace": NAMESPACE,
                "images": [{"name": SHIPPED, "newName": name, "newTag": tag}],
                "configMapGenerator": [
                    {"name": "resilience-operator-config", "behavior": "replace", "files": ["config.yaml"]}
                ],
            }
        )
    )
    call("kubectl", "apply", "--server-side", "--force-conflicts", "-k", str(folder), kubeconfig=cluster.kubeconfig)
    until_ready(cluster)


def with_helm(cluster: Cluster) -> None:
    """`helm install` of the shipped chart, with this image and this Prometheus."""
    name, tag = operator_image().rsplit(":", 1)
    sources = f'config.sources=[{{"name":"default","url":"{cluster.prometheus_url}"}}]'
    call(
        "helm",
        "install",
        "resilience-operator",
        str(CHART),
        f"--namespace={NAMESPACE}",
        "--create-namespace",
        f"--set=image.repository={name},image.tag={tag}",
        f"--set-json={sources}",
        "--wait",
        kubeconfig=cluster.kubeconfig,
    )
    until_ready(cluster)


def pods(cluster: Cluster) -> list[Any]:
    """The operator's pods that are not on their way out."""
    core = client.CoreV1Api(new_client_from_config(str(cluster.kubeconfig)))
    found = core.list_namespaced_pod(NAMESPACE, label_selector=SELECTOR).items
    return [pod for pod in found if pod.metadata.deletion_timestamp is None]


def until_ready(cluster: Cluster, replicas: int = 2) -> None:
    """Wait until so many pods of the operator are ready."""

    def ready() -> bool:
        found = pods(cluster)
        image = operator_image()
        return (
            len(found) == replicas
            and all(pod.spec.containers[0].image == image for pod in found)
            and all(any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ()) for pod in found)
        )

    eventually(ready, "the operator's pods are ready", last=lambda: [p.status.to_dict() for p in pods(cluster)])


def leader(cluster: Cluster) -> str:
    """The name of the pod that leads; empty while none does."""
    leases = client.CoordinationV1Api(new_client_from_config(str(cluster.kubeconfig)))
    holder = leases.read_namespaced_lease("leader.resilience-operator.io", NAMESPACE).spec.holder_identity or ""
    return next((pod.metadata.name for pod in pods(cluster) if holder.startswith(pod.metadata.name)), "")
