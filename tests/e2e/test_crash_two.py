"""The leader freezes in the middle of an action, another replica takes over and ends it, and then the first goes on.

As in test_crash, a proxy finds the call: of four policies a different one each. When all four are there it freezes the
leader, and lets the call itself go on at once, or only when all is over: that is the write which no lease can hold
back, and which its own precondition has to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from tests.cluster import Cluster
from tests.e2e.crashing import SCENARIOS, ActPath, prepare, undisturbed, until_end
from tests.e2e.test_scaling import after_evaluations
from tests.support.install import grant_lease
from tests.support.operator import Operator
from tests.support.proxy import Proxy, api_proxy, faults, kubeconfig_through
from tests.support.waiting import eventually
from tests.support.world import World

pytestmark = pytest.mark.long

SCALE_UP = next(scenario for scenario in SCENARIOS if scenario.name == "scale-up")


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy in front of the API server."""
    with api_proxy(cluster, tmp_path) as found:
        yield found


@pytest.fixture
def replicas(
    world: World, new_operator: Callable[..., Operator], proxy: Proxy, operator_identity: Path, tmp_path: Path
) -> tuple[Operator, Operator]:
    """A leader and a standby, which reach the API server through the proxy alone."""
    grant_lease(world.cluster, world.namespace)
    kubeconfig = kubeconfig_through(proxy, operator_identity, tmp_path)
    environment = {"RESILIENCE_LEASE_NAMESPACE": world.namespace, "RESILIENCE_REFRESH_SECONDS": "0"}
    leader, standby = (
        new_operator("--leader-election", kubeconfig=kubeconfig, environment=environment) for _ in range(2)
    )
    leader.start()
    eventually(lambda: leader.leads, "the first leads")
    return leader, standby.start()


def test_frozen_in_an_action(world: World, replicas: tuple[Operator, Operator], proxy: Proxy) -> None:
    leader, standby = replicas
    names = [f"{SCALE_UP.name}{n}" for n in range(5)]
    prepare(world, SCALE_UP, names)
    right, calls = undisturbed(world, proxy, SCALE_UP, names[0])
    intent, change, record = (n for n, call in enumerate(calls, start=1) if call.startswith("PATCH"))
    moments = {
        names[1]: (intent, "late"),
        names[2]: (change, "late"),
        names[3]: (change, "at once"),
        names[4]: (record, "late"),
    }
    frozen, over = Event(), Event()
    reached: set[str] = set()

    def reach(name: str) -> None:
        """The leader freezes when each policy's action has come to its moment."""
        reached.add(name)
        if len(reached) == len(moments):
            leader.freeze()
            frozen.set()

    for name, (n, how) in moments.items():
        fault = faults.held(partial(reach, name), until=over.is_set if how == "late" else frozen.is_set)
        proxy.add(fault, where=ActPath(name, SCALE_UP.verb), skip=n - 1, times=1, name=name)
    for name in moments:
        SCALE_UP.provoke(world, name)
    eventually(frozen.is_set, "each action comes to its moment", last=lambda: reached)
    eventually(lambda: standby.leads, "the standby leads")
    for name, (n, how) in moments.items():
        until_end(world, proxy, name, right, f"frozen at call {n} of {calls}, which comes {how}: the standby ends it")
    over.set()
    through = eventually(
        lambda: found if set(found := {p.fault: p for p in proxy.seen() if p.fault}) == set(moments) else None,
        "all calls are through",
    )
    for name, (_, how) in moments.items():
        assert (through[name].reached == 200) is (how == "at once"), through[name]
    leader.thaw()
    process = leader.process
    assert process is not None
    eventually(lambda: process.poll() is not None, "who lost the lease ends")
    eventually(after_evaluations(standby, 2 * len(names)), "all are looked at again")  # type: ignore[arg-type]
    for name in names:
        until_end(world, proxy, name, right, f"{name}: it stays so")
