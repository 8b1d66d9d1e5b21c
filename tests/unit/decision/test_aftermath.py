"""What follows a rollback that did not end the breach."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience_operator.decision.model.memory import Phase, ServedRevision
from resilience_operator.decision.model.target import TargetState
from tests.unit.decision.builders import FAILING, Run, policy, ratio, reasons, revision, seen, split, target, unknown

BOTH_FAIL = {"error_rate": split(b=ratio(1200, 6000))}


def restored(name: str) -> TargetState:
    """All pods run the restored revision."""
    revisions = (
        revision("a", 1, replicas=4 if name == "a" else 0),
        revision("b", 2, age=0.0, replicas=4 if name == "b" else 0),
        revision("c", 3, age=0.0, replicas=4 if name == "c" else 0),
    )
    return target(revision=name, revisions=revisions)


def after_rollback(*, measured: bool) -> Run:
    """`c` was rolled back to `b`. measured: `b` was good; otherwise it served its bake without measurements."""
    run = Run(policy(FAILING))
    run.look()
    run.target = restored("b")
    run.look(seen(error_rate=unknown()))
    good = "b" if measured else "a"
    served = (ServedRevision("b", ""),)
    run.memory = replace(run.memory, release=replace(run.release, good=good, served=served, phase=Phase.BAKING))
    run.target = restored("c")
    run.look(seen(error_rate=split(c=ratio(1200, 6000))))
    for _ in range(20):
        decision = run.look(seen(error_rate=split(c=ratio(1200, 6000))))
        if run.release.rolled_from == "c":
            break
    assert decision.commands[0].to == "b"
    run.target = restored("b")
    return run


@pytest.mark.parametrize("measured", [True, False])
def test_a_restored_revision_that_was_never_measured_is_judged_like_a_release(measured: bool) -> None:
    run = after_rollback(measured=measured)
    told: list[str] = []
    for _ in range(60):
        told += reasons(run.look(seen(**BOTH_FAIL)))
        if run.release.revision == "a":
            break
    assert ("RollbackDidNotHelp" in told) is measured
    assert ("RestoredRevisionFails" in told) is not measured
    assert run.release.revision == ("b" if measured else "a")
    assert ("c" in {q.revision for q in run.memory.quarantined}) is not measured
