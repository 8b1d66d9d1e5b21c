"""A rollout that leaves no pod for a while: its errors are the strategy's, and the release is judged afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.target import TargetState
from tests.unit.decision.builders import FAILING, Run, policy, ratio, revision, seen, target, verbs, whole

GOOD = seen(error_rate=whole(ratio(6, 6000)))
OUTAGE = seen(error_rate=whole(ratio(3000, 6000)))
"""An ingress counts its own 503 while no pod answers. It cannot be split by revision."""


def state(ready: int, *, out: bool, **fields: Any) -> TargetState:
    new = revision("b", 2, age=0.0, replicas=4, ready=ready)
    revisions = (revision("a", replicas=0), new)
    return target(ready=ready, rolled_out=out, revision="b", revisions=revisions, **fields)


def replaced(run: Run, after: dict[str, Observation], looks: int = 40) -> list[str]:
    """All pods are replaced at once; the window shows the outage for a minute after the new ones are ready."""
    acted = []
    for look in range(looks):
        paused = {"paused": run.target.paused, "paused_by": run.target.paused_by}
        run.target = state(0 if look < 3 else 4, out=look >= 3, replaces_all=True, **paused)
        acted += verbs(run.look(GOOD if look == 0 else OUTAGE if look < 7 else after))
        if "rollback" in acted:
            break
    return acted


def begun() -> Run:
    run = Run(policy(FAILING))
    run.look(GOOD)
    run.look(GOOD)
    return run


def test_the_outage_of_recreate_is_not_the_releases() -> None:
    run = begun()
    assert replaced(run, GOOD, 60) == []
    assert (run.release.phase, run.release.good) == (Phase.STABLE, "b")


def test_a_release_that_fails_after_the_outage_is_rolled_back() -> None:
    run = begun()
    started = run.now
    acted = replaced(run, OUTAGE)
    assert acted[-1] == "rollback"
    # Three looks without a pod, a window of 60 s, and the rule's 30 s.
    assert run.now - started >= 3 * 15 + 60 + 30


def test_without_such_a_strategy_an_outage_that_is_seen_does_not_count_either() -> None:
    run = begun()
    acted = []
    for look in range(30):
        run.target = state(0, out=False) if look < 2 else state(4, out=True)
        acted += verbs(run.look(OUTAGE if 0 < look < 6 else GOOD))
    assert acted == []


@pytest.mark.parametrize("replaces_all", [False, True])
def test_while_pods_serve_a_breach_of_the_release_is_not_hidden(replaces_all: bool) -> None:
    run = begun()
    run.target = state(4, out=True, replaces_all=replaces_all)
    run.look(GOOD)
    told = [notice.reason for _ in range(6) for notice in run.look(OUTAGE).notices]
    assert "GuardBreached" in told
