"""Where a release stands."""

from dataclasses import replace

import pytest

from resilience_operator.decision.model.memory import Phase, ScalingMemory
from resilience_operator.decision.model.policy import Release
from resilience_operator.decision.model.target import TargetState
from tests.unit.decision.builders import (
    ALL_B_BAD,
    ALL_B_GOOD,
    BAD_B,
    FAILING,
    GOOD_B,
    T0,
    Run,
    policy,
    reasons,
    releasing,
    revision,
    rolled_out,
    seen,
    split,
    target,
    unknown,
    verbs,
)

OURS = {"paused": True, "paused_by": "resilience-operator"}
THEIRS = {"paused": True, "paused_by": "kubectl-rollout"}
LOADED = seen(error_rate=split(a=GOOD_B.by_revision["a"], b=GOOD_B.by_revision["b"]))


def run_of(**fields: object) -> Run:
    return Run(policy(FAILING, release=Release(bake=120.0), **fields))


def good_a(state: TargetState | None = None) -> Run:
    """`a` is good, and then `state` is seen."""
    run = run_of()
    run.look()
    if state is not None:
        run.target = state
    return run


@pytest.mark.parametrize(
    ("first", "phase", "good"),
    [
        pytest.param(target(), Phase.STABLE, "a", id="rolled out long ago"),
        pytest.param(target(revisions=(revision("a", age=30.0),)), Phase.BAKING, None, id="rolled out just now"),
        pytest.param(releasing(), Phase.PROGRESSING, None, id="on its way"),
        pytest.param(target(revision=None, rolled_out=False), Phase.PROGRESSING, None, id="no revision made yet"),
        pytest.param(releasing(**THEIRS), Phase.PAUSED, None, id="paused by a person"),
        pytest.param(releasing(**OURS), Phase.PAUSED, None, id="paused by an operator that lost its memory"),
        pytest.param(target(**THEIRS), Phase.STABLE, "a", id="paused by a person, with nothing on its way"),
    ],
)
def test_first_sight(first: TargetState, phase: Phase, good: str | None) -> None:
    run = Run(policy(FAILING, release=Release(bake=600.0)), target=first)
    run.look()
    assert (run.release.phase, run.release.good) == (phase, good)


def test_a_release_from_start_to_good() -> None:
    run = good_a(releasing())
    run.look(LOADED)
    assert (run.release.phase, run.release.revision, run.release.good) == (Phase.PROGRESSING, "b", "a")
    assert run.release.ok_before == ("failing-release",)
    run.target = rolled_out()
    decision = run.look(seen(error_rate=ALL_B_GOOD))
    assert run.release.phase is Phase.BAKING
    # Not at the end of the bake: until then it is stored step by step that it was looked at.
    assert decision.wake == decision.at + 15
    told = []
    for _ in range(8):
        told += reasons(run.look(seen(error_rate=ALL_B_GOOD)))
    assert told == ["ReleaseGood"]
    assert (run.release.phase, run.release.good) == (Phase.STABLE, "b")


def test_a_change_of_scale_is_no_release() -> None:
    run = good_a()
    run.look(replicas=5, rolled_out=False)
    assert run.release.phase is Phase.STABLE


def test_a_template_without_revision_yet_is_no_release() -> None:
    run = good_a()
    run.look(revision=None)
    assert (run.release.phase, run.release.revision) == (Phase.STABLE, "a")
    run.look(revision="a")
    assert run.release.phase is Phase.STABLE


def test_a_template_that_was_just_changed_is_not_rolled_back() -> None:
    run = good_a(releasing())
    run.policy = replace(run.policy, rules=(replace(FAILING, pause=False),))
    run.look(seen(error_rate=BAD_B))
    run.look(seen(error_rate=BAD_B))
    assert verbs(run.look(seen(error_rate=BAD_B), revision=None)) == [], "somebody pushed a fix: it must not be lost"


def test_a_new_release_in_the_bake_begins_anew() -> None:
    run = good_a(rolled_out())
    run.look(seen(error_rate=ALL_B_GOOD))
    run.look(seen(error_rate=ALL_B_GOOD), revision="c", rolled_out=False)
    assert (run.release.phase, run.release.revision, run.release.good) == (Phase.PROGRESSING, "c", "a")


@pytest.mark.parametrize("reason", ["NoData", "SourceUnreachable", "NotANumber"])
def test_a_bake_that_was_not_measured_is_not_over(reason: str) -> None:
    run = good_a(rolled_out())
    run.look(seen(error_rate=ALL_B_GOOD))
    told = []
    for _ in range(40):
        told += reasons(run.look(seen(error_rate=unknown(reason=reason))))
    assert (run.release.phase, run.release.good) == (Phase.BAKING, "a")
    assert told == ["ReleaseNotJudged", "BakeUnmeasured"], "each told once"
    for _ in range(6):
        run.look(seen(error_rate=ALL_B_GOOD))
    assert run.release.phase is Phase.BAKING, "what was not watched is made up for"
    for _ in range(3):
        run.look(seen(error_rate=ALL_B_GOOD))
    assert (run.release.phase, run.release.good) == (Phase.STABLE, "b")


def test_a_short_gap_at_the_end_of_a_bake_is_not_told() -> None:
    run = good_a(rolled_out())
    told = []
    for i in range(12):
        told += reasons(run.look(seen(error_rate=unknown() if i == 8 else ALL_B_GOOD)))
    assert told == ["ReleaseGood"]


def test_a_release_that_was_bad_before_too_is_not_called_good() -> None:
    """It is not held against the release, but nothing was proven of it either."""
    run = run_of()
    run.look(seen(error_rate=split(a=ALL_B_BAD.by_revision["b"])))
    run.target = rolled_out()
    told = []
    for _ in range(20):
        decision = run.look(seen(error_rate=ALL_B_BAD))
        told += reasons(decision)
        assert verbs(decision) == []
    assert (run.release.phase, run.release.good) == (Phase.BAKING, "a")
    assert told == ["BakeUnclean"]
    run.look(seen(error_rate=ALL_B_GOOD))
    assert (run.release.phase, run.release.good) == (Phase.STABLE, "b")


def test_a_manual_pause_is_respected_and_told_once() -> None:
    run = good_a(releasing())
    run.look(LOADED)
    told = []
    for _ in range(6):
        decision = run.look(seen(error_rate=BAD_B), **THEIRS)
        told += reasons(decision)
        assert verbs(decision) == []
    assert told == ["ManualPause", "GuardBreached"]
    assert run.release.phase is Phase.PAUSED
    assert verbs(run.look(seen(error_rate=BAD_B), paused=False, paused_by="")) == ["rollback"], "guilty all the while"


def test_a_manual_resume_is_respected_and_told_once() -> None:
    run = good_a(releasing())
    assert verbs(run.look(seen(error_rate=BAD_B))) == ["pauseRollout"]
    run.target = replace(run.target, paused=False, paused_by="")
    told = []
    for _ in range(6):
        decision = run.look(seen(error_rate=BAD_B))
        told += reasons(decision)
        assert verbs(decision) == []
    assert told == ["HandsOff", "GuardBreached"]


def test_a_replace_right_after_the_pause_is_no_persons_resume() -> None:
    run = good_a(releasing())
    assert verbs(run.look(seen(error_rate=BAD_B))) == ["pauseRollout"]
    lifted = {"paused": False, "paused_by": "", "pause_marked": False, "template_by": "argocd-controller"}
    decision = run.look(seen(error_rate=BAD_B), **lifted)
    assert "PauseLifted" in reasons(decision)
    assert not run.release.manual_override


def test_a_pause_that_somebody_took_over_is_theirs() -> None:
    run = good_a(releasing())
    run.look(seen(error_rate=BAD_B))
    decision = run.look(seen(error_rate=BAD_B), **THEIRS)
    assert reasons(decision) == ["ManualPause", "GuardBreached"]
    for _ in range(6):
        assert verbs(run.look(seen(error_rate=BAD_B))) == []


@pytest.mark.parametrize("made", [None, "c"], ids=["no revision under a pause", "a revision that was there before"])
def test_a_template_changed_under_the_operators_pause_is_let_go(made: str | None) -> None:
    run = good_a(releasing())
    assert verbs(run.look(seen(error_rate=BAD_B))) == ["pauseRollout"]
    decision = run.look(seen(error_rate=BAD_B), revision=made)
    assert verbs(decision) == ["resumeRollout"]
    assert decision.commands[0].reason == "NewRelease"
    run.look(seen(error_rate=split(a=GOOD_B.by_revision["a"])), revision="c", paused=False)
    assert (run.release.phase, run.release.revision, run.release.manual_override) == (Phase.PROGRESSING, "c", False)


def test_a_pause_whose_reason_was_lost_is_lifted_when_all_is_well() -> None:
    run = Run(policy(FAILING), target=releasing(**OURS))
    done = []
    for _ in range(8):
        done += verbs(run.look(LOADED))
    assert done == ["resumeRollout"]


def test_a_pause_whose_reason_was_lost_finds_it_again() -> None:
    run = Run(policy(FAILING), target=releasing(**OURS))
    run.look(seen(error_rate=BAD_B))
    assert run.release.paused_rules == ("failing-release",)


def test_undo_by_hand_of_a_quarantined_revision_is_not_fought() -> None:
    run = good_a(releasing())
    for _ in range(3):
        run.look(seen(error_rate=BAD_B))
    assert run.release.phase is Phase.ROLLING_BACK
    told = []
    run.target = releasing(template_by="kubectl-rollout")
    for _ in range(6):
        decision = run.look(seen(error_rate=BAD_B))
        told += reasons(decision)
        assert verbs(decision) == []
    assert told == ["HandsOff", "GuardBreached"]
    run.target = rolled_out(template_by="kubectl-rollout")
    for _ in range(10):
        run.look(seen(error_rate=ALL_B_GOOD))
    assert run.release.good == "b"
    assert run.memory.quarantined == (), "people were right: it got through its bake"


def test_rolling_back_to_stable() -> None:
    run = good_a(releasing())
    for _ in range(3):
        run.look(seen(error_rate=BAD_B))
    assert (run.release.phase, run.release.revision, run.release.rolled_from) == (Phase.ROLLING_BACK, "a", "b")
    run.look(revision=None)
    assert run.release.phase is Phase.ROLLING_BACK, "the controller may lag"
    run.target = target(replicas=4, ready=4)
    decision = run.look()
    assert run.release.phase is Phase.ROLLED_BACK
    assert decision.wake == decision.at + 120
    for _ in range(8):
        run.look()
    assert (run.release.phase, run.release.good) == (Phase.STABLE, "a")


def test_a_rollback_that_makes_no_progress_is_told() -> None:
    run = good_a(releasing())
    for _ in range(3):
        run.look(seen(error_rate=BAD_B))
    told = []
    for _ in range(4):
        told += reasons(run.look(progress_deadline_exceeded=True))
    assert told == ["RollbackStuck", "RollbackDidNotHelp"]


def test_another_object_of_the_same_name_is_another_target() -> None:
    run = good_a(releasing())
    for _ in range(3):
        run.look(seen(error_rate=BAD_B))
    run.look(uid="another", revision="a", rolled_out=True)
    assert (run.release.phase, run.release.good) == (Phase.STABLE, "a")
    assert run.memory.quarantined == ()
    assert run.memory.scaling == ScalingMemory(baseline=4, last_replicas=4)


def test_a_revision_older_than_the_bake_is_good_at_first_sight() -> None:
    run = Run(policy(release=Release(bake=100.0)), target=target(revisions=(revision("a", age=200.0),)))
    assert run.look().phase is Phase.STABLE
    assert run.release.since == T0 + 15
