"""The operator dies at every call of lifting a hold: none stays behind, and none is lifted or told twice."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from resilience_operator.kube.writes.gitops_hold import HOLD
from tests.e2e.crashing import SCENARIOS, ActPath, prepare, ready_at_once, without_retries
from tests.e2e.killing import kill_at_each, moments_of, until_all
from tests.support.gitops import RECONCILE, attempted
from tests.support.operator import Operator
from tests.support.proxy import Asked, Proxy, faults
from tests.support.world import World

pytestmark = pytest.mark.long

HELD = next(s for s in SCENARIOS if s.held)

TARGETS = 13
"""One for each moment, at most, and an undisturbed one."""

LIFTED = "ReconciliationResumed"


class LiftPath(ActPath):
    """The calls that lift a hold, with the events that tell of it."""

    def _about(self, asked: Asked) -> bool:
        if asked.method == "POST" and asked.path.endswith("/events"):
            event = asked.json()
            return bool(event["regarding"]["name"] == self.name and event["reason"] == LIFTED)
        return super()._about(asked)


def end(world: World, name: str) -> dict[str, Any]:
    """What lifting a hold leaves behind."""
    annotations = world.get(name)["metadata"].get("annotations", {})
    told = [e["reason"] for kind in ("ResiliencePolicy", "Deployment") for e in world.events(kind, name)]
    status = world.status(name)
    return {
        "marks": {RECONCILE, HOLD} & set(annotations),
        "lifted": world.actions(name).count("liftHold"),
        "rollbacks": world.actions(name).count("rollback"),
        "told": told.count(LIFTED),
        "intent": status["memory"].get("intent"),
        "since": (status["memory"].get("hold") or {}).get("since"),
        "phase": world.phase(name),
        "image": world.running(name),
    }


def path(name: str) -> LiftPath:
    """The calls that lift the hold of a target."""
    return LiftPath(name, "liftHold")


def test_killed_at_every_call(world: World, proxied: Operator, proxy: Proxy) -> None:
    names = [f"held{n}" for n in range(TARGETS)]
    prepare(world, HELD, names)
    for name in names:
        HELD.provoke(world, name)
    for name in names:
        ready_at_once(world, name)
        world.until_phase("Stable", name)
        assert HOLD in world.get(name)["metadata"]["annotations"]

    first = names[0]
    lifting = path(first)
    rule = proxy.add(faults.reset(), where=lifting, share=0.0)
    attempted(world, "main@sha1:fix", name=first)
    world.until(lambda: "liftHold" in world.actions(first), "the hold is lifted", first)
    world.until(lambda: world.told(LIFTED, "Deployment", first), "it is told", first)
    proxy.remove(rule)
    right, calls = end(world, first), without_retries(lifting.calls)
    assert (right["marks"], right["lifted"]) == (set(), 1)
    moments = moments_of(names[1:], calls, False, True)
    assert len(moments) >= 6
    killed = kill_at_each(
        proxied,
        proxy,
        moments,
        path,
        lambda name: attempted(world, "main@sha1:fix", name=name),
        spare=names[1 + len(moments) :],
    )
    until_all(proxied, partial(end, world), right, killed, targets=len(names))
