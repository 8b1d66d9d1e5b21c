"""The benches, small: their bounds hold here too, as far as so few runs can tell."""

import pytest

from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.policy import ScaleUp
from resilience_operator.simulation.workload import steady_workload
from tests.bench import decide_speed, release_statistics, scaling_stability
from tests.bench.release_statistics import Setting


@pytest.mark.parametrize(
    "setting",
    [Setting(0.009, 5.0), Setting(0.012, 50.0), Setting(0.05, 50.0)],
    ids=["just below the threshold", "just over it", "under load"],
)
def test_equal_revisions_are_not_told_apart(setting: Setting) -> None:
    alarms, rolled_back = release_statistics.false_alarms(setting, 300, seed=7)
    assert alarms <= 0.01
    assert rolled_back <= 0.01


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_bad_release_is_caught_in_time(share: float) -> None:
    assert release_statistics.caught(share, 5.0, 100, seed=7) >= 0.97


def test_a_bad_release_that_is_rolled_out_is_caught_too() -> None:
    alarm, rolled_back = release_statistics.release(
        release_statistics.random.Random(7), Setting(0.001, 50.0), new_error_rate=0.05
    )
    assert (alarm, rolled_back) == (True, True)


@pytest.mark.parametrize("scale_up", [ScaleUp(pods=2), ScaleUp(percent=50.0), ScaleUp(to_target=True)])
def test_scaling_turns_twice_a_period_at_most(scale_up: ScaleUp) -> None:
    policy = scaling_stability.policy_with(scale_up)
    found = scaling_stability.run(policy, scaling_stability.Load(period=21600.0, noise=0.15), hours=12.0, seed=7)
    assert found.changes_a_period <= scaling_stability.BOUND_CHANGES
    assert found.ups
    assert found.downs
    assert found.overloaded < 0.02


def test_a_steady_decision_writes_nothing() -> None:
    """What makes a steady policy cheap: no change of memory, so no write."""
    target, memory = steady_workload(3, "a", 1e9).state(1e9), Memory()
    for i in range(5):
        now = 1e9 + 15 * i
        memory = decide(decide_speed.POLICY, decide_speed.observed(now), target, memory, now).memory
    later = decide(decide_speed.POLICY, decide_speed.observed(2e9), target, memory, 2e9)
    assert (later.memory, later.commands, later.notices) == (memory, (), ())
