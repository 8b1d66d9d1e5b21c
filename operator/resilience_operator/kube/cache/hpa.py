"""HorizontalPodAutoscalers: projected to the fields that the operator needs to work beside one."""

from __future__ import annotations

import logging
import re
import sys
from dataclasses import dataclass

from resilience_operator.decision.model.target import MANAGER, HorizontalPodAutoscaler
from resilience_operator.kube.cache.workloads import MOST_REPLICAS, Obj, manager_of
from resilience_operator.kube.writes.field_ownership import MIN_REPLICAS, owns_size

log = logging.getLogger(__name__)

ORIGINAL_MIN = "resilience-operator.io/original-min-replicas"
"""The annotation that stores the `minReplicas` from before the operator raised it."""

_NUMBER_OF_PODS = re.compile(r"[0-9]{1,10}")

TargetKey = tuple[str, str, str]
"""kind, namespace, name. The kind is that of `kind_key`."""


def kind_key(api_version: str, kind: str) -> str:
    """Return the kind part of a TargetKey. Kinds outside `apps` carry their group, since names may repeat."""
    group = api_version.rpartition("/")[0]
    return kind if group == "apps" else f"{kind}.{group}"


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """An HPA and the workload that it scales. bad_mark: its annotation ORIGINAL_MIN exists and is invalid.

    owns_minimum: this operator owns `minReplicas` and gives it up, since somebody applies the HPA server-side.
    """

    target: TargetKey
    hpa: HorizontalPodAutoscaler
    bad_mark: bool = False
    owns_minimum: bool = False


def project_autoscaler(obj: Obj, old: Autoscaler | None = None) -> Autoscaler:
    """Project an HPA to a record."""
    meta, spec = obj["metadata"], obj["spec"]
    ref = spec["scaleTargetRef"]
    original = original_min(obj)
    scaled_object = _scaled_object(obj)
    bad_mark = original is None and ORIGINAL_MIN in (meta.get("annotations") or {})
    if bad_mark and (old is None or not old.bad_mark):
        log.warning(
            "HorizontalPodAutoscaler %s/%s: annotation %s is no number of pods and is ignored: correct or remove it",
            meta["namespace"],
            meta["name"],
            ORIGINAL_MIN,
        )
    return Autoscaler(
        target=(
            sys.intern(kind_key(str(ref.get("apiVersion", "apps/v1")), ref["kind"])),
            sys.intern(meta["namespace"]),
            ref["name"],
        ),
        hpa=HorizontalPodAutoscaler(
            name=meta["name"],
            resource_version=meta["resourceVersion"],
            min_replicas=min_replicas(obj),
            max_replicas=int(spec["maxReplicas"]),
            original_min=original,
            owner="KEDA" if scaled_object else "",
            min_by=min_replicas_by(obj),
            scaled_object=scaled_object,
        ),
        bad_mark=bad_mark,
        owns_minimum=owns_size(meta.get("managedFields"), MIN_REPLICAS),
    )


def min_replicas(obj: Obj) -> int:
    """`spec.minReplicas`, which the API defaults to 1."""
    value = obj["spec"].get("minReplicas")
    return 1 if value is None else int(value)


def original_min(obj: Obj) -> int | None:
    """The value of the annotation; None if it is missing or not a valid number of pods, since anyone may write it."""
    text = (obj["metadata"].get("annotations") or {}).get(ORIGINAL_MIN)
    if not isinstance(text, str) or not _NUMBER_OF_PODS.fullmatch(text):
        return None
    value = int(text)
    return value if value <= MOST_REPLICAS else None


def min_replicas_by(obj: Obj) -> str:
    """The field manager that last wrote `spec.minReplicas`; empty if unknown.

    An `Apply` of the same value only adds an owner: while this operator owns the field, the value is its own.
    """
    latest = ("", "")
    for entry in obj["metadata"].get("managedFields") or ():
        spec = (entry.get("fieldsV1") or {}).get("f:spec")
        if isinstance(spec, dict) and "f:minReplicas" in spec:
            manager = manager_of(entry)
            if manager == MANAGER:
                return manager
            latest = max(latest, (str(entry.get("time") or ""), manager))
    return latest[1]


def _scaled_object(obj: Obj) -> str:
    """The ScaledObject of KEDA that the HPA belongs to, and that overwrites changes to it; empty if there is none."""
    meta = obj["metadata"]
    for owner in meta.get("ownerReferences") or ():
        if owner.get("kind") == "ScaledObject":
            return str(owner.get("name") or meta["name"])
    return str((meta.get("labels") or {}).get("scaledobject.keda.sh/name") or "")
