"""The few fields of pods, ReplicaSets and Deployments that the model needs, read from the API's JSON. Pure.

Read from JSON rather than from the client's typed models: those cost more than all the rest of this
process together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Json = Mapping[str, Any]

_SUFFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6}


def cores(quantity: str | float | None) -> float | None:
    """A CPU quantity (`100m`, `2`, `0.5`) in cores, None when not given."""
    if quantity is None:
        return None
    text = str(quantity)
    factor = _SUFFIXES.get(text[-1:])
    return float(text) if factor is None else float(text[:-1]) * factor


class Key(NamedTuple):
    """A workload by namespace and name."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Owner:
    """A controlling owner reference; empty strings when there is none."""

    kind: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """One container; CPU request and limit in cores."""

    name: str
    image: str
    cpu_request: float | None
    cpu_limit: float | None


@dataclass(frozen=True, slots=True)
class Pod:
    """What the model knows of a pod."""

    uid: str
    namespace: str
    name: str
    node: str
    pod_ip: str
    host_ip: str
    phase: str
    ready: bool
    terminating: bool
    host_network: bool
    priority_class: str
    version: str
    owner: Owner
    template_hash: str
    containers: tuple[Container, ...]

    @property
    def serving(self) -> bool:
        """Whether a Service would send it requests."""
        return self.ready and not self.terminating and self.phase == "Running"

    @property
    def image(self) -> str:
        """The image whose behaviour the pod has: its first container's."""
        return self.containers[0].image if self.containers else ""


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """What kube-state-metrics tells of a ReplicaSet here."""

    namespace: str
    name: str
    owner: Owner


@dataclass(frozen=True, slots=True)
class Deployment:
    """What kube-state-metrics tells of a Deployment here."""

    namespace: str
    name: str
    spec_replicas: int
    replicas: int
    ready: int
    available: int
    updated: int
    unavailable: int
    paused: bool
    generation: int
    observed_generation: int


def controller(metadata: Json) -> Owner:
    """The owner that controls the object."""
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            return Owner(reference["kind"], reference["name"])
    return Owner()


def pod(raw: Json) -> Pod:
    """Read a pod; a pod without status (just created) is Pending and not ready."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels = metadata.get("labels") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    return Pod(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        node=spec.get("nodeName") or "",
        pod_ip=status.get("podIP") or "",
        host_ip=status.get("hostIP") or "",
        phase=status.get("phase") or "Pending",
        ready=conditions.get("Ready") == "True",
        terminating="deletionTimestamp" in metadata,
        host_network=bool(spec.get("hostNetwork")),
        priority_class=spec.get("priorityClassName") or "",
        version=labels.get("app.kubernetes.io/version") or labels.get("version") or "unknown",
        owner=controller(metadata),
        template_hash=labels.get("pod-template-hash") or "",
        containers=tuple(_container(c) for c in spec.get("containers") or ()),
    )


def _container(raw: Json) -> Container:
    resources = raw.get("resources") or {}
    return Container(
        name=raw["name"],
        image=raw.get("image") or "",
        cpu_request=cores((resources.get("requests") or {}).get("cpu")),
        cpu_limit=cores((resources.get("limits") or {}).get("cpu")),
    )


def replica_set(raw: Json) -> ReplicaSet:
    """Read a ReplicaSet."""
    metadata = raw["metadata"]
    return ReplicaSet(metadata["namespace"], metadata["name"], controller(metadata))


def deployment(raw: Json) -> Deployment:
    """Read a Deployment; the API leaves out counts that are zero."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    return Deployment(
        namespace=metadata["namespace"],
        name=metadata["name"],
        spec_replicas=spec.get("replicas", 1),
        replicas=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        available=status.get("availableReplicas", 0),
        updated=status.get("updatedReplicas", 0),
        unavailable=status.get("unavailableReplicas", 0),
        paused=bool(spec.get("paused")),
        generation=metadata.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
    )


def workload_of(pod: Pod, owner_of_replica_set: Owner | None) -> Owner:
    """The workload that a pod belongs to: its Deployment, else its controller, else the pod itself.

    The ReplicaSet may not have been seen yet (its watch is another one), so its name less the template's
    hash stands in.
    """
    if pod.owner.kind == "ReplicaSet":
        if owner_of_replica_set is not None and owner_of_replica_set.name:
            return owner_of_replica_set
        suffix = f"-{pod.template_hash}"
        if pod.template_hash and pod.owner.name.endswith(suffix):
            return Owner("Deployment", pod.owner.name.removesuffix(suffix))
    return pod.owner if pod.owner.name else Owner("Pod", pod.name)
