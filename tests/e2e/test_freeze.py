"""Freezes and approvals, end to end: a template waits, a rollback does not, and a person has the last word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.test_cli import Call, resilience
from tests.e2e.test_release import SIDE_BY_SIDE, bad, guard, settle
from tests.e2e.test_scaling import after_evaluations
from tests.support.operator import Operator
from tests.support.waiting import throughout
from tests.support.world import World

pytestmark = pytest.mark.long

__all__ = ["resilience"]

FREEZE_UNTIL = "resilience-operator.io/freeze-until"


def until(**delta: float) -> str:
    """A time from now on, as in the annotation."""
    return (datetime.now(UTC) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def always() -> list[dict[str, str]]:
    """A freeze that begins every minute and lasts an hour."""
    return [{"cron": "* * * * *", "for": "1h", "timeZone": "Europe/Berlin"}]


def health(world: World) -> str:
    return str(world.condition("ReleaseHealthy").get("reason"))


def end(world: World) -> None:
    world.change_policy(release={"freeze": None})


def test_a_template_waits_and_goes_on_when_the_freeze_ends(world: World, operator: Operator) -> None:
    settle(world, release={"bake": "10s", "freeze": always()})
    world.until(world.paused, "the rollout is paused beforehand")
    world.until(lambda: health(world) == "Frozen", "the condition says so")
    world.release("1.1")
    world.until(lambda: world.told("FreezeHolds"), "the template is reported")
    operator.kill()
    operator.start()
    throughout(
        lambda: set(world.tags()) == {"1.0"} and world.paused(),
        "it waits, also after a restart",
        until=after_evaluations(operator, 4),
    )
    # Scaling goes on: a workload below its minimum is restored.
    world.apps.patch_namespaced_deployment_scale("checkout", world.namespace, {"spec": {"replicas": 2}})
    world.until(lambda: world.tags() == ["1.0"] * 4, "it is scaled, with the old template")
    end(world)
    world.until(lambda: set(world.tags()) == {"1.1"}, "the release begins")
    assert not world.paused()
    world.until_phase("Stable")
    done = [a for a in world.actions() if a.endswith("freezeRollout")]
    assert done == ["freezeRollout", "unfreezeRollout"]
    assert world.running() == "1.1"


def test_a_bad_release_is_rolled_back_in_a_freeze(world: World, operator: Operator) -> None:
    settle(world, SIDE_BY_SIDE, rules=guard({"rollback": {"after": "10s"}}))
    bad(world)
    world.release("2.0")
    world.until_phase("Progressing")
    world.annotate_policy({FREEZE_UNTIL: until(hours=1)})
    world.until(lambda: world.running() == "1.0", "the good template is back")
    world.until_phase("RolledBack")
    world.until(lambda: world.actions() == ["rollback", "freezeRollout"], "then the freeze holds")
    assert world.paused()


def test_an_annotation_freezes_and_its_time_ends_it(world: World, operator: Operator) -> None:
    settle(world)
    world.annotate_policy({FREEZE_UNTIL: until(seconds=20)})
    world.until(world.paused, "the rollout is paused")
    world.release("1.1")
    world.until(lambda: world.told("FreezeHolds"), "the template is reported")
    world.until(lambda: set(world.tags()) == {"1.1"}, "its time ends it")


def test_a_person_who_resumes_has_the_last_word(world: World, operator: Operator) -> None:
    settle(world, release={"bake": "10s", "freeze": always()})
    world.until(world.paused, "the rollout is paused")
    world.release("1.1")
    world.until(lambda: world.told("FreezeHolds"), "the template is reported")
    world.apps.patch_namespaced_deployment(
        "checkout", world.namespace, {"spec": {"paused": None}}, field_manager="kubectl-rollout"
    )
    world.until(lambda: world.told("FreezeLifted"), "it is reported")
    world.until(lambda: set(world.tags()) == {"1.1"}, "the release begins")
    world.until_phase("Stable")
    throughout(lambda: not world.paused(), "it is not paused again", until=after_evaluations(operator, 4))
    assert world.actions() == ["freezeRollout"]


def test_a_stateful_set_waits_by_its_partition(world: World, operator: Operator) -> None:
    world.workload("StatefulSet", replicas=3)
    world.load.workload(world.namespace, "checkout", rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "checkout"}
    world.policy(targetRef=target, replicas={"min": 3}, release={"bake": "10s", "freeze": always()})

    def partition() -> int:
        strategy: dict[str, Any] = world.read_workload("StatefulSet")["spec"]["updateStrategy"]
        return int((strategy.get("rollingUpdate") or {}).get("partition", 0))

    world.until(lambda: partition() > 3, "the rollout is held by its partition")
    world.release_of("StatefulSet", "1.1")
    world.until(lambda: world.told("FreezeHolds"), "the template is reported")
    throughout(lambda: set(world.tags()) == {"1.0"}, "it waits", until=after_evaluations(operator, 4))
    end(world)
    world.runs("StatefulSet", "1.1")
    assert partition() == 0


def test_the_pause_of_a_freeze_goes_with_the_policy(world: World, operator: Operator) -> None:
    settle(world, release={"bake": "10s", "freeze": always()})
    world.until(world.paused, "the rollout is paused")
    world.delete_policy()
    world.until(lambda: not world.paused(), "the pause is lifted")


def ask(world: World, **approval: str) -> dict[str, Any]:
    """A bad release, paused, whose rollback waits for approval. Returns the request's event."""
    settle(world, rules=guard({"pauseRollout": {}}, {"rollback": {"after": "5s", "approval": approval}}))
    bad(world)
    world.release("2.0")
    world.until(lambda: world.told("ApprovalNeeded"), "a person is asked")
    (event,) = world.told("ApprovalNeeded")
    assert event["type"] == "Warning"
    assert f"kubectl resilience approve checkout -n {world.namespace}" in event["note"]
    return event


def test_an_approved_rollback_is_recorded_with_who_approved(world: World, operator: Operator, resilience: Call) -> None:
    ask(world, within="1h")
    operator.kill()
    operator.start()
    throughout(lambda: world.running() == "2.0", "it waits", until=after_evaluations(operator, 3))
    assert world.paused()
    done = resilience("approve", "checkout")
    assert done.returncode == 0, done.stderr
    assert "approved the rollback of revision" in done.stdout
    world.until(lambda: world.running() == "1.0", "the good template is back")
    world.until(lambda: world.actions() == ["pauseRollout", "rollback"], "it is in the history")
    assert "; approved by " in world.status()["lastDecision"]["message"]
    again = resilience("approve", "checkout")
    assert (again.returncode, "asks for no approval" in again.stderr) == (1, True)


def test_a_denied_rollback_is_recorded_and_not_executed(world: World, operator: Operator, resilience: Call) -> None:
    ask(world, within="30s")
    done = resilience("deny", "checkout", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert '"noted": true' in done.stdout
    world.until(lambda: world.actions() == ["pauseRollout", "denyRollback"], "the denial is in the history")
    world.until(lambda: world.told("RollbackDenied"), "it is reported")
    throughout(lambda: world.running() == "2.0", "it is not rolled back", until=after_evaluations(operator, 10))
    assert world.paused()


def test_without_an_answer_it_is_rolled_back(world: World, operator: Operator) -> None:
    ask(world, within="5s")
    world.until(lambda: world.running() == "1.0", "the good template is back")
    world.until(lambda: "nobody answered within 5s" in world.status()["lastDecision"]["message"], "it says so")
