"""An API server that errs, stalls, forgets, lies about conflicts or is away: the operator gets through, and acts once.

Each test breaks the wire between the operator and the real API server in one way, provokes an action, and asks for the
same end: done once in the cluster, once in the history, once among the events.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.test_release import bad, guard, settle
from tests.e2e.test_scaling import after_evaluations
from tests.support.operator import Operator
from tests.support.proxy import Passed, Proxy, faults, kubeconfig_through
from tests.support.waiting import eventually, throughout
from tests.support.world import World

BUSY = {
    "name": "busy",
    "when": {"signal": "cpu", "above": "70%"},
    "then": [{"scaleUp": {"pods": 2, "cooldown": "1h"}}],
}
STATUS = "/resiliencepolicies/checkout/status$"
TARGET = "/deployments/checkout$"
SCALE = "/deployments/checkout/scale$"


@pytest.fixture
def operator(new_operator: Callable[..., Operator], proxy: Proxy, operator_identity: Path, tmp_path: Path) -> Operator:
    """A running operator that reaches the API server through the proxy alone, and watches already.

    Cut before, while kopf reads which resources there are, the process ends (docs/adr/0003-kopf-embedded.md).
    """
    kubeconfig = kubeconfig_through(proxy, operator_identity, tmp_path)
    watch = proxy.add(faults.delay(0), path="/resiliencepolicies$", where=lambda asked: asked.watch)
    found = new_operator(kubeconfig=kubeconfig, environment={"RESILIENCE_RELIST_SECONDS": "10"}).start()
    eventually(lambda: watch.used > 0, "kopf watches the policies")
    proxy.remove(watch)
    return found


def calm(world: World) -> None:
    """A calm target with a policy that adds two pods, once, when it gets busy."""
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.2)
    world.policy(rules=[BUSY], scaleDown={"enabled": False})
    world.until_verdict("cpu", "Ok")


def busy(world: World) -> None:
    world.load.workload(world.namespace, "checkout", cpu_utilisation=2.0)


def scaled_once(world: World, proxy: Proxy, operator: Operator) -> None:
    """Two pods more, and that was all."""
    world.until(lambda: world.replicas() == 5, "two pods more")
    world.until(lambda: world.actions() == ["scaleUp"], "it is in the history")
    throughout(lambda: world.replicas() == 5, "no more than once", until=after_evaluations(operator, 3))  # type: ignore[arg-type]
    assert world.actions() == ["scaleUp"]
    assert len(world.told("ScaledUp")) == 1
    assert len(world.told("ScaledUp", "Deployment")) == 1
    assert len(proxy.seen(lambda p: _wrote(p, SCALE) and p.reached == 200)) == 1


def _wrote(passed: Passed, path: str) -> bool:
    return passed.asked.method == "PATCH" and passed.asked.path.endswith(path.removesuffix("$"))


def test_half_of_all_answers_are_errors(world: World, operator: Operator, proxy: Proxy) -> None:
    calm(world)
    chance = random.Random(1).random
    for status in (500, 503):
        proxy.add(faults.answer(status), share=0.3, random=chance)
    busy(world)
    world.until(lambda: world.replicas() == 5, "two pods more")
    proxy.clear()
    scaled_once(world, proxy, operator)
    assert operator.metric("resilience_retries_total", dependency="kubernetes") > 0


def test_retry_after_is_honoured(world: World, operator: Operator, proxy: Proxy) -> None:
    calm(world)
    proxy.add(faults.answer(429, retry_after=2), "PATCH", SCALE, times=2)
    busy(world)
    scaled_once(world, proxy, operator)
    tries = proxy.seen(lambda p: _wrote(p, SCALE))
    assert [p.status for p in tries] == [429, 429, 200]
    gaps = [later.at - earlier.at for earlier, later in pairwise(tries)]
    assert min(gaps) >= 2.0, gaps
    assert operator.metric("resilience_retries_total", reason="status_429") >= 2


def test_being_forbidden_for_a_moment_is_no_failure(world: World, operator: Operator, proxy: Proxy) -> None:
    """An API server that starts forbids everything until it has read the roles. What stays forbidden is told, once."""
    calm(world)
    proxy.add(faults.answer(403), "PATCH", SCALE, times=3)
    busy(world)
    scaled_once(world, proxy, operator)
    assert not world.told("ActionFailed")
    forbidden = proxy.add(faults.answer(403), "PATCH", SCALE)
    world.change_policy(rules=[{**BUSY, "then": [{"scaleUp": {"pods": 2, "cooldown": "0s"}}]}])
    for kind in ("ResiliencePolicy", "Deployment"):
        world.until(lambda k=kind: world.told("ActionFailed", k), f"the {kind} tells of it")
    assert forbidden.used > 3
    assert world.replicas() == 5
    assert len(world.told("ActionFailed")) == 1


def test_nothing_is_done_before_the_intent_is_written_down(world: World, operator: Operator, proxy: Proxy) -> None:
    calm(world)
    storm = proxy.add(faults.answer(409), "PATCH", STATUS)
    busy(world)
    throughout(lambda: world.replicas() == 3, "it is not scaled", until=lambda: storm.used >= 10)
    assert not proxy.seen(lambda p: _wrote(p, SCALE))
    proxy.remove(storm)
    scaled_once(world, proxy, operator)


@pytest.mark.parametrize("path", [STATUS, SCALE, "/events$"], ids=["status", "scale", "event"])
def test_an_answer_that_is_lost(world: World, operator: Operator, proxy: Proxy, path: str) -> None:
    calm(world)
    lost = proxy.add(faults.reset(after=True), path=path, where=lambda asked: asked.mutating, times=2)
    busy(world)
    scaled_once(world, proxy, operator)
    world.until(lambda: lost.used == 2 or path == SCALE, "answers were lost")


@pytest.mark.parametrize("restarted", [False, True], ids=["goes-on", "restarted"])
def test_what_could_not_be_told_is_told_again(
    world: World, operator: Operator, proxy: Proxy, *, restarted: bool
) -> None:
    """Events are refused while it acts; nothing waits for them, and afterwards each is there once."""
    calm(world)
    world.change_policy(rules=[{**BUSY, "then": [{"alert": {}}, *BUSY["then"]]}])
    refused = proxy.add(faults.answer(503), "POST", "/events$")
    busy(world)
    world.until(lambda: world.actions() == ["scaleUp"], "it acts all the same")
    world.until(lambda: refused.used > 0, "events were refused")
    assert "alert/busy" not in world.status()["memory"].get("told", ())
    assert not world.told("Alert")
    if restarted:
        operator.kill()
        operator.start()
    proxy.remove(refused)
    for kind in ("ResiliencePolicy", "Deployment"):
        world.until(lambda k=kind: world.told("Alert", k), f"the {kind} tells of the alert")
        # What was done stands in the history; a notice alone is told by the next process too.
        world.until(lambda k=kind: restarted or world.told("ScaledUp", k), f"the {kind} tells of the pods")
    world.until(lambda: "alert/busy" in world.status()["memory"]["told"], "it counts as told")
    throughout(lambda: world.replicas() == 5, "it is not scaled again", until=after_evaluations(operator, 1))  # type: ignore[arg-type]
    for kind in ("ResiliencePolicy", "Deployment"):
        assert len(world.told("Alert", kind)) == 1
        assert len(world.told("ScaledUp", kind)) == (0 if restarted else 1)


def test_answers_that_end_in_the_middle(world: World, operator: Operator, proxy: Proxy) -> None:
    calm(world)
    halves = proxy.add(faults.half(), where=lambda a: not a.watch, share=0.4, random=random.Random(2).random)
    busy(world)
    world.until(lambda: world.replicas() == 5, "two pods more")
    proxy.clear()
    scaled_once(world, proxy, operator)
    assert halves.used > 0


def test_watches_that_are_cut_every_two_seconds(world: World, operator: Operator, proxy: Proxy) -> None:
    cuts = proxy.add(faults.cut_stream(2.0), where=lambda asked: asked.watch)
    proxy.cut_all()
    settle(world)
    bad(world)
    world.release("2.0")
    world.until(lambda: world.running() == "1.0" and not world.paused(), "the good template is back")
    world.until_phase("RolledBack")
    assert world.actions() == ["pauseRollout", "rollback"]
    assert cuts.used > 4


def test_versions_that_are_gone(world: World, operator: Operator, proxy: Proxy) -> None:
    calm(world)
    gone = proxy.add(faults.gone(), where=lambda asked: asked.watch)
    proxy.cut_all()
    # A release, and a policy that goes and comes back, both while no watch tells of anything.
    world.release("1.1")
    world.delete_policy()
    world.policy(rules=[BUSY], scaleDown={"enabled": False})
    busy(world)
    scaled_once(world, proxy, operator)
    assert gone.used > 4
    proxy.remove(gone)
    world.until(lambda: world.condition("Ready").get("status") == "True", "the new policy is the one that is known")


def test_an_api_server_that_is_away(world: World, operator: Operator, proxy: Proxy) -> None:
    calm(world)
    proxy.close_door()
    busy(world)
    refused = operator.metric("resilience_retries_total", dependency="kubernetes", reason="refused")
    eventually(
        lambda: operator.metric("resilience_retries_total", dependency="kubernetes", reason="refused") > refused + 20,
        "it was tried again and again",
        last=operator.tail,
    )
    assert operator.get("/healthz")[0] == 200
    assert world.replicas() == 3
    proxy.open_door()
    scaled_once(world, proxy, operator)


def test_a_watch_that_has_gone_mute_is_not_believed(world: World, operator: Operator, proxy: Proxy) -> None:
    """What was just written and is not seen yet is no person's doing, however long it is not seen."""
    pause = proxy.add(faults.delay(0), "PATCH", TARGET)
    proxy.add(faults.mute_stream(lambda: pause.used > 0), path="/deployments$", where=lambda asked: asked.watch)
    proxy.cut_all()
    settle(world, rules=guard({"pauseRollout": {}}, {"rollback": {"after": "20s"}}))
    bad(world)
    world.release("2.0")
    # The controller completes the rollback later than the list that shows the operator's write. No watch tells of it:
    # the list after a silent watch does.
    world.until_phase("RolledBack", patience=300)
    assert world.actions() == ["pauseRollout", "rollback"]
    assert world.running() == "1.0"
    assert not world.told("HandsOff")


def test_a_policy_that_goes_in_a_gap_of_the_watch_leaves_nothing(
    world: World, operator: Operator, proxy: Proxy
) -> None:
    settle(world, rules=guard({"pauseRollout": {}}))
    bad(world)
    world.release("2.0")
    world.until_phase("Paused")
    gone = proxy.add(faults.gone(), path="/resiliencepolicies$", where=lambda asked: asked.watch)
    proxy.cut_all()
    world.delete_policy()
    world.until(lambda: not world.paused(), "the pause is lifted")
    proxy.remove(gone)
