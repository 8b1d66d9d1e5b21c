"""Finds what applies a workload from git or a chart: an Argo CD Application, a Flux Kustomization or HelmRelease.

| tool | where it leaves its name |
|---|---|
| Argo CD | annotation `argocd.argoproj.io/tracking-id`, or label `argocd.argoproj.io/instance` |
| Flux, kustomize-controller | labels `kustomize.toolkit.fluxcd.io/name` and `/namespace` |
| Flux, helm-controller | labels `helm.toolkit.fluxcd.io/name` and `/namespace` |
| Helm | annotations `meta.helm.sh/release-name` and `release-namespace` |

The label `app.kubernetes.io/instance` is not read: charts set it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from resilience_operator.decision.model.target import DeliveredBy

ARGO_CD, KUSTOMIZE, HELM_CONTROLLER, HELM = "Application", "Kustomization", "HelmRelease", "Helm release"

ARGO_NAMESPACE = "argocd"
"""Namespace of an Application whose tracking id does not say it."""

_TRACKING_ID = "argocd.argoproj.io/tracking-id"
_INSTANCE = "argocd.argoproj.io/instance"
_FLUX = ((KUSTOMIZE, "kustomize.toolkit.fluxcd.io"), (HELM_CONTROLLER, "helm.toolkit.fluxcd.io"))
_HELM = "meta.helm.sh/release"


def delivered_by(meta: Mapping[str, Any]) -> DeliveredBy | None:
    """Return what applies the object with this metadata, or None. Equal values are the same object."""
    annotations, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    tracking = annotations.get(_TRACKING_ID)
    if tracking or _INSTANCE in labels:
        # `NAME:GROUP/KIND:NAMESPACE/NAME`. An Application outside Argo CD's own namespace is `NAMESPACE_NAME`.
        instance = str(tracking).partition(":")[0] if tracking else str(labels[_INSTANCE])
        namespace, _, name = instance.rpartition("_")
        return _named(ARGO_CD, namespace or ARGO_NAMESPACE, name)
    for kind, prefix in _FLUX:
        if f"{prefix}/name" in labels:
            return _named(
                kind, str(labels.get(f"{prefix}/namespace") or meta["namespace"]), str(labels[f"{prefix}/name"])
            )
    if f"{_HELM}-name" in annotations:
        where = str(annotations.get(f"{_HELM}-namespace") or meta["namespace"])
        return _named(HELM, where, str(annotations[f"{_HELM}-name"]))
    return None


@lru_cache(maxsize=4096)
def _named(kind: str, namespace: str, name: str) -> DeliveredBy | None:
    return DeliveredBy(kind, namespace, name) if name else None
