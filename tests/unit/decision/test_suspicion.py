"""Which releases are no baseline for the revision that replaces them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience_operator.decision.analysis import sequential
from resilience_operator.decision.analysis.suspicion import is_suspect
from resilience_operator.decision.context import prepare
from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.memory import Memory, Phase, ReleaseMemory
from resilience_operator.decision.model.policy import Condition, Policy, Rule, Signal
from resilience_operator.decision.model.score import Cell, LiveEvidence, LiveScore, Score
from tests.unit.decision.builders import revision, target

SIGNAL = Signal("error-rate", window=120.0, min_samples=20.0, unit="ratio")
RULE = Rule("failing-release", (Condition("error-rate", 0.01),), pause=True)
POLICY = Policy("u", "shop", "checkout", 1, (RULE,), {"error-rate": SIGNAL})


def release(failures: float, slots: int = 3) -> ReleaseMemory:
    """A release with so many failures in 60 requests of each slot."""
    score = Score()
    for slot in range(slots):
        cells = [Cell("n", True, 60.0, failures), Cell("o", False, 180.0, 0.0)]
        score = sequential.add_slot(score, cells, 5.0 * slot)
    return ReleaseMemory(Phase.PROGRESSING, 0.0, "b", good="a", scores={"error-rate>0.01": score})


@pytest.mark.parametrize(("failures", "slots", "suspect"), [(3, 3, True), (3, 2, False), (0, 30, False)])
def test_a_release_that_fails_by_its_counts_is_a_suspect(failures: float, slots: int, suspect: bool) -> None:
    assert is_suspect(release(failures, slots), POLICY) is suspect


def test_what_was_never_measured_is_no_suspect() -> None:
    assert not is_suspect(ReleaseMemory(Phase.PROGRESSING, 0.0, "b", good="a"), POLICY)


@pytest.mark.parametrize(("failures", "charged"), [(3.0, ("b",)), (0.0, ())])
def test_a_fix_is_not_compared_with_a_suspect(failures: float, charged: tuple[str, ...]) -> None:
    now = replace(target(), revision="c")
    memory = Memory(target_uid=now.uid, release=release(failures))
    context = prepare(POLICY, {}, now, memory, 100.0)
    assert context.release.revision == "c"
    assert context.release.charged == charged
    assert ("b" in context.canary.quarantined) is bool(charged)


@pytest.mark.parametrize(("windowed", "due"), [(False, 220.0), (True, 340.0)])
def test_a_breach_without_old_pods_is_judged_when_it_has_lasted_and_not_an_interval_later(
    windowed: bool, due: float
) -> None:
    live = LiveScore(crossed_since=100.0, windowed=windowed)
    memory = release(3)
    held = replace(memory, live=LiveEvidence({"error-rate>0.01": live}), revision="b", canary_measured_since=90.0)
    now = replace(target(), revision="b", revisions=(revision("b"),))
    decision = decide(POLICY, {}, now, Memory(target_uid=now.uid, release=held), 105.0)
    assert decision.wake == due
