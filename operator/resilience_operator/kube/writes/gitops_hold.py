"""Suspends the reconciliation of one object by Flux, in Flux's own way, and resumes it.

| applied by | annotation | what Flux does with the object |
|---|---|---|
| Kustomization | `kustomize.toolkit.fluxcd.io/reconcile: disabled` | applies and prunes nothing of it |
| HelmRelease | `helm.toolkit.fluxcd.io/driftDetection: disabled` | corrects no drift; an upgrade still applies it |

https://fluxcd.io/flux/components/kustomize/kustomizations/#controlling-the-apply-behavior-of-resources
https://fluxcd.io/flux/components/helm/helmreleases/#drift-detection

Argo CD has no setting on a live object that keeps it from being applied (docs/adr).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resilience_operator.decision.model.target import MANAGER, DeliveredBy
from resilience_operator.kube.cache.delivery import HELM_CONTROLLER, KUSTOMIZE
from resilience_operator.kube.writes.json_patch import ANNOTATIONS, Ops, annotation_path, remove_op, set_op, test_op

HOLD = "resilience-operator.io/gitops-hold"
"""The annotation that marks a hold: the owner's annotation, `=`, and its value from before. On a workload, this is
followed by `;KIND/NAME` for each object of its configuration that is held with it."""

DISABLED = "disabled"

SWITCHES: Mapping[str, str] = {
    KUSTOMIZE: "kustomize.toolkit.fluxcd.io/reconcile",
    HELM_CONTROLLER: "helm.toolkit.fluxcd.io/driftDetection",
}
"""The annotation of each kind of owner that suspends one object."""

Meta = Mapping[str, Any]


def is_held(meta: Meta) -> bool:
    """Whether the object has the operator's mark."""
    return HOLD in (meta.get("annotations") or ())


def is_disabled(meta: Meta, owner: DeliveredBy | None) -> bool:
    """Whether somebody has suspended the reconciliation of the object. Flux reads labels and annotations."""
    switch = SWITCHES.get(owner.kind) if owner is not None else None
    if switch is None:
        return False
    both = (meta.get("annotations") or {}, meta.get("labels") or {})
    return any(str(found.get(switch, "")).lower() == DISABLED for found in both)


def hold_ops(meta: Meta, owner: DeliveredBy, configuration: Sequence[str] = ()) -> Ops:
    """The patch that suspends the reconciliation; empty if it is already suspended, by whomever.

    configuration: the objects that are held with a workload, as `Reference.key`.
    """
    switch = SWITCHES[owner.kind]
    annotations = meta.get("annotations") or {}
    if is_disabled(meta, owner):
        return _marked_again(annotations, configuration)
    before = annotations.get(switch)
    # A mark without the annotation is that of an earlier hold, which somebody has ended.
    mark = ";".join([f"{switch}={before or ''}", *configuration])
    if not annotations:
        return [set_op(ANNOTATIONS, {switch: DISABLED, HOLD: mark})]
    path = annotation_path(switch)
    return [test_op(path, before), set_op(path, DISABLED), set_op(annotation_path(HOLD), mark)]


def hold_annotations(owner: DeliveredBy | None) -> dict[str, str]:
    """The annotations of a new object whose reconciliation is suspended; none without an owner."""
    if owner is None:
        return {}
    switch = SWITCHES[owner.kind]
    return {switch: DISABLED, HOLD: f"{switch}="}


def _marked_again(annotations: Meta, configuration: Sequence[str]) -> Ops:
    """The patch that adds objects to the operator's own mark; empty if they are in it, or if there is none."""
    mark = annotations.get(HOLD)
    more = [key for key in configuration if key not in held_configuration({"annotations": annotations})]
    if mark is None or not more:
        return []
    return [test_op(annotation_path(HOLD), mark), set_op(annotation_path(HOLD), ";".join([str(mark), *more]))]


def held_configuration(meta: Meta) -> tuple[str, ...]:
    """The objects that are held with a workload, as `Reference.key`."""
    mark = str((meta.get("annotations") or {}).get(HOLD, ""))
    return tuple(key for key in mark.split(";")[1:] if "/" in key)


def lift_ops(meta: Meta) -> Ops:
    """The patch that ends the operator's hold. What somebody else suspended too stays suspended."""
    annotations = meta.get("annotations") or {}
    switch, _, before = str(annotations[HOLD]).partition(";")[0].partition("=")
    ops = [test_op(annotation_path(HOLD), annotations[HOLD]), remove_op(annotation_path(HOLD))]
    if switch not in SWITCHES.values() or annotations.get(switch) != DISABLED or _has_another_owner(meta, switch):
        return ops
    path = annotation_path(switch)
    return [*ops, test_op(path, DISABLED), set_op(path, before) if before else remove_op(path)]


def _has_another_owner(meta: Meta, annotation: str) -> bool:
    """Whether another field manager owns the annotation: it set the same value."""
    for entry in meta.get("managedFields") or ():
        fields = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {}
        if f"f:{annotation}" in fields and entry.get("manager") != MANAGER:
            return True
    return False
