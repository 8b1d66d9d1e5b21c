"""The operator dies at every call of lifting a hold: none stays behind, and none is lifted or told twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.kube.writes.gitops_hold import HOLD
from tests.cluster import Cluster
from tests.e2e.crashing import SCENARIOS, ActPath, prepare, without_retries
from tests.e2e.test_scaling import after_evaluations
from tests.support.gitops import RECONCILE, attempted
from tests.support.operator import Operator
from tests.support.proxy import Asked, api_proxy, faults, kubeconfig_through
from tests.support.waiting import eventually
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


def until_end(world: World, name: str, right: dict[str, Any], what: str) -> None:
    """Wait for the end of an undisturbed one; a failure shows in what it differs."""

    def differs() -> str:
        found = end(world, name)
        return "\n".join(f"{k}: {found[k]!r}, not {right[k]!r}" for k in right if found[k] != right[k])

    eventually(lambda: not differs(), what, last=differs, every=0.3, patience=60)


def test_killed_at_every_call(
    world: World,
    new_operator: Callable[..., Operator],
    cluster: Cluster,
    operator_identity: Path,
    tmp_path: Path,
) -> None:
    with api_proxy(cluster, tmp_path) as proxy:
        kubeconfig = kubeconfig_through(proxy, operator_identity, tmp_path)
        environment = {"RESILIENCE_REFRESH_SECONDS": "0"}
        operator = new_operator(kubeconfig=kubeconfig, environment=environment).start()
        names = [f"held{n}" for n in range(TARGETS)]
        prepare(world, HELD, names)
        for name in names:
            HELD.provoke(world, name)
        for name in names:
            world.until(lambda name=name: "rollback" in world.actions(name), f"{name} is rolled back", name)  # type: ignore[misc]
            world.until_phase("Stable", name)
            assert HOLD in world.get(name)["metadata"]["annotations"]

        first = names[0]
        path = LiftPath(first, "liftHold")
        rule = proxy.add(faults.reset(), where=path, share=0.0)
        attempted(world, "main@sha1:fix", name=first)
        world.until(lambda: "liftHold" in world.actions(first), "the hold is lifted", first)
        world.until(lambda: world.told(LIFTED, "Deployment", first), "it is told", first)
        proxy.remove(rule)
        right, calls = end(world, first), without_retries(path.calls)
        assert (right["marks"], right["lifted"]) == (set(), 1)
        # To die with the answer of a read is to die before the next call.
        moments = [(n, False) for n, _ in enumerate(calls, 1)]
        moments += [(n, True) for n, call in enumerate(calls, 1) if not call.startswith("GET")]
        assert 6 <= len(moments) < TARGETS, f"prepare more targets: {calls}"
        killed = dict(zip(names[1:], moments, strict=False))
        for name, (n, after) in killed.items():
            process = operator.process
            assert process is not None
            where = LiftPath(name, "liftHold")
            rule = proxy.add(faults.call(process.kill, after=after), where=where, skip=n - 1, times=1)
            attempted(world, "main@sha1:fix", name=name)
            eventually(lambda p=process: p.poll() is not None, f"call {n} of {name}", last=operator.tail)  # type: ignore[misc]
            operator.kill()
            proxy.remove(rule)
            operator.start()
            assert rule.used == 1
        for name, moment in killed.items():
            until_end(world, name, right, f"killed at {moment} of {calls}")
        eventually(after_evaluations(operator, 2 * len(names)), "all are looked at again")  # type: ignore[arg-type]
        for name, moment in killed.items():
            until_end(world, name, right, f"killed at {moment} of {calls}: it stays so")
