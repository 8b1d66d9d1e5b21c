"""The annotations of a hold, and the version of the source in a status."""

from __future__ import annotations

from typing import Any

import pytest

from resilience_operator.decision.model.target import MANAGER, DeliveredBy, SourceState
from resilience_operator.kube.client.delivery_sources import source_state
from resilience_operator.kube.writes.gitops_hold import HOLD, SWITCHES, hold_ops, is_disabled, is_held, lift_ops
from resilience_operator.kube.writes.json_patch import Ops

KUSTOMIZATION = DeliveredBy("Kustomization", "flux-system", "shop")
HELM_RELEASE = DeliveredBy("HelmRelease", "shop", "shop")
OWNERS = (KUSTOMIZATION, HELM_RELEASE)
Meta = dict[str, Any]


def patched(meta: Meta, ops: Ops) -> Meta:
    """The metadata after a JSON patch of its annotations."""
    found = dict(meta.get("annotations") or {})
    for op in ops:
        path = op["path"].removeprefix("/metadata/annotations").removeprefix("/").replace("~1", "/")
        match op["op"]:
            case "add" if path:
                found[path] = op["value"]
            case "add":
                found = dict(op["value"])
            case "remove":
                del found[path]
            case _:
                assert found.get(path) == op["value"]
    return {**meta, "annotations": found}


@pytest.mark.parametrize("owner", OWNERS, ids=lambda o: o.kind)
@pytest.mark.parametrize("before", [None, {}, {"team": "shop"}])
def test_a_hold_is_lifted_without_a_trace(owner: DeliveredBy, before: dict[str, str] | None) -> None:
    meta: Meta = {"annotations": before} if before is not None else {}
    held = patched(meta, hold_ops(meta, owner))
    assert is_held(held)
    assert is_disabled(held, owner)
    assert patched(held, lift_ops(held))["annotations"] == (before or {})


@pytest.mark.parametrize("owner", OWNERS, ids=lambda o: o.kind)
def test_a_value_from_before_comes_back(owner: DeliveredBy) -> None:
    before = {SWITCHES[owner.kind]: "enabled"}
    held = patched({"annotations": before}, hold_ops({"annotations": before}, owner))
    assert is_disabled(held, owner)
    assert patched(held, lift_ops(held))["annotations"] == before


@pytest.mark.parametrize("where", ["annotations", "labels"])
@pytest.mark.parametrize("value", ["disabled", "Disabled"])
def test_what_a_person_disabled_is_not_held(where: str, value: str) -> None:
    meta = {where: {SWITCHES["Kustomization"]: value}}
    assert is_disabled(meta, KUSTOMIZATION)
    assert hold_ops(meta, KUSTOMIZATION) == []
    assert not is_disabled(meta, HELM_RELEASE)
    assert not is_disabled(meta, None)


def test_what_another_disabled_too_stays_disabled() -> None:
    meta: Meta = {"annotations": {"team": "shop"}}
    held = patched(meta, hold_ops(meta, KUSTOMIZATION))
    switch = SWITCHES["Kustomization"]
    fields = {"f:metadata": {"f:annotations": {f"f:{switch}": {}}}}
    own = {"manager": MANAGER, "fieldsV1": fields}
    for managers in ([own], [own, {"manager": "kubectl-annotate", "fieldsV1": fields}]):
        lifted = patched({**held, "managedFields": managers}, lift_ops({**held, "managedFields": managers}))
        assert not is_held(lifted)
        assert (switch in lifted["annotations"]) is (len(managers) == 2)


@pytest.mark.parametrize("mark", ["", "=", "spec.replicas=3", "helm.toolkit.fluxcd.io/driftDetection"])
def test_a_mark_that_was_edited_removes_nothing_else(mark: str) -> None:
    meta = {"annotations": {HOLD: mark, SWITCHES["Kustomization"]: "disabled", "spec.replicas": "3"}}
    assert HOLD not in patched(meta, lift_ops(meta))["annotations"]
    assert len(patched(meta, lift_ops(meta))["annotations"]) == 2


def kustomization(generation: int = 1, **status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": generation}, "status": {"observedGeneration": 1, **status}}


def test_a_kustomization_is_settled_when_all_is_applied() -> None:
    done = kustomization(lastAttemptedRevision="main@sha1:b", lastAppliedRevision="main@sha1:b")
    assert source_state("Kustomization", done).settled
    identity = source_state("Kustomization", done).identity
    under_way = kustomization(lastAttemptedRevision="main@sha1:b", lastAppliedRevision="main@sha1:a")
    assert source_state("Kustomization", under_way) == SourceState(identity, settled=False)
    reconciling = {**done, "status": {**done["status"], "conditions": [{"type": "Reconciling", "status": "True"}]}}
    assert source_state("Kustomization", reconciling) == SourceState(identity, settled=False)
    other_path = {**done, "metadata": {"generation": 2}}
    assert source_state("Kustomization", other_path).identity != identity
    assert not source_state("Kustomization", other_path).settled
    assert not source_state("Kustomization", {"metadata": {}}).settled


def test_each_release_of_helm_is_a_version() -> None:
    found = [
        source_state("HelmRelease", {"metadata": {}, "status": {"history": [{"version": n}]}}).identity for n in (4, 5)
    ]
    assert found[0] != found[1]
    assert source_state("HelmRelease", {"metadata": {}}).identity
