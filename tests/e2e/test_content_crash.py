"""The operator dies, or freezes, in the rollback of content alone: the pod template of the release was not changed.

As in test_configuration_crash, for a target that reads one ConfigMap under a fixed name. The bad content was rolled
back before, so it is rolled back at once when it is applied again, and each death takes seconds.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.e2e.crashing import without_retries
from tests.e2e.killing import freeze_at_each, kill_at_each, moments_of, until_all, until_same
from tests.e2e.test_configuration_crash import PairPath, end_of_reading, prepare_reading
from tests.e2e.test_scaling import after_evaluations
from tests.support.configuration import config_map, data_of, grant, reading
from tests.support.operator import Operator
from tests.support.proxy import Proxy, faults
from tests.support.waiting import eventually
from tests.support.world import Obj, World

pytestmark = pytest.mark.long

CALLS = 15
"""Calls of such a rollback, at most, as far as is known."""

WRITES = 8
"""Those of them that write, at most."""


@pytest.fixture(autouse=True)
def rights(cluster: Cluster) -> None:
    """The rights of the component."""
    grant(cluster)


def content(name: str) -> str:
    return f"{name}-files"


def level(world: World, name: str) -> str | None:
    return (data_of(world, content(name)) or {}).get("level")


def prepare(world: World, names: list[str]) -> None:
    """Targets whose bad content was rolled back once."""

    def template(name: str) -> Obj:
        config_map(world, content(name), level="good")
        return reading(world.template(name, "1.0"), content(name))

    prepare_reading(world, names, template)
    for name in names:
        provoke(world, name)
        # After it: of errors that are older than the content, the content is not the cause.
        world.load.image(world.image("1.0", name), error_ratio=0.5)
    failing = set(names)

    def mend() -> bool:
        """The good content mends each at once. A restored revision that fails alike would not be the cause."""
        for name in tuple(failing):
            if level(world, name) == "good":
                world.load.image(world.image("1.0", name), error_ratio=0.0)
                failing.discard(name)
        return not failing

    # Contents that fail together are an incident at first: each is rolled back when it has lasted.
    eventually(mend, "all are rolled back", last=lambda: sorted(failing), patience=300)
    for name in names:
        world.until_phase("Stable", name)


def provoke(world: World, name: str) -> None:
    config_map(world, content(name), level="bad")


def end(world: World, proxy: Proxy, name: str) -> dict[str, Any]:
    return end_of_reading(world, proxy, name) | {"content": level(world, name)}


def until_end(world: World, proxy: Proxy, name: str, right: dict[str, Any], what: str) -> None:
    """Wait for the end of an undisturbed rollback."""
    until_same(partial(end, world, proxy, name), right, what, patience=90)


def path(name: str) -> PairPath:
    """The calls of the rollback."""
    return PairPath(name, "rollback")


def undisturbed(world: World, proxy: Proxy, name: str) -> tuple[dict[str, Any], list[str]]:
    calls = path(name)
    rule = proxy.add(faults.reset(), where=calls, share=0.0)
    provoke(world, name)
    world.until(
        lambda: world.actions(name).count("rollback") == 2 and world.phase(name) == "Stable", "it is restored", name
    )
    proxy.remove(rule)
    right = end(world, proxy, name)
    assert right["content"] == "good"
    assert right["restarted"]
    return right, without_retries(calls.calls)


def test_killed_at_every_call(world: World, proxied: Operator, proxy: Proxy) -> None:
    names = [f"kept{n}" for n in range(CALLS + WRITES + 1)]
    prepare(world, names)
    right, calls = undisturbed(world, proxy, names[0])
    moments = moments_of(names[1:], calls, False, True)
    assert len(moments) >= 10

    def rest() -> None:
        """What is not measured yet is held paused, and judged later."""
        eventually(after_evaluations(proxied, 2 * len(names)), "all are measured again")  # type: ignore[arg-type]

    spare = names[1 + len(moments) :]
    killed = kill_at_each(proxied, proxy, moments, path, partial(provoke, world), spare=spare, rest=rest)
    until_all(proxied, partial(end, world, proxy), right, killed, targets=len(names), patience=90)


def test_frozen_at_every_write(world: World, replicas: tuple[Operator, Operator], proxy: Proxy) -> None:
    """As in test_crash_two: the frozen leader's write comes when another replica has ended the rollback."""
    leader, standby = replicas
    names = [f"cold{n}" for n in range(WRITES + 1)]
    prepare(world, names)
    right, calls = undisturbed(world, proxy, names[0])
    writes = [n for n, call in enumerate(calls, 1) if not call.startswith("GET")]
    assert len(writes) < len(names), f"prepare more targets: {calls}"
    moments = {name: (n, True) for name, n in zip(names[1:], writes, strict=False)}
    frozen = freeze_at_each(leader, proxy, moments, path, partial(provoke, world))
    eventually(lambda: standby.leads, "the standby leads")
    for name, (n, _) in moments.items():
        until_end(world, proxy, name, right, f"frozen at call {n} of {calls}: the standby ends it")
    for call in frozen.let_pass().values():
        assert call.asked.method != "PATCH" or call.reached != 200, call
    frozen.thaw()
    eventually(after_evaluations(standby, 2 * len(names)), "all are looked at again")  # type: ignore[arg-type]
    for name in moments:
        until_end(world, proxy, name, right, f"{name}: it stays so")
