"""What applies a workload from git or a chart, by the marks that the tools leave on it."""

from __future__ import annotations

from typing import Any

import pytest

from resilience_operator.decision.model.target import DeliveredBy
from resilience_operator.kube.cache.delivery import delivered_by

ARGO, KUSTOMIZE, HELM = "argocd.argoproj.io", "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"


def of(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> DeliveredBy | None:
    meta: dict[str, Any] = {"namespace": "shop", "name": "checkout"}
    meta |= {"labels": labels} if labels else {}
    return delivered_by(meta | ({"annotations": annotations} if annotations else {}))


@pytest.mark.parametrize(
    ("labels", "annotations", "found"),
    [
        ({}, {}, None),
        ({"app.kubernetes.io/instance": "checkout"}, {}, None),
        ({}, {f"{ARGO}/tracking-id": "shop:apps/Deployment:shop/checkout"}, ("Application", "argocd", "shop")),
        ({}, {f"{ARGO}/tracking-id": "team-a_shop:apps/Deployment:shop/x"}, ("Application", "team-a", "shop")),
        ({f"{ARGO}/instance": "shop"}, {}, ("Application", "argocd", "shop")),
        ({}, {f"{ARGO}/tracking-id": ":apps/Deployment:shop/x"}, None),
        ({f"{KUSTOMIZE}/name": "apps", f"{KUSTOMIZE}/namespace": "flux"}, {}, ("Kustomization", "flux", "apps")),
        ({f"{KUSTOMIZE}/name": "apps"}, {}, ("Kustomization", "shop", "apps")),
        ({f"{HELM}/name": "shop", f"{HELM}/namespace": "flux"}, {}, ("HelmRelease", "flux", "shop")),
        ({}, {"meta.helm.sh/release-name": "shop"}, ("Helm release", "shop", "shop")),
        (
            {f"{HELM}/name": "shop", f"{HELM}/namespace": "flux"},
            {"meta.helm.sh/release-name": "other", "meta.helm.sh/release-namespace": "shop"},
            ("HelmRelease", "flux", "shop"),
        ),
    ],
)
def test_what_applies_it(labels: dict[str, str], annotations: dict[str, str], found: Any) -> None:
    assert of(labels, annotations) == found


def test_equal_names_are_one_object() -> None:
    labels = {f"{KUSTOMIZE}/name": "apps", f"{KUSTOMIZE}/namespace": "flux"}
    assert of(labels) is of(dict(labels))
