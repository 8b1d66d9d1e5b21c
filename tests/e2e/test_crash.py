"""The operator dies at every single call of an action, and nothing is lost and nothing is done twice.

For each scenario the calls of an undisturbed action are counted, through a proxy. Then the operator is killed at call
n, for all n: before the API server gets the call, and after it answered but before the operator hears of it. What it
comes to after a restart, in the cluster, in the history and in the events, is what the undisturbed one came to.
"""

from __future__ import annotations

from functools import partial

import pytest

from tests.e2e.crashing import SCENARIOS, ActPath, Scenario, end_state, prepare, undisturbed
from tests.e2e.killing import kill_at_each, moments_of, until_all
from tests.support.operator import Operator
from tests.support.proxy import Proxy
from tests.support.world import World

pytestmark = pytest.mark.long


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_killed_at_every_call(world: World, proxied: Operator, proxy: Proxy, scenario: Scenario) -> None:
    names = [f"{scenario.name}{n}" for n in range(2 * scenario.calls)]
    prepare(world, scenario, names)
    right, calls = undisturbed(world, proxy, scenario, names[0])
    assert right["history"].count(scenario.verb) == 1
    moments = moments_of(names[1:], calls, False, True)
    killed = kill_at_each(
        proxied,
        proxy,
        moments,
        lambda name: ActPath(name, scenario.verb),
        lambda name: scenario.provoke(world, name),
        spare=names[1 + len(moments) :],
    )
    until_all(proxied, partial(end_state, world, proxy), right, killed, targets=len(names))
