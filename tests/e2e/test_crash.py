"""The operator dies at every single call of an action, and nothing is lost and nothing is done twice.

For each scenario the calls of an undisturbed action are counted, through a proxy. Then the operator is killed at call
n, for all n: before the API server gets the call, and after it answered but before the operator hears of it. What it
comes to after a restart, in the cluster, in the history and in the events, is what the undisturbed one came to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.e2e.crashing import SCENARIOS, ActPath, Scenario, kill_at_each, prepare, undisturbed, until_end
from tests.e2e.test_scaling import after_evaluations
from tests.support.operator import Operator
from tests.support.proxy import Proxy, api_proxy, kubeconfig_through
from tests.support.waiting import eventually
from tests.support.world import World

pytestmark = pytest.mark.long

LIKELY = 11
"""Calls that an action is made of, at most, as far as is known: so many targets are prepared beforehand."""


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy in front of the API server."""
    with api_proxy(cluster, tmp_path) as found:
        yield found


@pytest.fixture
def proxied(new_operator: Callable[..., Operator], proxy: Proxy, operator_identity: Path, tmp_path: Path) -> Operator:
    """A running operator that reaches the API server through the proxy alone."""
    kubeconfig = kubeconfig_through(proxy, operator_identity, tmp_path)
    return new_operator(kubeconfig=kubeconfig, environment={"RESILIENCE_REFRESH_SECONDS": "0"}).start()


@pytest.mark.parametrize("after", [False, True], ids=["before-the-call", "before-the-answer"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_killed_at_every_call(world: World, proxied: Operator, proxy: Proxy, scenario: Scenario, after: bool) -> None:
    names = [f"{scenario.name}{n}" for n in range(LIKELY + 1)]
    prepare(world, scenario, names)
    right, calls = undisturbed(world, proxy, scenario, names[0])
    assert right["history"].count(scenario.verb) == 1
    assert len(calls) <= LIKELY, f"prepare more targets: {calls}"
    paths = [ActPath(name, scenario.verb) for name in names[1:]]
    killed_at = kill_at_each(proxied, proxy, calls, paths, lambda name: scenario.provoke(world, name), after=after)
    for n, name in killed_at.items():
        until_end(world, proxy, name, right, f"killed at call {n} of {calls}")
    eventually(after_evaluations(proxied, 2 * len(names)), "all are looked at again")  # type: ignore[arg-type]
    for n, name in killed_at.items():
        until_end(world, proxy, name, right, f"killed at call {n} of {calls}: it stays so")
