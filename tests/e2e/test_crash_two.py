"""The leader freezes in the middle of an action, another replica takes over and ends it, and then the first goes on.

As in test_crash, a proxy finds the call: of each policy another one, until every call has its policy. When all of them
are there it freezes the leader, and lets the call itself go on only when all is over: that is the write which no lease
can hold back, and which its own precondition has to. What changes the target goes on at once as well, of a policy more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from tests.cluster import Cluster
from tests.e2e.crashing import SCENARIOS, ActPath, Scenario, prepare, undisturbed, until_end
from tests.e2e.test_scaling import after_evaluations
from tests.support.install import grant_lease
from tests.support.operator import Operator
from tests.support.proxy import Passed, Proxy, api_proxy, faults, kubeconfig_through
from tests.support.waiting import eventually
from tests.support.world import World

pytestmark = pytest.mark.long

MOMENTS = 13
"""Calls at which a policy each waits, at most, as far as is known; no more may act in a namespace at once."""


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
    environment = {
        "RESILIENCE_LEASE_NAMESPACE": world.namespace,
        "RESILIENCE_LEASE_SECONDS": "20",  # the leader keeps it, however busy the machine, until it is frozen
        "RESILIENCE_REFRESH_SECONDS": "0",
    }
    leader, standby = (
        new_operator("--leader-election", kubeconfig=kubeconfig, environment=environment) for _ in range(2)
    )
    leader.start()
    eventually(lambda: leader.leads, "the first leads")
    return leader, standby.start()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_frozen_at_every_call(
    world: World, replicas: tuple[Operator, Operator], proxy: Proxy, scenario: Scenario
) -> None:
    leader, standby = replicas
    names = [f"{scenario.name}{n}" for n in range(MOMENTS + 1)]
    prepare(world, scenario, names)
    right, calls = undisturbed(world, proxy, scenario, names[0])
    changes = [n for n, call in enumerate(calls, 1) if call.startswith("PATCH") and not call.endswith("/status")]
    wanted = [*((n, "late") for n, _ in enumerate(calls, 1)), *((n, "at once") for n in changes)]
    assert changes and len(wanted) <= MOMENTS, f"prepare more targets: {calls}"
    moments = dict(zip(names[1:], wanted, strict=False))
    begun, frozen, over = Event(), Event(), Event()
    started: set[str] = set()
    reached: set[str] = set()

    def start(name: str) -> None:
        """The actions go on from their first call together: a call that waits for another one is given up in time."""
        started.add(name)
        if len(started) == len(moments):
            begun.set()

    def reach(name: str) -> None:
        """The leader freezes when each policy's action has come to its moment."""
        start(name)
        reached.add(name)
        if len(reached) == len(moments):
            leader.freeze()
            frozen.set()

    for name, (n, how) in moments.items():
        fault = faults.held(partial(reach, name), until=over.is_set if how == "late" else frozen.is_set)
        proxy.add(fault, where=ActPath(name, scenario.verb), skip=n - 1, times=1, name=name)
        first = faults.held(partial(start, name), until=begun.is_set)
        proxy.add(first, where=ActPath(name, scenario.verb), times=1, name="start")
    for name in moments:
        scenario.provoke(world, name)
    eventually(frozen.is_set, "each action comes to its moment", last=lambda: (started, reached))
    eventually(lambda: standby.leads, "the standby leads")
    for name, (n, how) in moments.items():
        until_end(world, proxy, name, right, f"frozen at call {n} of {calls}, which comes {how}: the standby ends it")
    over.set()

    def passed() -> dict[str, Passed] | None:
        found = {p.fault: p for p in proxy.seen() if p.fault in moments}
        return found if set(found) == set(moments) else None

    through = eventually(passed, "all calls are through")
    for name, (_, how) in moments.items():
        call = through[name]
        if call.asked.method == "PATCH":
            # Fields are handed back at the version that was read; the controller's status may come in between.
            retried = call.reached == 409 and "managedFields" in str(call.asked.json())
            assert call.reached != 200 if how == "late" else call.reached == 200 or retried, call
    leader.thaw()
    process = leader.process
    assert process is not None
    eventually(lambda: process.poll() is not None, "who lost the lease ends")
    eventually(after_evaluations(standby, 2 * len(names)), "all are looked at again")  # type: ignore[arg-type]
    for name in (names[0], *moments):
        until_end(world, proxy, name, right, f"{name}: it stays so")
