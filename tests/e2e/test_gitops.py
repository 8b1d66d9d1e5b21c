"""A pause or rollback is reported on the object that applies the target from git.

The definitions of Argo CD and Flux are minimal ones of the tests: the operator only reads the objects' names.
"""

from __future__ import annotations

import pytest

from tests.cluster import Cluster
from tests.e2e.test_release import bad, guard, settle
from tests.e2e.test_scaling import after_evaluations
from tests.support.gitops import KINDS, install_definitions, marked, marks, owned
from tests.support.operator import Operator
from tests.support.waiting import throughout
from tests.support.world import World

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def role(cluster: Cluster) -> None:
    """The definitions, and the optional role of the component."""
    install_definitions(cluster)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_is_reported_on_what_applies_the_target(
    world: World, operator: Operator, role: None, kind: str
) -> None:
    settle(world, rules=guard({"pauseRollout": {}}, {"rollback": {"after": "2s"}}))
    uid = owned(world, kind, "shop")
    marked(world, **marks(world, kind))
    bad(world)
    world.release("2.0")
    world.until(lambda: world.told("RolledBack", kind, "shop"), "it is reported there")
    world.until(lambda: "rollback" in world.actions(), "it is in the history")
    told = {"pauseRollout": "RolloutPaused", "rollback": "RolledBack"}
    assert [e["reason"] for e in world.events(kind, "shop")] == [told[action] for action in world.actions()]
    (event,) = world.told("RolledBack", kind, "shop")
    assert event["type"] == "Warning"
    assert event["regarding"]["uid"] == uid
    assert event["related"]["kind"] == "Deployment"
    decision = world.status()["lastDecision"]
    for part in (f"Deployment {world.namespace}/checkout", "error-rate", decision["from"], "revert it there"):
        assert part in event["note"]
    world.until(lambda: world.told("RolledBack") and world.told("RolledBack", "Deployment"), "and as ever")
    # The figures of DORA.
    world.until(
        lambda: operator.metric("resilience_release_restore_seconds_count") == 1, "the restored release is counted"
    )
    releases = {r: operator.metric("resilience_releases_total", result=r) for r in ("begun", "rolled_back")}
    assert releases == {"begun": 1, "rolled_back": 1}


def test_an_object_that_does_not_exist_changes_nothing(world: World, operator: Operator, role: None) -> None:
    settle(world, rules=guard({"rollback": {"after": "2s"}}))
    marked(world, **marks(world, "Kustomization"))
    bad(world)
    world.release("2.0")
    world.until(lambda: world.told("RolledBack") and world.told("RolledBack", "Deployment"), "it is reported")
    world.until(lambda: "no Event on Kustomization" in operator.tail(500), "the log says why there is no third Event")


def test_ignore_reports_nothing(world: World, operator: Operator, role: None) -> None:
    settle(world, rules=guard({"rollback": {"after": "2s"}}), release={"bake": "10s", "gitOps": "Ignore"})
    owned(world, "Kustomization", "shop")
    marked(world, **marks(world, "Kustomization"))
    bad(world)
    world.release("2.0")
    world.until(lambda: world.told("RolledBack", "Deployment"), "it is reported on the target")
    throughout(
        lambda: not world.events("Kustomization", "shop"),
        "there is no Event on it",
        until=after_evaluations(operator, 3),
    )
