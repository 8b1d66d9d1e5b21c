"""A shared incident in the bake of an innocent release: it is reported, and not rolled back."""

from __future__ import annotations

import pytest

from tests.support.operator import Operator
from tests.support.waiting import throughout
from tests.support.world import World

pytestmark = pytest.mark.long

GUARD = {
    "name": "failing-release",
    "when": {"signal": "error-rate", "above": "1%"},
    "then": [{"pauseRollout": {}}, {"rollback": {"after": "5s"}}],
}
FAILING = 0.05
APPS = ("checkout", "cart")


def incident(world: World, ratio: float) -> None:
    """A dependency fails that share of the requests of both workloads, whatever they run."""
    for app in APPS:
        for tag in ("1.0", "2.0"):
            world.load.image(world.image(tag, app), error_ratio=ratio)


def test_an_incident_of_all_workloads_rolls_no_release_back(world: World, operator: Operator) -> None:
    for app in APPS:
        world.deployment(app, replicas=4)
        world.load.workload(world.namespace, app, rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": app}
        world.policy(app, targetRef=target, replicas={"min": 4}, rules=[GUARD], release={"bake": "40s"})
    for app in APPS:
        world.until_phase("Stable", app)
    world.release("2.0")
    world.rolled_out()
    world.until_phase("Baking")
    incident(world, FAILING)
    for app in APPS:
        world.until(lambda app=app: world.verdict("error-rate", app) == "Breach", "the incident shows", app)  # type: ignore[misc]
    world.until(lambda: world.condition("ReleaseHealthy")["status"] == "False", "it is reported")
    throughout(
        lambda: world.running() == "2.0",
        "nothing is rolled back while it lasts",
        until=lambda: bool(world.told("BreachNotProven") or world.told("GuardBreached")),
        last=world.status,
    )
    incident(world, 0.0)
    world.until_phase("Stable", patience=300)
    assert world.running() == "2.0"
    assert "rollback" not in world.actions()
    assert not world.paused()
    assert world.condition("ReleaseHealthy")["status"] == "True"
