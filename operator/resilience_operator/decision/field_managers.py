"""Who did it: field managers, in the words that people use."""

from __future__ import annotations

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
_BY_HAND = ("kubectl-rollout", "kubectl-edit")


def display_name(manager: str) -> str:
    """A field manager as people call it: `Argo CD (argocd-controller)`; `somebody` when it is not known."""
    if not manager:
        return "somebody"
    for prefix, name in _NAMES:
        if manager.lower().startswith(prefix):
            return name if name.lower() == manager.lower() else f"{name} ({manager})"
    return manager


def is_manual(manager: str) -> bool:
    """Whether a change comes from a person at a terminal, not from a pipeline.

    `kubectl apply` may be either, so it does not count as a person; an undo or an edit can only be one.
    """
    return manager.startswith(_BY_HAND)
