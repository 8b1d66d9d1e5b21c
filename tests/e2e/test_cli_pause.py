"""`kubectl resilience pause` and `resume` on the real cluster: the operator keeps its hands off, then goes on."""

from __future__ import annotations

from tests.e2e.test_cli import Call, answered, resilience
from tests.e2e.test_scaling import CPU_RULE
from tests.support.operator import Operator
from tests.support.waiting import throughout
from tests.support.world import GROUP, PLURAL, VERSION, World

__all__ = ["resilience"]


def test_a_paused_policy_does_nothing_over_a_restart_and_goes_on_when_the_time_is_over(
    world: World, operator: Operator, resilience: Call
) -> None:
    world.deployment()
    world.policy(rules=[CPU_RULE])
    world.until_verdict("cpu", "Ok")

    paused = answered(resilience("pause", "checkout", "--reason", "load test", "--for", "1h", "-o", "json"))
    assert paused["noted"] is True, "the operator says that it keeps to it"
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("True", "PausedByHand")
    assert f"until {paused['until']}: load test" in ready["message"]
    assert [e["reason"] for e in world.told("PolicyPaused", "Deployment")] == ["PolicyPaused"]
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.95)
    operator.stop()
    operator.start()
    refused = operator.metric("resilience_evaluations_total", result="refused")
    throughout(
        lambda: world.replicas() == 3,
        "nothing is scaled",
        until=lambda: operator.metric("resilience_evaluations_total", result="refused") >= refused + 3,
    )
    row = answered(resilience("status", "-o", "json"))[0]
    assert (row["state"], "load test" in row["why"]) == ("PausedByHand", True)
    told = answered(resilience("explain", "checkout", "-o", "json"))
    assert any("load test" in sentence for sentence in told["blockers"])

    again = resilience("pause", "checkout", "--reason", "load test, the end", "--for", "2s")
    assert again.returncode == 0, again.stderr
    assert "load test, the end" in again.stdout
    world.until(lambda: world.condition("Ready")["reason"] == "Accepted", "it goes on by itself")
    world.until(lambda: world.replicas() == 5, "and does what it would have done")
    (resumed,) = world.until(lambda: world.told("PolicyResumed"), "and says so")
    assert "it has run out" in resumed["note"]

    lifted = resilience("resume", "checkout")
    assert lifted.returncode == 0, lifted.stderr
    assert "already expired" in lifted.stdout
    assert world.read_policy()["metadata"].get("annotations", {}) == {}
    nothing = resilience("resume", "checkout")
    assert (nothing.returncode, nothing.stderr) == (1, "kubectl resilience: policy checkout is not paused\n")


def test_an_end_that_cannot_be_read_keeps_the_policy_paused_and_is_told(
    world: World, operator: Operator, resilience: Call
) -> None:
    world.deployment()
    world.policy()
    world.annotate_policy({"resilience-operator.io/paused-until": "tomorrow"})
    world.until(lambda: world.condition("Ready").get("reason") == "PauseUnreadable", "it is told")
    ready = world.condition("Ready")
    assert (ready["status"], "'tomorrow'" in ready["message"]) == ("False", True)
    assert "use one like 2026-01-31T12:00:00Z" in ready["message"]
    lifted = resilience("resume", "checkout")
    assert (lifted.returncode, lifted.stderr) == (0, ""), lifted.stderr
    assert world.condition("Ready")["reason"] == "Accepted"


def test_all_policies_are_stopped_at_once_and_one_that_is_missing_stops_no_other(
    world: World, operator: Operator, resilience: Call
) -> None:
    for name in ("one", "two", "three"):
        world.deployment(name, replicas=1)
        world.policy(name, targetRef={"name": name}, rules=[CPU_RULE])
    world.custom.patch_namespaced_custom_object(
        GROUP, VERSION, world.namespace, PLURAL, "three", {"metadata": {"labels": {"team": "other"}}}
    )

    def paused() -> set[str]:
        return {name for name in ("one", "two", "three") if world.condition("Ready", name)["reason"] == "PausedByHand"}

    some = resilience("pause", "one", "missing", "rsp/two", "--reason", "incident 4711")
    assert some.returncode == 1
    assert "1 of 3 policies could not be paused" in some.stderr
    assert [line.split()[1:] for line in some.stdout.splitlines()[1:]] == [
        ["one", "paused"], ["two", "paused"], ["missing", "not", "found"],
    ]  # fmt: skip
    world.until(lambda: paused() == {"one", "two"}, "both are paused", "one")

    rest = answered(resilience("pause", "-l", "team=other", "--reason", "incident 4711", "-o", "json"))
    assert rest == [{"namespace": world.namespace, "name": "three", "result": "paused"}]
    world.until(lambda: len(paused()) == 3, "all are paused", "three")

    again = resilience("resume", "--all")
    assert again.returncode == 0, again.stderr
    assert "3 policies resumed" in again.stderr
    world.until(lambda: not paused(), "all go on", "one")
    nothing = resilience("pause", "-l", "team=nobody", "--reason", "x")
    assert (nothing.returncode, "no policy found in namespace" in nothing.stderr) == (1, True)
    assert resilience("pause", "--reason", "x").returncode == 2, "nothing is never everything"
