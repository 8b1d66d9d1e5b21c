"""Display names of field managers, and which of them indicate a manual change."""

from __future__ import annotations

import re

from resilience_operator.api.text import one_line

_NAMES = (
    ("argocd", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("flux", "Flux"),
    ("keda", "KEDA"),
    ("helm", "Helm"),
    ("kubectl", "kubectl"),
    ("horizontal-pod-autoscaler", "the HorizontalPodAutoscaler"),
    ("kube-controller-manager", "the controller manager"),
    ("terraform", "Terraform"),
)
_PLAIN = re.compile(r"[a-zA-Z0-9_-]+")
_BY_HAND = ("kubectl-rollout", "kubectl-edit")


def display_name(manager: str) -> str:
    """Return the display name of a field manager, like `Argo CD (argocd-controller)`; `someone` if it is empty.

    Clients choose the name freely. Unless it is known, it is quoted as code, so that it cannot be mistaken for text of
    the operator.
    """
    if not manager:
        return "someone"
    quoted = f"`{_quotable(manager)}`"
    for prefix, name in _NAMES:
        if manager.lower().startswith(prefix):
            shown = manager if _PLAIN.fullmatch(manager) else quoted
            return name if name.lower() == manager.lower() else f"{name} ({shown})"
    return quoted


def _quotable(manager: str) -> str:
    return one_line(manager).replace("`", "'")


def is_manual(manager: str) -> bool:
    """Return whether a change was made manually and not by a pipeline.

    `kubectl apply` may be either, so it does not count as manual; an undo or an edit always does.
    """
    return manager.startswith(_BY_HAND)
