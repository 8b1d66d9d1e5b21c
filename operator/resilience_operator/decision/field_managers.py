"""Classifies field managers: who changed an object, a person or a machine, and how to configure that machine.

Field managers are free text that clients send (`metadata.managedFields`). A name is a hint, not an identity: it decides
how a change is treated, never what anybody may do.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from resilience_operator.api.text import one_line
from resilience_operator.decision.model.target import MANAGER


class ManagerKind(StrEnum):
    """What a field manager is. See `classify`."""

    PERSON = "person"
    GITOPS = "GitOps"
    HELM = "Helm"
    CI = "pipeline"
    AUTOSCALER = "autoscaler"
    CONTROLLER = "controller"
    OPERATOR = "operator"
    UNKNOWN = "unknown"


class _Known(NamedTuple):
    prefix: str
    kind: ManagerKind
    name: str


KUBECTL_SCALE = "kubectl-scale"
"""`kubectl` on the `scale` subresource (`kubectl scale`), as the cache names it."""

KUBECTL_APPLY = "kubectl-apply"
"""`kubectl apply --server-side`, whose manager is only `kubectl`, as the cache names it."""

HPA_CONTROLLER = "horizontal-pod-autoscaler"
"""The controller manager on the `scale` subresource, as the cache names it."""

_GITOPS, _CI, _PERSON = ManagerKind.GITOPS, ManagerKind.CI, ManagerKind.PERSON
_AUTOSCALER, _CONTROLLER = ManagerKind.AUTOSCALER, ManagerKind.CONTROLLER

_KNOWN = (
    _Known("argocd-server", _PERSON, "the user interface of Argo CD"),
    _Known("argocd", _GITOPS, "Argo CD"),
    _Known("argo-cd", _GITOPS, "Argo CD"),
    _Known("gitops-engine", _GITOPS, "Argo CD"),
    _Known("kustomize-controller", _GITOPS, "Flux"),
    _Known("helm-controller", _GITOPS, "Flux"),
    _Known("flux", _GITOPS, "Flux"),
    _Known("fleet", _GITOPS, "Fleet"),
    _Known("rancher-fleet", _GITOPS, "Fleet"),
    _Known("configsync", _GITOPS, "Config Sync"),
    _Known("config-sync", _GITOPS, "Config Sync"),
    _Known("configmanagement", _GITOPS, "Config Sync"),
    _Known("kapp", _GITOPS, "kapp"),
    _Known("kluctl", _GITOPS, "Kluctl"),
    _Known("pipecd", _GITOPS, "PipeCD"),
    _Known("piped", _GITOPS, "PipeCD"),
    _Known("work-agent", _GITOPS, "Open Cluster Management"),
    _Known("klusterlet", _GITOPS, "Open Cluster Management"),
    _Known("sveltos", _GITOPS, "Sveltos"),
    _Known("crossplane", _GITOPS, "Crossplane"),
    _Known("provider-kubernetes", _GITOPS, "Crossplane"),
    _Known("kargo", _GITOPS, "Kargo"),
    _Known("helm", ManagerKind.HELM, "Helm"),
    _Known("tiller", ManagerKind.HELM, "Helm"),
    _Known("kubectl-client-side-apply", _CI, "kubectl apply"),
    _Known("kubectl-last-applied", _CI, "kubectl apply"),
    _Known("kubectl-apply", _CI, "kubectl apply"),
    _Known("kubectl-create", _CI, "kubectl create"),
    _Known("kubectl-replace", _CI, "kubectl replace"),
    _Known("before-first-apply", _CI, "kubectl apply"),
    _Known("oc-client-side-apply", _CI, "oc apply"),
    _Known("terraform", _CI, "Terraform"),
    _Known("hashicorp", _CI, "Terraform"),
    _Known("opentofu", _CI, "OpenTofu"),
    _Known("pulumi", _CI, "Pulumi"),
    _Known("ansible", _CI, "Ansible"),
    _Known("openapi-generator", _CI, "a script"),
    _Known("swagger-codegen", _CI, "a script"),
    _Known("python-requests", _CI, "a script"),
    _Known("pykube", _CI, "a script"),
    _Known("curl", _CI, "a script"),
    _Known("spinnaker", _CI, "Spinnaker"),
    _Known("clouddriver", _CI, "Spinnaker"),
    _Known("jenkins", _CI, "Jenkins"),
    _Known("gitlab", _CI, "GitLab"),
    _Known("github", _CI, "GitHub Actions"),
    _Known("tekton", _CI, "Tekton"),
    _Known("skaffold", _CI, "Skaffold"),
    _Known("tilt", _CI, "Tilt"),
    _Known("werf", _CI, "werf"),
    _Known("harness", _CI, "Harness"),
    _Known("octopus", _CI, "Octopus Deploy"),
    _Known("kubectl", _PERSON, "kubectl"),
    _Known("oc", _PERSON, "oc"),
    _Known("k9s", _PERSON, "k9s"),
    _Known("lens", _PERSON, "Lens"),
    _Known("openlens", _PERSON, "Lens"),
    _Known("freelens", _PERSON, "Freelens"),
    _Known("headlamp", _PERSON, "Headlamp"),
    _Known("octant", _PERSON, "Octant"),
    _Known("aptakube", _PERSON, "Aptakube"),
    _Known("dashboard", _PERSON, "the Kubernetes dashboard"),
    _Known("kubernetes-dashboard", _PERSON, "the Kubernetes dashboard"),
    _Known("mozilla", _PERSON, "a web console"),
    _Known("googlecloudconsole", _PERSON, "the Google Cloud console"),
    _Known("horizontal-pod-autoscaler", _AUTOSCALER, "the HorizontalPodAutoscaler"),
    _Known("keda", _AUTOSCALER, "KEDA"),
    _Known("vpa", _AUTOSCALER, "the VerticalPodAutoscaler"),
    _Known("vertical-pod-autoscaler", _AUTOSCALER, "the VerticalPodAutoscaler"),
    _Known("cluster-proportional-autoscaler", _AUTOSCALER, "the cluster-proportional autoscaler"),
    _Known("knative", _AUTOSCALER, "Knative"),
    _Known("datadog", _AUTOSCALER, "Datadog"),
    _Known("watermark", _AUTOSCALER, "Datadog"),
    _Known("kube-green", _AUTOSCALER, "kube-green"),
    _Known("kube-downscaler", _AUTOSCALER, "kube-downscaler"),
    _Known("castai", _AUTOSCALER, "CAST AI"),
    _Known("kube-controller-manager", _CONTROLLER, "the controller manager"),
    _Known("deployment-controller", _CONTROLLER, "the controller manager"),
    _Known("rollouts-controller", _CONTROLLER, "Argo Rollouts"),
    _Known("argo-rollouts", _CONTROLLER, "Argo Rollouts"),
    _Known("flagger", _CONTROLLER, "Flagger"),
    _Known("kruise", _CONTROLLER, "OpenKruise"),
)
_BY_PREFIX = sorted(_KNOWN, key=lambda known: -len(known.prefix))
_WORD_ENDS = frozenset("-_./: ")
_PLAIN = re.compile(r"[a-zA-Z0-9_-]+")
_DECIDES = ("kubectl-rollout", "kubectl-edit", "kubectl-set", "kubectl-patch")


@lru_cache(maxsize=4096)
def _known(manager: str) -> _Known | None:
    """Return the entry with the longest prefix that ends at a word of `manager`."""
    lower = manager.lower()
    for known in _BY_PREFIX:
        rest = lower[len(known.prefix) :]
        if lower.startswith(known.prefix) and (not rest or rest[0] in _WORD_ENDS or len(known.prefix) > 4):
            return known
    return None


def classify(manager: str) -> ManagerKind:
    """Return what a field manager is.

    `kubectl apply` and `replace` come from people and from pipelines. They restate a manifest and do not answer the
    operator, so they count as a pipeline. So does a client library's default name. A name that is empty or not known
    is UNKNOWN: a caller must then take the choice that keeps the service safe.
    """
    if manager == MANAGER:
        return ManagerKind.OPERATOR
    known = _known(manager)
    return known.kind if known is not None else ManagerKind.UNKNOWN


def is_person(manager: str) -> bool:
    """Return whether a change shows what a person wants. UNKNOWN does not."""
    return classify(manager) is ManagerKind.PERSON


def restates_manifest(manager: str) -> bool:
    """Return whether the manager applies values from somewhere else: a manifest, a chart, or its own control loop."""
    return classify(manager) not in (ManagerKind.PERSON, ManagerKind.OPERATOR, ManagerKind.UNKNOWN)


def display_name(manager: str) -> str:
    """Return the display name of a field manager, like `Argo CD (argocd-controller)`; `someone` if it is empty.

    Clients choose the name freely. Unless it is known, it is quoted as code, so that it cannot be mistaken for text of
    the operator.
    """
    if not manager:
        return "someone"
    quoted = f"`{_quotable(manager)}`"
    known = _known(manager)
    if known is None:
        return quoted
    shown = manager if _PLAIN.fullmatch(manager) else quoted
    same = known.name.lower().replace(" ", "-") == manager.lower() or known.prefix == HPA_CONTROLLER == manager
    return known.name if same else f"{known.name} ({shown})"


def _quotable(manager: str) -> str:
    return one_line(manager).replace("`", "'")


def is_manual(manager: str) -> bool:
    """Return whether a new template is a person's decision and not a manifest that was applied again.

    `kubectl rollout undo` has no field manager of its own: the API server records `kubectl`, from its user agent.
    """
    decides = not manager.startswith("kubectl") or manager == "kubectl" or manager.startswith(_DECIDES)
    return is_person(manager) and decides


def how_to_stop(manager: str, path: str) -> str:
    """Return how to keep a manager from writing a field. path: of the field, like `spec.replicas`."""
    pointer = "/" + path.replace(".", "/")
    match classify(manager):
        case ManagerKind.GITOPS if "Argo" in display_name(manager):
            return (
                f"add {pointer} to ignoreDifferences of the Application, with the sync option "
                "RespectIgnoreDifferences=true"
            )
        case ManagerKind.GITOPS:
            return f"remove {path} from the manifest in git, or exclude it from drift correction"
        case ManagerKind.HELM:
            return f"remove {path} from the chart's template, or render it only without an autoscaler"
        case ManagerKind.CI:
            return f"remove {path} from the manifest"
        case ManagerKind.AUTOSCALER | ManagerKind.CONTROLLER:
            return f"let only one controller write {path}: remove the action from the policy, or the other controller"
        case ManagerKind.PERSON:
            return "change the policy, or pause it with `kubectl resilience pause`"
        case _:
            return f"find out who writes {path} (`kubectl get --show-managed-fields`), and stop it"
