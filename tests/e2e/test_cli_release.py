"""`kubectl resilience release` on the real cluster: a person ends a quarantine."""

from __future__ import annotations

import json

import pytest

from resilience_operator.api.lifts import RELEASED
from tests.e2e.test_cli import Call, answered, resilience
from tests.e2e.test_release import bad, settle
from tests.e2e.test_release_writers import until_rolled_back
from tests.support.operator import Operator
from tests.support.world import World

__all__ = ["resilience"]

pytestmark = pytest.mark.long


def test_a_person_ends_a_quarantine_over_a_restart(world: World, operator: Operator, resilience: Call) -> None:
    settle(world)
    bad(world)
    world.release("2.0", manager="argocd-controller")
    world.until(lambda: world.actions().count("rollback") == 1, "it is rolled back")
    until_rolled_back(world)
    revision = world.status()["quarantined"][0]["revision"]
    unknown = resilience("release", "checkout", "nothing")
    assert (unknown.returncode, f"quarantined are: {revision}" in unknown.stderr) == (1, True)
    assert resilience("release", "checkout").returncode == 2

    # No operator runs when the order is given: the next one follows it.
    operator.kill()
    given = resilience("release", "checkout", revision)
    assert given.returncode == 0, given.stderr
    assert "no operator has confirmed it yet" in given.stderr
    operator.start()
    (note,) = world.until(lambda: world.told("QuarantineEnded"), "it is told")
    assert f"revision {revision} may be released again: " in note["note"]
    world.until(lambda: world.told("QuarantineEnded", "Deployment"), "the Deployment has the event as well")
    world.until(lambda: not world.status().get("quarantined"), "it is not quarantined any more")
    entry = world.status()["history"][0]
    assert (entry["action"], entry["from"], entry["reason"]) == ("endQuarantine", revision, "QuarantineEnded")
    (order,) = json.loads(world.read_policy()["metadata"]["annotations"][RELEASED])
    by = order["by"]
    assert by
    assert f"{by} lifted its quarantine at " in entry["message"]

    # The same template is judged anew: it fails again, and is quarantined again, whatever was ordered before.
    world.release("2.0", manager="argocd-controller")
    world.until(lambda: world.actions().count("rollback") == 2, "rolled back again")
    assert world.actions()[-2:] == ["pauseRollout", "rollback"], "it was measured first"
    until_rolled_back(world)
    assert [q["rollbacks"] for q in world.status()["quarantined"]] == [1]
    assert len(world.told("QuarantineEnded")) == 1


def test_a_rollout_that_is_held_goes_on_when_a_person_ends_its_quarantine(
    world: World, operator: Operator, resilience: Call
) -> None:
    settle(world)
    bad(world)
    for rollbacks in (1, 2):
        world.release("2.0", manager="argocd-controller")
        world.until(lambda n=rollbacks: world.actions().count("rollback") == n, "rolled back")
        until_rolled_back(world)
    bad(world, ratio=0.0)
    world.release("2.0", manager="argocd-controller")
    world.until(lambda: world.condition("ReleaseHealthy").get("reason") == "HeldPaused", "it is held")
    revision = world.status()["quarantined"][0]["revision"]
    note = world.told("HeldPaused")[-1]["note"]
    assert f"kubectl resilience release checkout {revision} -n {world.namespace}" in note
    done = answered(resilience("release", "rsp/checkout", revision, "-o", "json"))
    assert (done["released"], done["noted"], done["rollbacks"]) == (True, True, 2)
    world.until(lambda: not world.paused(), "it goes on")
    world.until(lambda: world.status()["target"].get("lastGoodRevision") == revision, "and is good")
    assert world.running() == "2.0"
