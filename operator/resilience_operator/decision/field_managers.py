"""Names of field managers for people, and which of them are a person."""

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
    """A field manager as people call it: `Argo CD (argocd-controller)`; `someone` when there is none.

    The name is free text that any client chooses. Unless it is a known one, it is quoted as code, so that it cannot
    pass for the operator's own words.
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
    """Whether a change comes from a person at a terminal, not from a pipeline.

    `kubectl apply` may be either, so it does not count as a person; an undo or an edit can only be one.
    """
    return manager.startswith(_BY_HAND)
