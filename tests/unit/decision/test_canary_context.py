"""What a release is compared with: the time before it, and nothing that it did itself."""

from __future__ import annotations

from resilience_operator.decision.model.memory import Phase, ReleaseMemory, RequestCounts
from resilience_operator.decision.model.observation import Measured, Observation, SignalView
from resilience_operator.decision.model.policy import Condition, Policy, Rule, Signal
from resilience_operator.decision.release.attribution import update_baseline

SIGNAL = Signal("error-rate", window=120.0, min_samples=20.0, unit="ratio")
RULE = Rule("failing-release", (Condition("error-rate", 0.01),), pause=True)
POLICY = Policy("u", "shop", "checkout", 1, (RULE,), {"error-rate": SIGNAL})


def taken_down(new: Measured | None, total: Measured) -> object:
    split = {"a": Measured(0.0, 1000.0, 0.0)} | ({"b": new} if new is not None else {})
    observation = Observation(at=0.0, measured=total, by_revision=split, splittable=True)
    release = ReleaseMemory(Phase.PROGRESSING, 0.0, "b", good="a", ok_before=("failing-release",))
    views = {"error-rate": SignalView(SIGNAL, observation)}
    return update_baseline(release, POLICY, views, 100.0, anew=True).baseline.get("error-rate")


def test_what_the_new_revision_did_already_is_no_part_of_the_time_before() -> None:
    assert taken_down(None, Measured(0.001, 1000.0, 1.0)) == RequestCounts(1000.0, 1.0)
    assert taken_down(Measured(0.2, 500.0, 100.0), Measured(0.0667, 1500.0, 101.0)) == RequestCounts(1000.0, 1.0)


def test_a_new_revision_that_is_all_there_is_leaves_nothing_to_compare_with() -> None:
    assert taken_down(Measured(0.2, 500.0, 100.0), Measured(0.2, 500.0, 100.0)) is None
