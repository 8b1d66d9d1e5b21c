"""Field managers: who is a person, who restates a manifest, and what to configure."""

import pytest

from resilience_operator.decision.field_managers import (
    ManagerKind,
    classify,
    display_name,
    how_to_stop,
    is_manual,
    is_person,
    restates_manifest,
)

PERSON, GITOPS, HELM, CI = ManagerKind.PERSON, ManagerKind.GITOPS, ManagerKind.HELM, ManagerKind.CI
AUTOSCALER, CONTROLLER, UNKNOWN = ManagerKind.AUTOSCALER, ManagerKind.CONTROLLER, ManagerKind.UNKNOWN


@pytest.mark.parametrize(
    ("kind", "managers"),
    [
        (PERSON, "kubectl-edit kubectl-scale kubectl-patch kubectl-rollout kubectl-set kubectl oc k9s Lens "
                 "lens-desktop headlamp Mozilla dashboard-api GoogleCloudConsole argocd-server Freelens"),
        (GITOPS, "argocd-controller argocd-application-controller argocd kustomize-controller helm-controller flux "
                 "flux-client-side-apply fleet-agent fleetagent configsync.gke.io kapp-controller kluctl "),
        (HELM, "helm Helm helm-3.14 tiller"),
        (CI, "kubectl-client-side-apply kubectl-apply kubectl-create kubectl-replace before-first-apply terraform "
             "Terraform HashiCorp pulumi-kubernetes OpenAPI-Generator ansible jenkins tekton-pipelines skaffold"),
        (AUTOSCALER, "horizontal-pod-autoscaler keda keda-operator vpa-updater kube-downscaler"),
        (CONTROLLER, "kube-controller-manager rollouts-controller flagger"),
        (ManagerKind.OPERATOR, "resilience-operator"),
        (UNKNOWN, "somebody helmet ocelot lenses keda2 fluxion resilience-operator-2 controller manager curly"),
    ],
)  # fmt: skip
def test_kinds(kind: ManagerKind, managers: str) -> None:
    for manager in managers.split():
        assert classify(manager) is kind, manager
    assert classify("") is UNKNOWN


@pytest.mark.parametrize("manager", ["", "somebody", "x" * 5_000, "`\n`", "Ωmega"])
def test_an_unknown_manager_is_neither_a_person_nor_a_manifest(manager: str) -> None:
    assert not is_person(manager)
    assert not restates_manifest(manager)
    assert not is_manual(manager)


@pytest.mark.parametrize(
    ("manager", "manual"),
    [("kubectl-rollout", True), ("kubectl-edit", True), ("kubectl-set", True), ("k9s", True), ("Mozilla", True),
     ("kubectl", True), ("kubectl-client-side-apply", False), ("kubectl-apply", False), ("argocd", False),
     ("kustomize-controller", False), ("helm", False), ("resilience-operator", False)],
)  # fmt: skip
def test_whose_template_is_a_decision(manager: str, manual: bool) -> None:
    assert is_manual(manager) is manual


@pytest.mark.parametrize(
    ("manager", "advice"),
    [
        ("argocd-controller", "add /spec/replicas to ignoreDifferences"),
        ("kustomize-controller", "remove spec.replicas from the manifest in git"),
        ("helm", "from the chart"),
        ("kubectl-client-side-apply", "remove spec.replicas from the manifest"),
        ("keda-operator", "only one controller"),
        ("kubectl-scale", "kubectl resilience pause"),
        ("somebody", "--show-managed-fields"),
        ("", "--show-managed-fields"),
    ],
)
def test_every_manager_gets_advice(manager: str, advice: str) -> None:
    assert advice in how_to_stop(manager, "spec.replicas")


def test_names() -> None:
    assert display_name("horizontal-pod-autoscaler") == "the HorizontalPodAutoscaler"
    assert display_name("kubectl-client-side-apply") == "kubectl apply (kubectl-client-side-apply)"
    assert display_name("flux") == "Flux"
    assert display_name("somebody") == "`somebody`"
