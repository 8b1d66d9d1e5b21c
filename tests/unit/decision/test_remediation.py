"""Pause, roll back, hold, resume, or leave it to people."""

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Release, Rollback, Rule
from tests.unit.decision.builders import (
    ALL_B_BAD,
    BAD_B,
    CPU,
    FAILING,
    GOOD_B,
    SLOW,
    Run,
    policy,
    reasons,
    releasing,
    revision,
    rolled_out,
    seen,
    target,
    unknown,
    verbs,
)

BAD, GOOD = seen(error_rate=BAD_B), seen(error_rate=GOOD_B)
ONLY_PAUSE = replace(FAILING, rollback=None)
ONLY_ROLLBACK = replace(FAILING, pause=False)
AT_ONCE = replace(FAILING, rollback=Rollback(after=0.0))


def release_under_way(*rules: Rule, **fields: Any) -> Run:
    """`a` is good, and `b` on its way."""
    run = Run(policy(*(rules or (FAILING,)), **fields))
    run.look()
    run.target = releasing()
    return run


def rolled_back(**fields: Any) -> Run:
    """`b` was rolled back to `a`, which runs everywhere."""
    run = release_under_way(**fields)
    for _ in range(3):
        run.look(BAD)
    run.target = target(replicas=4, ready=4, revisions=(revision("a"), revision("b", 2, replicas=0)))
    run.look()
    assert run.release.phase is Phase.ROLLED_BACK
    return run


def test_paused_at_once_and_rolled_back_after() -> None:
    run = release_under_way()
    pause = run.look(BAD)
    assert verbs(pause) == ["pauseRollout"]
    assert pause.commands[0].rules == ("failing-release",)
    assert "20%" in pause.commands[0].message
    assert pause.commands[0].to == "b"
    waiting = run.look(BAD)
    assert verbs(waiting) == []
    assert waiting.wake == pause.at + 30
    (rollback,) = run.look(BAD).commands
    assert (rollback.verb, rollback.reason, rollback.from_, rollback.to) == ("rollback", "ReleaseFailing", "b", "a")
    assert "20%" in rollback.message
    assert run.memory.quarantined[0].revision == "b"
    assert verbs(run.look(BAD, rolled_out=False)) == [], "and no second time"


@pytest.mark.parametrize(
    ("rule", "done"),
    [
        pytest.param(FAILING, ["pauseRollout", "rollback"], id="pause and roll back"),
        pytest.param(ONLY_PAUSE, ["pauseRollout"], id="pause only"),
        pytest.param(ONLY_ROLLBACK, ["rollback"], id="roll back only"),
        pytest.param(AT_ONCE, ["rollback"], id="after 0s is one command"),
        pytest.param(replace(FAILING, pause=False, rollback=None, alert=True), [], id="alert only"),
    ],
)
def test_what_the_rule_asks_for(rule: Rule, done: list[str]) -> None:
    run = release_under_way(rule)
    found = []
    for _ in range(5):
        found += verbs(run.look(BAD))
    assert found == done


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.BAKING, Phase.PAUSED])
def test_in_every_phase_of_a_release(phase: Phase) -> None:
    run = release_under_way()
    run.look(GOOD)
    if phase is Phase.BAKING:
        run.target = rolled_out()
        run.look(
            seen(
                error_rate=Observation(
                    0.0, GOOD_B.measured, by_revision={"b": GOOD_B.by_revision["b"]}, splittable=True
                )
            )
        )
    if phase is Phase.PAUSED:
        run.look(BAD)
    assert run.release.phase is phase
    done = []
    for _ in range(4):
        done += verbs(run.look(seen(error_rate=ALL_B_BAD) if phase is Phase.BAKING else BAD))
    assert done[-1] == "rollback"


def test_a_stable_target_is_left_alone() -> None:
    run = Run(policy(AT_ONCE))
    run.look()
    for _ in range(10):
        assert verbs(run.look(seen(error_rate=ALL_B_BAD._replace(by_revision={"a": ALL_B_BAD.by_revision["b"]})))) == []


@pytest.mark.parametrize("unknown_looks", [1, 2])
def test_a_gap_in_the_breach_neither_acts_nor_starts_after_again(unknown_looks: int) -> None:
    run = release_under_way(replace(FAILING, rollback=Rollback(after=60.0)))
    begun = run.look(BAD).at
    for _ in range(unknown_looks):
        assert verbs(run.look(seen(error_rate=unknown()))) == []
    while (decision := run.look(BAD)) and not decision.commands:
        assert decision.at < begun + 60
    assert (decision.at, verbs(decision)) == (begun + 60, ["rollback"])


def test_recovery_in_time_is_no_rollback() -> None:
    run = release_under_way(release=Release(resume=False))
    run.look(BAD)
    for _ in range(10):
        assert verbs(run.look(GOOD)) == [], "it stays paused until a person decides"
    assert run.release.phase is Phase.PAUSED


def test_a_paused_release_that_recovers_is_resumed_when_the_policy_allows() -> None:
    run = release_under_way(release=Release(resume=True))
    run.look(BAD)
    recovered = run.look(GOOD)
    assert recovered.wake == recovered.at + 60, "after a whole look-back"
    done = []
    while not done:
        decision = run.look(GOOD)
        done = verbs(decision)
    assert (done, decision.at) == (["resumeRollout"], recovered.at + 60)
    run.look(GOOD)
    assert run.release.phase is Phase.PROGRESSING
    assert not run.release.manual_override
    assert verbs(run.look(BAD)) == ["pauseRollout"], "and is still watched"


def test_unknown_resumes_nothing() -> None:
    run = release_under_way(release=Release(resume=True))
    run.look(BAD)
    for _ in range(20):
        assert verbs(run.look(seen(error_rate=unknown()))) == []


@pytest.mark.parametrize("seen_now", [BAD, seen(error_rate=unknown())])
def test_a_pause_that_goes_on_is_reported_again_after_hours(seen_now: dict[str, Observation]) -> None:
    run = release_under_way(replace(FAILING, rollback=None))
    assert verbs(run.look(BAD)) == ["pauseRollout"]
    told = [n for _ in range(5 * 60) for n in run.look(seen_now, after=60.0).notices if n.reason == "StillPaused"]
    assert len(told) == 3, "after 1, 2 and 4 hours"
    assert "kubectl" in told[0].message


@pytest.mark.parametrize("rules", [(), (CPU,), (replace(FAILING, name="another"),)])
def test_a_pause_whose_rule_is_gone_stays_until_a_person_decides(rules: tuple[Rule, ...]) -> None:
    run = release_under_way()
    run.look(BAD)
    run.policy = policy(*(rules or (SLOW,)))
    done, told = [], []
    for _ in range(60):
        decision = run.look(GOOD)
        done += verbs(decision)
        told += reasons(decision)
    assert "resumeRollout" not in done
    assert told == ["StillPaused"]
    assert (run.release.phase, run.release.good) == (Phase.PAUSED, "a")


@pytest.mark.parametrize(
    ("case", "reason"),
    [("never good", "NoKnownGoodRevision"), ("gone", "GoodRevisionGone"), ("itself", "AlreadyLastGood")],
)
def test_no_revision_to_go_back_to(case: str, reason: str) -> None:
    run = release_under_way()
    if case == "never good":
        run = Run(policy(FAILING), target=releasing())
        run.look(GOOD)
    if case == "gone":
        run.target = replace(run.target, revisions=run.target.revisions[1:])
    if case == "itself":
        run.memory = replace(run.memory, release=replace(run.release, good="b"))
    told, done = [], []
    for _ in range(8):
        decision = run.look(BAD)
        told += reasons(decision)
        done += verbs(decision)
    assert (done, told) == (["pauseRollout"], [reason]), "held paused, and told once"


def test_never_back_to_a_quarantined_revision() -> None:
    run = rolled_back()
    run.memory = replace(run.memory, release=replace(run.release, good="b"))
    run.target = releasing("c", "b")
    told = []
    bad_c = BAD_B._replace(by_revision={"a": BAD_B.by_revision["a"], "c": BAD_B.by_revision["b"]})
    for _ in range(5):
        decision = run.look(seen(error_rate=bad_c))
        told += reasons(decision)
        assert "rollback" not in verbs(decision)
    assert told == ["GoodRevisionQuarantined"]


def reapply(run: Run, by: str = "argocd-controller") -> None:
    run.target = releasing(template_by=by)


def test_a_reapplied_bad_template_is_rolled_back_again_then_held() -> None:
    run = rolled_back()
    reapply(run)
    decision = run.look(GOOD)
    (again,) = decision.commands
    assert (again.verb, again.reason, again.to) == ("rollback", "QuarantinedReapplied", "a")
    assert "Argo CD (argocd-controller)" in again.message
    assert "20%" in again.message, "why it was rolled back first"
    run.target = target(replicas=4, ready=4, revisions=(revision("a"), revision("b", 2, replicas=0)))
    run.look()
    reapply(run)
    held = run.look(GOOD)
    assert verbs(held) == ["pauseRollout"]
    (notice,) = held.notices
    assert notice.reason == "HeldPaused"
    assert "Argo CD (argocd-controller) keeps applying revision b" in notice.message
    told = []
    for _ in range(10):
        decision = run.look(BAD)
        told += reasons(decision)
        assert verbs(decision) == []
        assert "held/b" in decision.active
    assert told == []
    assert run.release.rollback_limit_reached


@pytest.mark.parametrize(("limit", "rollbacks"), [(1, 1), (2, 2), (3, 3)])
def test_limit(limit: int, rollbacks: int) -> None:
    run = rolled_back()
    run.policy = policy(replace(FAILING, rollback=Rollback(limit=limit)))
    done = []
    for _ in range(6):
        reapply(run)
        done += verbs(run.look(GOOD))
        if done[-1] == "pauseRollout":
            break
        run.target = target(replicas=4, ready=4, revisions=(revision("a"), revision("b", 2, replicas=0)))
        run.look()
    assert done == ["rollback"] * rollbacks + ["pauseRollout"]


def test_a_held_rollout_that_a_person_resumes_is_theirs() -> None:
    run = rolled_back()
    run.memory = replace(run.memory, quarantined=(replace(run.memory.quarantined[0], rollbacks=2),))
    reapply(run)
    assert verbs(run.look(GOOD)) == ["pauseRollout"]
    run.look(GOOD)
    run.target = replace(run.target, paused=False, paused_by="")
    for _ in range(5):
        assert verbs(run.look(BAD)) == []
    assert run.release.manual_override


def test_a_held_rollout_is_let_go_for_another_version() -> None:
    run = rolled_back()
    run.memory = replace(run.memory, quarantined=(replace(run.memory.quarantined[0], rollbacks=2),))
    reapply(run)
    run.look(GOOD)
    run.look(GOOD)
    assert verbs(run.look(GOOD, revision=None)) == ["resumeRollout"]
    run.target = releasing("c")
    run.look(GOOD)
    assert (run.release.phase, run.release.rollback_limit_reached) == (Phase.PROGRESSING, False)


def test_a_reapplied_template_is_only_judged_where_no_rule_rolls_back_any_more() -> None:
    run = rolled_back()
    run.policy = policy(ONLY_PAUSE)
    reapply(run)
    assert verbs(run.look(GOOD)) == []
    assert verbs(run.look(BAD)) == ["pauseRollout"]


@pytest.mark.parametrize("by", ["argocd-controller", "kustomize-controller", "helm", "kubectl-client-side-apply"])
def test_pipelines_are_no_people(by: str) -> None:
    run = rolled_back()
    reapply(run, by)
    assert verbs(run.look(GOOD)) == ["rollback"]


LATE = {"progress_deadline_exceeded": True}


@pytest.mark.parametrize(
    ("rules", "allowed", "done"),
    [
        pytest.param((FAILING,), True, ["rollback"], id="as a breach, at once"),
        pytest.param((ONLY_PAUSE,), True, ["pauseRollout"], id="only what the rules ask for"),
        pytest.param((FAILING,), False, [], id="only when the policy says so"),
        pytest.param((replace(FAILING, pause=False, rollback=None, alert=True),), True, [], id="no rule guards"),
    ],
)
def test_progress_deadline(rules: tuple[Rule, ...], allowed: bool, done: list[str]) -> None:
    run = release_under_way(*rules, release=Release(fail_on_progress_deadline=allowed))
    assert verbs(run.look(GOOD, **LATE)) == [], "the condition may still be the last release's"
    found = []
    for _ in range(4):
        found += verbs(run.look(GOOD))
        if found:
            break
    assert found == done
    if done == ["rollback"]:
        assert run.memory.quarantined[0].rules == ("progress-deadline",)


def test_a_release_without_progress_that_is_reapplied_has_a_limit_too() -> None:
    run = release_under_way(release=Release(fail_on_progress_deadline=True))
    run.look(GOOD, **LATE)
    run.look(GOOD)
    run.target = target(replicas=4, ready=4, revisions=(revision("a"), revision("b", 2, replicas=0)))
    run.look()
    reapply(run)
    assert verbs(run.look(GOOD)) == ["rollback"]


def test_several_guilty_rules_are_all_named() -> None:
    run = release_under_way(FAILING, replace(FAILING, name="second"))
    (pause,) = run.look(BAD).commands
    assert pause.rules == ("failing-release", "second")
    assert pause.message.count("20%") == 1, "but the same sentence stands once"


def test_healthy_release_is_left_alone() -> None:
    run = release_under_way()
    for _ in range(10):
        decision = run.look(GOOD)
        assert (verbs(decision), reasons(decision)) == ([], [])
