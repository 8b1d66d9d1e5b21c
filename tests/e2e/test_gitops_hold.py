"""`release.gitOps: Hold`: after a rollback, Flux leaves the target as it is until its source changes."""

from __future__ import annotations

import pytest

from resilience_operator.kube.writes.gitops_hold import HOLD
from tests.cluster import Cluster
from tests.e2e.test_configuration import broken, config_map_kept_labels
from tests.e2e.test_configuration import settle as settle_configuration
from tests.e2e.test_release import bad, guard, settle
from tests.e2e.test_scaling import after_evaluations
from tests.support.configuration import config_map, data_of, grant
from tests.support.gitops import (
    DRIFT,
    RECONCILE,
    annotations,
    attempted,
    install_definitions,
    marked,
    marks,
    owned,
    synced,
)
from tests.support.operator import Operator
from tests.support.waiting import eventually, throughout
from tests.support.world import World

pytestmark = pytest.mark.long

RULES = guard({"pauseRollout": {}}, {"rollback": {"after": "2s"}})
FIRST, SECOND, THIRD = (f"main@sha1:{n * 7}" for n in "abc")


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> None:
    install_definitions(cluster)


def until_rolled_back(world: World, kind: str = "Kustomization", version: str = FIRST, *, applied: bool = True) -> None:
    """Version 2.0, which Flux applied from `version`, is bad, and is rolled back."""
    settle(world, rules=RULES, release={"bake": "5s", "gitOps": "Hold"})
    owned(world, kind, "shop")
    attempted(world, version, kind=kind, applied=applied)
    marked(world, **marks(world, kind))
    bad(world)
    world.release("2.0", manager="kustomize-controller")
    world.until(lambda: "rollback" in world.actions() and world.running() == "1.0", "it is rolled back")


def is_held(world: World) -> bool:
    return annotations(world).get(RECONCILE) == "disabled" and HOLD in annotations(world)


def not_held(world: World) -> bool:
    return not {RECONCILE, DRIFT, HOLD} & set(annotations(world))


def test_the_hold_lasts_until_the_source_changes(world: World, operator: Operator) -> None:
    until_rolled_back(world)
    assert is_held(world)
    assert not synced(world, "2.0")
    assert "until its source changes" in world.status()["lastDecision"]["message"]
    world.until(lambda: operator.metric("resilience_gitops_holds") == 1, "the metric counts it")
    throughout(lambda: is_held(world), "the same version stays held", until=after_evaluations(operator, 4))
    world.until_phase("Stable")
    throughout(lambda: is_held(world), "also when the rollback is over", until=after_evaluations(operator, 4))

    # The next version has the same template: it flips once, and is held again.
    attempted(world, SECOND)
    world.until(lambda: synced(world, "2.0"), "the new version may be applied")
    assert world.told("ReconciliationResumed", "Deployment")
    world.until(lambda: world.running() == "1.0" and is_held(world), "it is rolled back and held again")
    throughout(lambda: is_held(world), "for the new version", until=after_evaluations(operator, 4))
    assert world.actions().count("liftHold") == 1

    # The fix.
    attempted(world, THIRD)
    world.until(lambda: synced(world, "3.0"), "the fix may be applied")
    world.until(
        lambda: world.status()["target"]["revision"] == world.status()["target"]["lastGoodRevision"], "it is good"
    )
    world.until_phase("Stable")
    assert world.running() == "3.0"
    assert not_held(world)
    world.until(lambda: operator.metric("resilience_gitops_holds") == 0, "the metric counts none")


def test_a_version_that_was_being_applied_is_tried_once_more(world: World, operator: Operator) -> None:
    """Flux skipped the object or not: nobody can know. So the fix of that version is never missed."""
    until_rolled_back(world, applied=False)
    assert is_held(world)
    throughout(lambda: is_held(world), "while it is applied", until=after_evaluations(operator, 3))
    attempted(world, FIRST)
    world.until(lambda: synced(world, "2.0"), "it may be applied once more")
    world.until(lambda: world.running() == "1.0" and is_held(world), "it is rolled back and held again")
    attempted(world, FIRST, applied=False)
    throughout(lambda: is_held(world), "now it is known", until=after_evaluations(operator, 3))
    attempted(world, FIRST)
    throughout(lambda: is_held(world), "now it is known", until=after_evaluations(operator, 3))


def test_a_helm_release_does_not_correct_the_target(world: World, operator: Operator) -> None:
    until_rolled_back(world, "HelmRelease", "4")
    assert annotations(world).get(DRIFT) == "disabled"
    throughout(lambda: DRIFT in annotations(world), "it stays held", until=after_evaluations(operator, 3))
    world.release("3.0", manager="helm-controller")
    attempted(world, "5", kind="HelmRelease")
    world.until(lambda: not_held(world), "the upgrade ends it")
    world.until_phase("Stable")
    assert world.running() == "3.0"


def test_a_persons_own_annotation_stays(world: World, operator: Operator) -> None:
    settle(world, rules=RULES, release={"bake": "5s", "gitOps": "Hold"})
    owned(world, "Kustomization", "shop")
    attempted(world, FIRST)
    found = marks(world, "Kustomization")
    marked(world, **found, annotations={RECONCILE: "disabled"})
    bad(world)
    world.release("2.0")
    world.until(lambda: world.running() == "1.0", "it is rolled back")
    assert HOLD not in annotations(world)
    attempted(world, SECOND)
    throughout(
        lambda: annotations(world).get(RECONCILE) == "disabled",
        "it is left alone",
        until=after_evaluations(operator, 3),
    )


@pytest.mark.parametrize("end", ["deleted", "deleted-while-down", "Tell", "owner-gone", "owner-changed"])
def test_the_hold_ends_with_its_cause(world: World, operator: Operator, end: str) -> None:
    until_rolled_back(world)
    assert is_held(world)
    match end:
        case "deleted":
            world.delete_policy()
        case "deleted-while-down":
            operator.kill()
            world.delete_policy()
            operator.start()
        case "Tell":
            world.change_policy(release={"gitOps": "Tell"})
        case "owner-gone":
            world.custom.delete_namespaced_custom_object(
                "kustomize.toolkit.fluxcd.io", "v1", world.namespace, "kustomizations", "shop"
            )
        case _:
            marked(world, labels={"kustomize.toolkit.fluxcd.io/name": "other"})
    eventually(lambda: not_held(world), "the hold is lifted")
    eventually(lambda: world.told("ReconciliationResumed", "Deployment"), "it is reported")


def test_a_value_from_before_is_restored(world: World, operator: Operator) -> None:
    settle(world, rules=RULES, release={"bake": "5s", "gitOps": "Hold"})
    owned(world, "Kustomization", "shop")
    attempted(world, FIRST)
    marked(world, **marks(world, "Kustomization"), annotations={RECONCILE: "enabled"})
    bad(world)
    world.release("2.0")
    world.until(lambda: world.running() == "1.0", "it is rolled back")
    assert is_held(world)
    world.delete_policy()
    eventually(lambda: annotations(world)[RECONCILE] == "enabled" and HOLD not in annotations(world), "as before")


def test_argo_cd_cannot_hold_a_single_object(world: World, operator: Operator) -> None:
    settle(world, rules=RULES, release={"bake": "5s", "gitOps": "Hold"})
    owned(world, "Application", "shop")
    marked(world, **marks(world, "Application"))
    bad(world)
    world.release("2.0")
    world.until(lambda: world.told("RolledBack", "Application", "shop"), "it is reported there")
    world.until(lambda: world.status()["lastDecision"]["action"] == "rollback", "it is in the history")
    assert "is not held" in world.status()["lastDecision"]["message"]
    assert not_held(world)


@pytest.mark.parametrize("end", ["new version", "policy deleted"])
def test_restored_configuration_is_held_with_the_target(world: World, operator: Operator, end: str) -> None:
    """Flux applies both: the bad ConfigMap under a restored template would be a pair that nobody has judged."""
    grant(world.cluster)
    settle_configuration(world, release={"gitOps": "Hold"})
    owned(world, "Kustomization", "shop")
    attempted(world, FIRST)
    found = marks(world, "Kustomization")
    marked(world, **found)
    for name in ("settings", "other"):
        config_map(world, name, **(data_of(world, name) or {}))
        world.core.patch_namespaced_config_map(name, world.namespace, {"metadata": found})
    broken(world)
    config_map_kept_labels(world, "settings", level="broken")
    world.until(lambda: data_of(world, "settings") == {"level": "1"}, "the content is restored")
    world.until(lambda: is_held(world), "the target is held")
    assert held_marks(world, "settings") == {RECONCILE, HOLD}
    assert not held_marks(world, "other"), "it was not restored"
    broken(world, ratio=0.0)
    world.until_phase("Stable")
    throughout(lambda: is_held(world), "the same version stays held", until=after_evaluations(operator, 3))
    assert held_marks(world, "settings") == {RECONCILE, HOLD}
    if end == "new version":
        attempted(world, SECOND)
    else:
        world.delete_policy()
    eventually(lambda: not_held(world) and not held_marks(world, "settings"), "both holds are lifted")
    assert data_of(world, "settings") == {"level": "1"}


def held_marks(world: World, name: str) -> set[str]:
    annotations = world.core.read_namespaced_config_map(name, world.namespace).metadata.annotations
    return {RECONCILE, HOLD} & set(annotations or {})
