"""The kube-state-metrics series of pods, ReplicaSets and Deployments that queries about workloads join with.

They come from the API alone and follow no load and no fault. Names and labels:
https://github.com/kubernetes/kube-state-metrics/tree/main/docs/metrics/workload (pod-, replicaset- and
deployment-metrics.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from .engine import PodState
from .objects import Deployment, ReplicaSet

HELP: Mapping[str, tuple[str, str]] = {
    "kube_pod_info": ("gauge", "Information about pod."),
    "kube_pod_owner": ("gauge", "Information about the Pod's owner."),
    "kube_pod_status_phase": ("gauge", "The pods current phase."),
    "kube_pod_status_ready": ("gauge", "Describes whether the pod is ready to serve requests."),
    "kube_pod_container_resource_requests": (
        "gauge",
        "The number of requested request resource by a container.",
    ),
    "kube_pod_container_resource_limits": ("gauge", "The number of requested limit resource by a container."),
    "kube_replicaset_owner": ("gauge", "Information about the ReplicaSet's owner."),
    "kube_deployment_spec_replicas": ("gauge", "Number of desired pods for a deployment."),
    "kube_deployment_spec_paused": ("gauge", "Whether the deployment is paused."),
    "kube_deployment_status_replicas": ("gauge", "The number of replicas per deployment."),
    "kube_deployment_status_replicas_ready": ("gauge", "The number of ready replicas per deployment."),
    "kube_deployment_status_replicas_available": (
        "gauge",
        "The number of available replicas per deployment.",
    ),
    "kube_deployment_status_replicas_updated": ("gauge", "The number of updated replicas per deployment."),
    "kube_deployment_status_replicas_unavailable": (
        "gauge",
        "The number of unavailable replicas per deployment.",
    ),
    "kube_deployment_metadata_generation": ("gauge", "The generation the deployment's spec is at."),
    "kube_deployment_status_observed_generation": (
        "gauge",
        "The generation observed by the deployment controller.",
    ),
}

_PHASES = ("Pending", "Succeeded", "Failed", "Unknown", "Running")

Labeller = Callable[[Mapping[str, str]], str]


def pod_lines(state: PodState, label_text: Labeller) -> Iterator[tuple[str, str]]:
    """(metric, lines) of one pod; prepared once for each version of the pod object."""
    texts = state.texts
    if ("kube_pod_info", "state") not in texts:
        gathered: dict[str, list[str]] = {}
        for metric, labels, value in _pod_series(state):
            # No number is filled in later, so an escaped percent sign goes back to one.
            text = f"{metric}{{{label_text(labels)}}} {value:g}\n".replace("%%", "%")
            gathered.setdefault(metric, []).append(text)
        texts.update({(metric, "state"): "".join(lines) for metric, lines in gathered.items()})
    for metric in HELP:
        prepared = texts.get((metric, "state"))
        if prepared is not None:
            yield metric, prepared


def _pod_series(state: PodState) -> Iterator[tuple[str, dict[str, str], float]]:
    pod = state.pod
    who = {"namespace": pod.namespace, "pod": pod.name, "uid": pod.uid}
    yield (
        "kube_pod_info",
        {
            **who,
            "host_ip": pod.host_ip,
            "pod_ip": pod.pod_ip,
            "node": pod.node,
            "created_by_kind": pod.owner.kind,
            "created_by_name": pod.owner.name,
            "priority_class": pod.priority_class,
            "host_network": str(pod.host_network).lower(),
        },
        1,
    )
    owned = {"owner_kind": pod.owner.kind, "owner_name": pod.owner.name}
    yield "kube_pod_owner", {**who, **owned, "owner_is_controller": "true" if pod.owner.name else ""}, 1
    for phase in _PHASES:
        yield "kube_pod_status_phase", {**who, "phase": phase}, pod.phase == phase
    for condition in ("true", "false", "unknown"):
        yield "kube_pod_status_ready", {**who, "condition": condition}, condition == str(pod.ready).lower()
    for container in pod.containers:
        of = {**who, "container": container.name, "node": pod.node, "resource": "cpu", "unit": "core"}
        if container.cpu_request is not None:
            yield "kube_pod_container_resource_requests", of, container.cpu_request
        if container.cpu_limit is not None:
            yield "kube_pod_container_resource_limits", of, container.cpu_limit


def object_lines(
    deployments: Iterable[Deployment], replica_sets: Iterable[ReplicaSet], label_text: Labeller
) -> Iterator[tuple[str, str]]:
    """(metric, line) of Deployments and ReplicaSets."""
    for replica_set in replica_sets:
        labels = {
            "namespace": replica_set.namespace,
            "replicaset": replica_set.name,
            "owner_kind": replica_set.owner.kind,
            "owner_name": replica_set.owner.name,
            "owner_is_controller": "true" if replica_set.owner.name else "",
        }
        yield "kube_replicaset_owner", f"kube_replicaset_owner{{{label_text(labels)}}} 1\n"
    for deployment in deployments:
        who = label_text({"namespace": deployment.namespace, "deployment": deployment.name})
        for metric, value in (
            ("kube_deployment_spec_replicas", deployment.spec_replicas),
            ("kube_deployment_spec_paused", int(deployment.paused)),
            ("kube_deployment_status_replicas", deployment.replicas),
            ("kube_deployment_status_replicas_ready", deployment.ready),
            ("kube_deployment_status_replicas_available", deployment.available),
            ("kube_deployment_status_replicas_updated", deployment.updated),
            ("kube_deployment_status_replicas_unavailable", deployment.unavailable),
            ("kube_deployment_metadata_generation", deployment.generation),
            ("kube_deployment_status_observed_generation", deployment.observed_generation),
        ):
            yield metric, f"{metric}{{{who}}} {value}\n"
