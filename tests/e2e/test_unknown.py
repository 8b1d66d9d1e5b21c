"""Unknown is not zero: without measurements nothing is scaled and nothing is rolled back, and that is told."""

from __future__ import annotations

import pytest

from tests.e2e.test_release import bad, settle
from tests.e2e.test_scaling import after_evaluations
from tests.support.operator import Operator, free_port
from tests.support.waiting import throughout
from tests.support.world import World

pytestmark = pytest.mark.long


@pytest.mark.parametrize(("fault", "reason"), [("absent", "NoData"), ("nan", "NotANumber")])
def test_metrics_that_are_gone_change_nothing(world: World, operator: Operator, fault: str, reason: str) -> None:
    world.deployment(replicas=5)
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.3, rps=120)
    world.policy(replicas={"min": 3}, scaleDown={"after": "30s"})
    world.until_verdict("cpu", "Ok")
    world.load.workload(world.namespace, "checkout", metrics=fault)
    world.until_verdict("cpu", "Unknown")
    found = world.until(lambda: _metrics_gone(world), "MetricsAvailable is False")
    assert found["reason"] == reason
    throughout(lambda: world.replicas() == 5, "nothing is scaled", until=after_evaluations(operator, 5))
    assert world.actions() == []


def test_a_prometheus_that_is_not_there_changes_nothing(world: World, new_operator) -> None:  # type: ignore[no-untyped-def]
    operator = new_operator(prometheus_url=f"http://127.0.0.1:{free_port()}").start()
    world.deployment(replicas=5)
    world.policy(replicas={"min": 3}, scaleDown={"after": "30s"})
    found = world.until(lambda: _metrics_gone(world), "MetricsAvailable is False")
    assert found["reason"] in ("SourceUnreachable", "CircuitOpen")
    throughout(lambda: world.replicas() == 5, "nothing is scaled", until=after_evaluations(operator, 2))
    assert world.actions() == []


def test_a_release_without_metrics_is_not_rolled_back_nor_called_good(world: World, operator: Operator) -> None:
    settle(world)
    good = world.status()["target"]["lastGoodRevision"]
    bad(world)
    world.load.workload(world.namespace, "checkout", metrics="absent")
    world.until_verdict("error-rate", "Unknown")
    world.release("2.0")
    world.until(lambda: world.told("BakeUnmeasured"), "it is told that the bake cannot be measured")
    throughout(lambda: world.running() == "2.0", "it is not rolled back", until=after_evaluations(operator, 3))
    assert world.status()["target"]["lastGoodRevision"] == good
    assert world.actions() == []


def _metrics_gone(world: World) -> dict[str, str]:
    found = world.condition("MetricsAvailable")
    return found if found.get("status") == "False" else {}
