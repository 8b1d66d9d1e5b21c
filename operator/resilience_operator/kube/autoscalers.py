"""HorizontalPodAutoscalers: trimmed to what living beside one needs."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from resilience_operator.decision.model.target import HorizontalPodAutoscaler
from resilience_operator.kube.workloads import Obj

ORIGINAL_MIN = "resilience-operator.io/original-min-replicas"
"""The annotation that keeps `minReplicas` as it was before it was raised."""

TargetKey = tuple[str, str, str]
"""kind, namespace, name."""


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """An HPA and the workload that it scales."""

    target: TargetKey
    hpa: HorizontalPodAutoscaler


def trim_autoscaler(obj: Obj, old: Autoscaler | None = None) -> Autoscaler | None:
    """What is kept of an HPA; None when it scales no workload of the `apps` group."""
    del old  # nothing here is costly enough to take over
    meta, spec = obj["metadata"], obj["spec"]
    ref = spec["scaleTargetRef"]
    if not str(ref.get("apiVersion", "apps/v1")).startswith("apps/"):
        return None
    return Autoscaler(
        target=(sys.intern(ref["kind"]), sys.intern(meta["namespace"]), ref["name"]),
        hpa=HorizontalPodAutoscaler(
            name=meta["name"],
            resource_version=meta["resourceVersion"],
            min_replicas=min_replicas(obj),
            max_replicas=int(spec["maxReplicas"]),
            original_min=original_min(obj),
            owner=_owner(obj),
        ),
    )


def min_replicas(obj: Obj) -> int:
    """`spec.minReplicas`, which the API defaults to 1."""
    value = obj["spec"].get("minReplicas")
    return 1 if value is None else int(value)


def original_min(obj: Obj) -> int | None:
    """What the annotation keeps; None when there is none, or a person made it unreadable."""
    text = (obj["metadata"].get("annotations") or {}).get(ORIGINAL_MIN)
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else None


def _owner(obj: Obj) -> str:
    """Who manages the HPA and would write over what another changes in it."""
    meta = obj["metadata"]
    if any(owner.get("kind") == "ScaledObject" for owner in meta.get("ownerReferences") or ()):
        return "KEDA"
    return "KEDA" if "scaledobject.keda.sh/name" in (meta.get("labels") or {}) else ""
