"""The leader freezes in the middle of an action, another replica takes over and ends it, and then the first goes on.

As in test_crash, a proxy finds the call: of each policy another one, until every call has its policy. When all of them
are there it freezes the leader, and lets the call itself go on only when all is over: that is the write which no lease
can hold back, and which its own precondition has to. What changes the target goes on at once as well, of a policy more.
"""

from __future__ import annotations

from functools import partial

import pytest

from tests.e2e.crashing import SCENARIOS, ActPath, Scenario, end_state, prepare, undisturbed
from tests.e2e.killing import freeze_at_each, until_same
from tests.e2e.test_scaling import after_evaluations
from tests.support.operator import Operator
from tests.support.proxy import Proxy
from tests.support.waiting import eventually
from tests.support.world import World

pytestmark = pytest.mark.long

MOMENTS = 13
"""Calls at which a policy each waits, at most, as far as is known; no more may act in a namespace at once."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_frozen_at_every_call(
    world: World, replicas: tuple[Operator, Operator], proxy: Proxy, scenario: Scenario
) -> None:
    leader, standby = replicas
    names = [f"{scenario.name}{n}" for n in range(MOMENTS + 1)]
    prepare(world, scenario, names)
    right, calls = undisturbed(world, proxy, scenario, names[0])
    changes = [n for n, call in enumerate(calls, 1) if call.startswith("PATCH") and not call.endswith("/status")]
    wanted = [*((n, True) for n, _ in enumerate(calls, 1)), *((n, False) for n in changes)]
    assert changes and len(wanted) <= MOMENTS, f"prepare more targets: {calls}"
    moments = dict(zip(names[1:], wanted, strict=False))
    frozen = freeze_at_each(
        leader, proxy, moments, lambda name: ActPath(name, scenario.verb), lambda name: scenario.provoke(world, name)
    )
    eventually(lambda: standby.leads, "the standby leads")

    def until_end(name: str, what: str) -> None:
        until_same(partial(end_state, world, proxy, name), right, what)

    for name, (n, late) in moments.items():
        how = "late" if late else "at once"
        until_end(name, f"frozen at call {n} of {calls}, which comes {how}: the standby ends it")
    through = frozen.let_pass()
    for name, (_, late) in moments.items():
        call = through[name]
        if call.asked.method == "PATCH":
            # Fields are handed back at the version that was read; the controller's status may come in between.
            retried = call.reached == 409 and "managedFields" in str(call.asked.json())
            assert call.reached != 200 if late else call.reached == 200 or retried, call
    frozen.thaw()
    eventually(after_evaluations(standby, 2 * len(names)), "all are looked at again")  # type: ignore[arg-type]
    for name in (names[0], *moments):
        until_end(name, f"{name}: it stays so")
