"""Nothing is written when nothing changed, what changed is written at once, and what is only shown has a budget."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.e2e.test_scaling import CPU_RULE, after_evaluations, evaluations
from tests.support.operator import Operator
from tests.support.waiting import throughout
from tests.support.world import World

ALERT = [{**CPU_RULE, "then": [{"alert": {}}]}]


def shown(world: World) -> str:
    """CPU as the status shows it."""
    return next((str(s.get("value", "")) for s in world.status().get("signals", ()) if s["name"] == "cpu"), "")


def writes(operator: Operator) -> float:
    """Of statuses, on whatever account."""
    return sum(operator.metric("resilience_status_writes_total", why=why) for why in ("verdict", "refresh", "decision"))


def evaluated_as_it_is(world: World) -> bool:
    """Whether the status is of the policy's newest spec."""
    policy = world.read_policy()
    return bool(policy["status"]["observedGeneration"] == policy["metadata"]["generation"])


def questions(operator: Operator) -> float:
    """Asked of the metric source."""
    return operator.metric("resilience_call_duration_seconds_count", dependency="prometheus/default")


def test_a_steady_policy_is_not_written_and_a_verdict_is_at_once(
    world: World, new_operator: Callable[..., Operator]
) -> None:
    operator = new_operator(environment={"RESILIENCE_REFRESH_WRITES_PER_SECOND": "0"}).start()
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.2)
    world.policy(rules=ALERT, interval="2s", release={"bake": "0s"})
    world.until_verdict("cpu", "Ok")
    world.until(lambda: world.status()["target"]["phase"] == "Stable", "the release is through")
    world.until(after_evaluations(operator, 2), "it has come to rest")
    before, wrote = shown(world), writes(operator)
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.5)
    throughout(lambda: writes(operator) == wrote, "nothing is written", until=after_evaluations(operator, 8))
    assert shown(world) == before
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.9)
    world.until_verdict("cpu", "Pending")
    world.until_verdict("cpu", "Breach")
    world.until(lambda: world.told("Alert"), "the breach is told")


def test_shown_values_follow_within_the_budget(world: World, new_operator: Callable[..., Operator]) -> None:
    operator = new_operator(environment={"RESILIENCE_REFRESH_SECONDS": "1"}).start()
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.2)
    world.policy(rules=ALERT, interval="2s", release={"bake": "0s"})
    world.until_verdict("cpu", "Ok")
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.5)
    world.until(lambda: shown(world) == "50%", "the value is shown")
    assert operator.metric("resilience_status_writes_total", why="refresh") > 0


def test_what_happens_out_of_turn_is_served_by_what_the_last_beat_was_answered(
    world: World, operator: Operator
) -> None:
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.2)
    world.policy(interval="2s", release={"bake": "0s"})
    world.until_verdict("cpu", "Ok")
    world.until(lambda: world.status()["target"]["phase"] == "Stable", "the release is through")
    began, asked, evaluated = time.monotonic(), questions(operator), evaluations(operator)
    changes = 10  # with the writes before, fewer than the burst of status writes of one policy: each is written at once
    for more in range(changes):
        world.change_policy(replicas={"max": 21 + more})
        world.until(lambda: evaluated_as_it_is(world), "the change is evaluated")
    phases = (time.monotonic() - began) // 2 + 1
    assert evaluations(operator) - evaluated >= changes
    # Of a beat that is late, what comes before it may ask once more; asking at half an interval's age would be twice.
    assert questions(operator) - asked <= 1.5 * 3 * phases
