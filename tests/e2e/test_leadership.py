"""Several replicas: one acts, the others are warm, and nothing is lost or done twice when the leader goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.test_release import bad, guard, settle
from tests.e2e.test_scaling import after_evaluations
from tests.support.install import grant_lease
from tests.support.operator import Operator
from tests.support.waiting import eventually, throughout
from tests.support.world import World

pytestmark = pytest.mark.long

SLOW_ROLLBACK = guard({"pauseRollout": {}}, {"rollback": {"after": "30s"}})


@pytest.fixture
def replicas(world: World, new_operator: Callable[..., Operator]) -> tuple[Operator, Operator]:
    """A leader and a standby."""
    grant_lease(world.cluster, world.namespace)
    environment = {"RESILIENCE_LEASE_NAMESPACE": world.namespace}
    leader = new_operator("--leader-election", environment=environment).start()
    eventually(lambda: leader.leads, "the first leads")
    standby = new_operator("--leader-election", environment=environment).start()
    assert not standby.leads
    return leader, standby


def paused(world: World) -> None:
    settle(world, rules=SLOW_ROLLBACK)
    bad(world)
    world.release("2.0")
    world.until_phase("Paused")


def went_on(world: World) -> None:
    """The end that an undisturbed operator would have come to."""
    world.until(lambda: world.running() == "1.0", "the good template is back")
    world.until_phase("RolledBack")
    assert world.actions() == ["pauseRollout", "rollback"]
    assert len(world.told("RolloutPaused")) == 1
    assert len(world.told("RolledBack")) == 1
    assert world.replicas() == 4


def test_a_killed_leader_is_replaced_and_its_timer_goes_on(world: World, replicas: tuple[Operator, Operator]) -> None:
    leader, standby = replicas
    paused(world)
    leader.kill()
    eventually(lambda: standby.leads, "the standby leads")
    went_on(world)


def test_a_stopped_leader_hands_over_at_once(world: World, replicas: tuple[Operator, Operator]) -> None:
    leader, standby = replicas
    paused(world)
    assert leader.stop() == 0
    eventually(lambda: standby.leads, "the standby leads")
    went_on(world)


def test_a_frozen_leader_writes_nothing_when_it_goes_on(world: World, replicas: tuple[Operator, Operator]) -> None:
    leader, standby = replicas
    paused(world)
    leader.freeze()
    eventually(lambda: standby.leads, "the standby leads")
    went_on(world)
    version = world.read_policy()["metadata"]["resourceVersion"]
    standby.freeze()
    try:
        leader.thaw()
        assert leader.process is not None
        process = leader.process
        eventually(lambda: process.poll() is not None, "who lost the lease ends")
        assert world.read_policy()["metadata"]["resourceVersion"] == version
    finally:
        standby.thaw()


def test_a_standby_writes_nothing(world: World, replicas: tuple[Operator, Operator]) -> None:
    leader, standby = replicas
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
    world.policy()
    world.until(lambda: world.actions() == ["scaleUp"], "the leader acts")
    throughout(lambda: not standby.leads, "the standby stays one", until=after_evaluations(leader, 3))
    assert standby.metric("resilience_status_writes_total") == 0
    assert standby.metric("resilience_actions_total") == 0
