"""Dry-run: the same decisions, laid over the real target until that really changes."""

from dataclasses import replace

from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.observation import Measured
from resilience_operator.decision.model.policy import Condition, Mode, Policy, Release, Rule, ScaleUp
from resilience_operator.decision.model.target import HorizontalPodAutoscaler
from tests.unit.decision.builders import (
    ALL_B_BAD,
    BAD_B,
    FAILING,
    GOOD_B,
    Run,
    policy,
    ratio,
    reasons,
    releasing,
    rolled_out,
    seen,
    split,
    target,
    verbs,
    whole,
)

BUSY = Rule("busy", (Condition("cpu", 0.7),), scale_up=ScaleUp(pods=2))
HOT = seen(cpu=whole(Measured(0.85)))
COOL = seen(cpu=whole(Measured(0.1)))
BAD = seen(error_rate=BAD_B)


def rehearsed(*rules: Rule, release: Release | None = None) -> Policy:
    return policy(*rules, mode=Mode.DRY_RUN, release=release or Release(bake=120.0))


def in_release() -> Run:
    run = Run(rehearsed(FAILING))
    run.look()
    run.target = releasing()
    return run


def test_each_command_is_rehearsed_once() -> None:
    run = in_release()
    done = []
    for _ in range(12):
        done += verbs(run.look(BAD))
    assert done == ["pauseRollout", "rollback"]
    assert (run.release.phase, run.release.revision) == (Phase.STABLE, "a"), "it recovers in the rehearsal"
    assert run.target == releasing(), "and nothing was changed"


def test_a_rehearsed_scale_up_has_its_cooldown_and_is_given_back() -> None:
    run = Run(rehearsed(BUSY))
    run.look(COOL)
    sizes = [c.to for _ in range(9) for c in run.look(HOT).commands]
    assert sizes == [6, 8, 10], "a pod of the rehearsal is ready at once; the cooldown is 1m"
    sizes = [c.to for _ in range(200) for c in run.look(COOL).commands]
    assert sizes == [3]


def test_a_real_scale_ends_the_rehearsal_of_it() -> None:
    run = Run(rehearsed(BUSY))
    run.look(COOL)
    run.look(HOT)
    assert run.memory.overlay is not None
    decision = run.look(COOL, replicas=5, ready=5, scaled_by="kubectl-scale")
    assert run.memory.overlay is None
    assert decision.target.replicas == 5
    assert "from 4 to 5" in decision.notices[0].message


def test_a_real_release_ends_the_rehearsal_of_a_rollback() -> None:
    run = in_release()
    for _ in range(4):
        run.look(BAD)
    run.target = releasing("c", "b")
    run.look(seen(error_rate=split(b=ratio(600, 3000), c=ratio(3, 3000))))
    assert run.memory.overlay is None
    assert (run.release.phase, run.release.revision, run.release.good) == (Phase.PROGRESSING, "c", "a")


def test_a_real_undo_is_as_rehearsed() -> None:
    run = in_release()
    for _ in range(4):
        run.look(BAD)
    run.target = target()
    decision = run.look()
    assert (verbs(decision), run.memory.overlay, run.release.revision) == ([], None, "a")


def test_the_rehearsal_through_an_hpa() -> None:
    hpa = HorizontalPodAutoscaler("checkout", "7", 3, 10)
    run = Run(rehearsed(BUSY), target=target(hpa=hpa))
    run.look(COOL)
    assert [c.to for _ in range(5) for c in run.look(HOT).commands] == [6, 8]
    decision = run.look(HOT, hpa=replace(hpa, min_replicas=5), replicas=5, ready=5)
    assert decision.target.hpa is not None
    assert decision.target.hpa.min_replicas == 5


def test_a_real_pause_of_the_operator_is_resumed_in_the_rehearsal_once() -> None:
    run = Run(rehearsed(FAILING), target=releasing(paused=True, paused_by="resilience-operator"))
    done = []
    for _ in range(20):
        done += verbs(run.look(seen(error_rate=GOOD_B)))
    assert done == ["resumeRollout"]


def enforced(run: Run) -> Run:
    run.policy = replace(run.policy, mode=Mode.ENFORCE)
    return run


def test_in_earnest_a_rehearsed_rollback_did_not_happen() -> None:
    run = in_release()
    for _ in range(4):
        run.look(BAD)
    assert run.memory.quarantined[0].dry_run
    enforced(run).target = rolled_out()
    decision = run.look(seen(error_rate=ALL_B_BAD))
    assert (run.memory.overlay, run.memory.quarantined) == (None, ())
    assert (run.release.revision, run.release.good) == ("b", "a")
    assert verbs(decision) == ["pauseRollout"], "judged anew on its own merits"
    run.look(seen(error_rate=ALL_B_BAD))
    (rollback,) = run.look(seen(error_rate=ALL_B_BAD)).commands
    assert (rollback.reason, rollback.to) == ("ReleaseFailing", "a")
    assert not run.memory.quarantined[0].dry_run


def test_in_earnest_a_release_that_was_rolled_back_in_the_rehearsal_is_not_good_by_itself() -> None:
    run = in_release()
    for _ in range(20):
        run.look(BAD)
    assert run.release.phase is Phase.STABLE
    enforced(run).target = rolled_out()
    run.look(seen(error_rate=split(b=ratio(6, 6000))))
    assert (run.release.phase, run.release.good) == (Phase.BAKING, "a")


def test_in_earnest_a_rehearsed_size_is_no_manual_scale() -> None:
    run = Run(rehearsed(BUSY))
    run.look(COOL)
    run.look(HOT)
    decision = enforced(run).look(COOL)
    assert reasons(decision) == []
    assert decision.target.replicas == 4
    assert run.memory.scaling.manual_floor is None
