"""Who lifts a pause, what a rollback goes back to and what it changed, and how a quarantine ends."""

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.api.lifts import Lift
from resilience_operator.api.orders import Orders
from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.memory import Phase, RollbackResult
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Release, Rollback, Rule
from resilience_operator.decision.model.target import TargetState
from resilience_operator.status.conditions import conditions_of
from tests.unit.decision.builders import (
    ALL_B_BAD,
    BAD_B,
    CPU,
    DAY,
    FAILING,
    GOOD_B,
    Run,
    policy,
    ratio,
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

BAD, GOOD = seen(error_rate=BAD_B), seen(error_rate=GOOD_B)
NO_METRICS = seen(error_rate=unknown())
A_FAILS = seen(error_rate=split(a=ratio(1200, 6000)))
ONLY_PAUSE = replace(FAILING, rollback=None)
HOUR = 3600.0


def under_way(*rules: Rule, **fields: Any) -> Run:
    """`a` is good, and `b` on its way."""
    run = Run(policy(*(rules or (FAILING,)), **fields))
    run.look()
    run.target = releasing()
    return run


def rolled_back(*rules: Rule, **fields: Any) -> Run:
    """`b` was rolled back to `a`, which runs everywhere."""
    run = under_way(*rules, **fields)
    for _ in range(3):
        run.look(BAD)
    run.target = target(replicas=4, ready=4, revisions=(revision("a", 3), revision("b", 2, replicas=0)))
    run.look()
    assert run.release.phase is Phase.ROLLED_BACK
    return run


def condition(decision: Decision, run: Run) -> tuple[str, str]:
    found = next(c for c in conditions_of(decision, run.memory, ()) if c.type == "ReleaseHealthy")
    return found.status, found.reason


# A pause that somebody lifts.


def paused_with_mark(**fields: Any) -> Run:
    """The operator paused `b`, and saw the annotation of its pause."""
    run = under_way(ONLY_PAUSE, **fields)
    assert verbs(run.look(BAD)) == ["pauseRollout"]
    run.look(BAD, pause_marked=True)
    return run


LIFTED_BY_MACHINES: list[dict[str, Any]] = [
    {"pause_marked": False},
    {"pause_marked": False, "template_by": "argocd-controller"},
    {"pause_marked": True, "resumed_by": "argocd-controller"},
    {"pause_marked": True, "resumed_by": "kubectl-client-side-apply"},
    {"pause_marked": True, "resumed_by": "helm"},
    {"pause_marked": True, "resumed_by": "somebody"},
]
LIFTED_BY_PEOPLE: list[dict[str, Any]] = [
    {"pause_marked": True},
    {"pause_marked": True, "resumed_by": "kubectl-edit"},
    {"pause_marked": True, "resumed_by": "k9s"},
]


@pytest.mark.parametrize("lifted", LIFTED_BY_MACHINES)
@pytest.mark.parametrize("signals", [BAD, NO_METRICS])
def test_a_pause_that_a_machine_lifts_is_made_again(lifted: dict[str, Any], signals: Any) -> None:
    run = paused_with_mark()
    decision = run.look(signals, paused=False, paused_by="", **lifted)
    assert verbs(decision) == ["pauseRollout"]
    (notice,) = [n for n in decision.notices if n.reason == "PauseLifted"]
    assert notice.warning
    assert "stays on trial" in notice.message
    who = (
        "Helm"
        if lifted.get("resumed_by") == "helm"
        else lifted.get("resumed_by") or lifted.get("template_by") or "replaced the whole object"
    )
    assert who in notice.message
    assert not run.release.manual_override


@pytest.mark.parametrize("lifted", LIFTED_BY_PEOPLE)
def test_a_pause_that_a_person_lifts_is_theirs(lifted: dict[str, Any]) -> None:
    run = paused_with_mark()
    decision = run.look(BAD, paused=False, paused_by="", **lifted)
    assert verbs(decision) == []
    assert "HandsOff" in reasons(decision)
    assert run.release.manual_override
    assert condition(decision, run) == ("False", "ReleaseFailing")


def test_a_release_whose_pause_a_machine_lifts_is_rolled_back_when_due() -> None:
    run = under_way()
    run.look(BAD)
    run.look(BAD, pause_marked=True)
    decision = run.look(BAD, paused=False, paused_by="", pause_marked=False)
    assert verbs(decision) == ["rollback"]


def test_a_pause_lifted_twice_is_not_made_a_third_time() -> None:
    run = paused_with_mark()
    assert verbs(run.look(BAD, paused=False, paused_by="", pause_marked=False)) == ["pauseRollout"]
    run.look(BAD, pause_marked=True)
    decision = run.look(BAD, paused=False, paused_by="", pause_marked=False)
    assert verbs(decision) == []
    assert "ChangeReverted" in reasons(decision)
    assert condition(decision, run) == ("False", "ChangeReverted")
    assert [v for _ in range(50) for v in verbs(run.look(BAD))] == []
    assert verbs(run.look(BAD, after=HOUR)) == ["pauseRollout"], "it tries again later"


def test_the_operators_own_resume_is_no_persons() -> None:
    run = paused_with_mark()
    run.look(BAD, paused=False, paused_by="", pause_marked=False, resumed_by="resilience-operator")
    assert not run.release.manual_override


def test_a_lifted_pause_of_a_release_that_is_well_is_not_made_again() -> None:
    run = paused_with_mark()
    run.look(GOOD)
    assert verbs(run.look(GOOD, paused=False, paused_by="", pause_marked=False)) == []
    assert run.release.lifted_rules == ()


# Recovery.


def test_a_release_that_recovers_is_resumed_by_default_and_at_most_twice() -> None:
    run = under_way(ONLY_PAUSE)
    done: list[str] = []
    told: list[str] = []
    for _ in range(4):
        done += verbs(run.look(BAD))
        for _ in range(6):
            decision = run.look(GOOD)
            done += verbs(decision)
            told += reasons(decision)
    assert done == ["pauseRollout", "resumeRollout"] * 2 + ["pauseRollout"]
    assert "StillPaused" in told


def test_a_pause_that_a_person_must_end_is_reminded_of_less_and_less_often() -> None:
    run = under_way(ONLY_PAUSE, release=Release(resume=False))
    run.look(BAD)
    told = [n.message for _ in range(10 * 60) for n in run.look(GOOD, after=60.0).notices if n.reason == "StillPaused"]
    assert len(told) == 5, "at once, and after 1, 2, 4 and 8 hours"


# Baselines and goals.


def fixed(name: str = "c", old: str = "b") -> TargetState:
    """`c` replaces `b`, which never got out."""
    revisions = (
        revision("a", 1, replicas=2),
        revision(old, 2, age=60.0, replicas=0),
        revision(name, 3, age=0.0, replicas=2),
    )
    return target(replicas=4, ready=4, rolled_out=False, revision=name, revisions=revisions)


@pytest.mark.parametrize("rules", [(FAILING,), (ONLY_PAUSE,)])
def test_a_fix_of_a_bad_release_is_compared_with_the_last_good_one(rules: tuple[Rule, ...]) -> None:
    slow_rollback = replace(rules[0], rollback=Rollback(after=600.0) if rules[0].rollback else None)
    run = under_way(slow_rollback)
    run.look(BAD)
    run.look(BAD, revision=None)
    run.target = fixed()
    both = seen(error_rate=split(a=ratio(3, 3000), b=ratio(600, 3000), c=ratio(600, 3000)))
    done = [v for _ in range(3) for v in verbs(run.look(both))]
    assert "pauseRollout" in done, "b is no excuse for c"
    assert run.release.charged == ("b", "c")


def test_a_fix_that_is_good_is_not_charged_for_the_bad_one() -> None:
    run = under_way(replace(FAILING, rollback=Rollback(after=600.0)))
    run.look(BAD)
    run.look(BAD, revision=None)
    run.target = fixed()
    good = seen(error_rate=split(a=ratio(3, 3000), b=ratio(600, 3000), c=ratio(3, 3000)))
    assert [v for _ in range(5) for v in verbs(run.look(good))] == []


def quiet(run: Run, names: str) -> None:
    """Releases one after the other that reach all pods and are never measured enough."""
    for name in names:
        number = ord(name) - ord("a") + 1
        kept = tuple(revision(n, ord(n) - 96, age=DAY, replicas=0) for n in map(chr, range(97, ord(name))))
        run.target = target(revision=name, revisions=(*kept, revision(name, number, age=0.0)))
        for _ in range(12):
            run.look(NO_METRICS, after=60.0)


def release_onto(run: Run, name: str) -> Decision:
    """A bad release, until it is rolled back or not."""
    number = ord(name) - 96
    old = tuple(revision(n, ord(n) - 96, age=DAY, replicas=2) for n in map(chr, range(97, ord(name))))
    before = old[-1].name
    run.look(seen(error_rate=split(**{before: ratio(3, 3000)})))
    run.target = target(rolled_out=False, revision=name, revisions=(*old, revision(name, number, age=0.0, replicas=2)))
    bad = seen(error_rate=split(**{before: ratio(3, 3000), name: ratio(600, 3000)}))
    for _ in range(6):
        decision = run.look(bad)
        if "rollback" in verbs(decision) or any("ollback" in r for r in reasons(decision)):
            return decision
    return decision


def test_the_newest_revision_that_served_its_bake_is_restored() -> None:
    run = Run(policy(FAILING))
    run.look()
    quiet(run, "bcdef")
    assert run.release.good == "a"
    (rollback,) = release_onto(run, "g").commands
    assert (rollback.from_, rollback.to) == ("g", "f")


def test_a_revision_whose_pods_were_not_ready_is_no_goal_and_the_distance_is_stated() -> None:
    run = Run(policy(FAILING))
    run.look()
    for name in "bc":
        number = ord(name) - 96
        kept = tuple(revision(n, ord(n) - 96, age=DAY, replicas=0) for n in map(chr, range(97, ord(name))))
        run.target = target(
            revision=name, revisions=(*kept, revision(name, number, age=0.0)), rolled_out=False, ready=3
        )
        for _ in range(12):
            run.look(NO_METRICS, after=60.0)
    (rollback,) = release_onto(run, "d").commands
    assert rollback.to == "a"
    assert "back 3 revisions, 24h old" in rollback.message


def test_a_rollback_goes_back_no_further_than_allowed() -> None:
    run = Run(policy(replace(FAILING, rollback=Rollback(after=0.0, max_revisions=2))))
    run.look()
    run.target = target(
        revision="c", revisions=(revision("a"), revision("b", 2), revision("c", 3, age=0.0)), rolled_out=False
    )
    run.look(NO_METRICS)
    decision = release_onto(run, "d")
    assert verbs(decision) in ([], ["pauseRollout"])
    assert "RollbackTooFar" in reasons(decision)


def test_without_a_rule_that_guards_no_revision_becomes_good() -> None:
    run = Run(policy(CPU))
    run.look()
    run.target = rolled_out()
    for _ in range(60):
        run.look(after=60.0)
    assert (run.release.phase, run.release.good) == (Phase.STABLE, "a")
    assert [s.revision for s in run.release.served] == ["b"]


# After a rollback.


def test_a_rollback_that_did_not_help_is_told_and_acquits() -> None:
    run = rolled_back()
    assert [q.revision for q in run.memory.quarantined] == ["b"]
    told: list[str] = []
    for _ in range(8):
        decision = run.look(A_FAILS)
        told += reasons(decision)
    assert "RollbackDidNotHelp" in told
    assert run.memory.quarantined == ()
    assert condition(decision, run) == ("False", "RollbackDidNotHelp")
    for _ in range(60):
        decision = run.look(A_FAILS)
    assert condition(decision, run) == ("False", "RollbackDidNotHelp"), "until it is Ok, whatever the phase"
    for _ in range(3):
        decision = run.look()
    assert condition(decision, run)[1] != "RollbackDidNotHelp"


def test_an_acquitted_revision_may_be_released_again() -> None:
    run = rolled_back()
    for _ in range(8):
        run.look(A_FAILS)
    for _ in range(40):
        run.look()
    run.target = releasing(template_by="argocd-controller")
    assert [v for _ in range(20) for v in verbs(run.look(GOOD))] == []


def test_a_rollback_that_helped_keeps_the_quarantine_and_a_later_breach_is_another_matter() -> None:
    run = rolled_back()
    for _ in range(8):
        run.look()
    assert run.release.rollback_result is RollbackResult.HELPED
    decision = run.look(A_FAILS)
    assert "RollbackDidNotHelp" not in reasons(decision)
    assert [q.revision for q in run.memory.quarantined] == ["b"]


def test_the_requests_of_the_failed_revision_in_the_window_do_not_acquit_it() -> None:
    run = rolled_back()
    run.look(seen(error_rate=ALL_B_BAD))
    assert [q.revision for q in run.memory.quarantined] == ["b"]


# The end of a quarantine.


def again(run: Run, signals: Any = GOOD, **fields: Any) -> Decision:
    """`b` is applied again."""
    run.target = releasing(template_by="argocd-controller", **fields)
    return run.look(signals)


def test_a_quarantine_expires() -> None:
    run = rolled_back(release=Release(quarantine=2 * HOUR))
    assert "QuarantineEnded" in reasons(run.look(after=2 * HOUR))
    assert verbs(again(run)) == []


@pytest.mark.parametrize(
    ("revision_", "offset", "lifted"),
    [("b", 10.0, True), ("b", -DAY, False), ("x", 10.0, False), ("b", 10 * DAY, True)],
)
def test_a_person_lifts_a_quarantine(revision_: str, offset: float, lifted: bool) -> None:
    run = rolled_back()
    run.policy = replace(run.policy, orders=Orders(lifts=(Lift(revision_, run.now + offset, "ann"),)))
    decision = run.look(after=60.0)
    assert ("QuarantineEnded" in reasons(decision)) is lifted
    assert verbs(again(run)) == ([] if lifted else ["rollback"])


def test_lifting_a_quarantine_does_not_lift_the_next_one() -> None:
    run = rolled_back()
    run.policy = replace(run.policy, orders=Orders(lifts=(Lift("b", run.now, "ann"),)))
    run.look(after=60.0)
    again(run, BAD)
    for _ in range(6):
        run.look(BAD)
    assert [q.revision for q in run.memory.quarantined] == ["b"], "it failed again"


def test_who_lifted_a_quarantine_and_when_is_recorded() -> None:
    run = rolled_back()
    run.policy = replace(run.policy, orders=Orders(lifts=(Lift("b", run.now, "ann"),)))
    (notice,) = [n for n in run.look(after=60.0).notices if n.reason == "QuarantineEnded"]
    assert "ann lifted its quarantine at 2001-09-09T" in notice.message
    assert notice.history == ("endQuarantine", "b")
    assert "QuarantineEnded" not in reasons(run.look()), "once"
    assert "b" not in run.release.charged, "it may serve, and be restored"


def test_an_order_that_cannot_be_read_is_told_once_and_lifts_nothing() -> None:
    run = rolled_back()
    run.policy = replace(run.policy, orders=Orders(lift_problem="the annotation is not a JSON list"))
    (notice,) = [n for n in run.look().notices if n.reason == "ReleaseOrderUnreadable"]
    assert "kubectl resilience release checkout REVISION -n shop" in notice.message
    assert "ReleaseOrderUnreadable" not in reasons(run.look())
    assert [q.revision for q in run.memory.quarantined] == ["b"]


def held() -> Run:
    run = rolled_back()
    assert verbs(again(run)) == ["rollback"]
    assert verbs(again(run)) == ["pauseRollout"]
    run.look(GOOD)
    assert run.release.rollback_limit_reached
    return run


def test_a_held_release_goes_on_when_its_quarantine_ends() -> None:
    run = held()
    run.policy = replace(run.policy, orders=Orders(lifts=(Lift("b", run.now + 60, "ann"),)))
    decision = run.look(GOOD, after=60.0)
    assert [(c.verb, c.reason) for c in decision.commands] == [("resumeRollout", "QuarantineEnded")]
    assert [v for _ in range(20) for v in verbs(run.look(GOOD))] == []
    assert verbs(run.look(BAD)) == ["pauseRollout"], "and is judged"


def test_a_reapplied_revision_is_held_while_nothing_is_measured_and_judged_afterwards() -> None:
    run = rolled_back()
    run.look(NO_METRICS, after=HOUR)
    decision = again(run, NO_METRICS)
    (pause,) = decision.commands
    assert (pause.verb, pause.reason) == ("pauseRollout", "HeldUnmeasured")
    assert "ago" in pause.message
    for _ in range(20):
        decision = run.look(NO_METRICS)
        assert verbs(decision) == []
    assert condition(decision, run) == ("False", "HeldUnmeasured")
    done = [v for _ in range(10) for v in verbs(run.look(GOOD))]
    assert done == ["resumeRollout"], "it is mended"
    assert run.memory.quarantined == ()


def test_a_reapplied_revision_that_is_measured_to_fail_is_rolled_back() -> None:
    run = rolled_back()
    again(run, NO_METRICS)
    run.look(NO_METRICS)
    assert "rollback" in [v for _ in range(6) for v in verbs(run.look(BAD))]


NEAR = seen(error_rate=split(a=ratio(30, 3000), b=ratio(31, 3000)))
"""At the threshold: measured, and inconclusive."""


@pytest.mark.parametrize("signals", [NEAR, NO_METRICS, BAD], ids=["near the threshold", "not measured", "failing"])
def test_what_reached_its_limit_is_held_whatever_is_measured(signals: dict[str, Observation]) -> None:
    run = held()
    told = [(verbs(decision), reasons(decision)) for decision in (run.look(signals) for _ in range(30))]
    told += [(verbs(decision), reasons(decision)) for decision in (run.look(BAD) for _ in range(30))]
    assert [v for done, _ in told for v in done] == []
    assert not any("HeldUnmeasured" in found for _, found in told)


def test_inconclusive_is_measured() -> None:
    run = rolled_back()
    decision = again(run, NEAR)
    assert verbs(decision) == ["rollback"], "it is measured, and was convicted"


def test_during_a_rollback_its_breach_is_not_told_as_one_without_action() -> None:
    run = under_way()
    for _ in range(3):
        run.look(BAD)
    assert run.release.phase is Phase.ROLLING_BACK
    run.target = releasing(revisions=(revision("a", 3, replicas=2), revision("b", 2, replicas=2)))
    assert "GuardBreached" not in [r for _ in range(5) for r in reasons(run.look(BAD))]


def test_the_message_of_a_reapplied_revision_says_that_the_numbers_are_old() -> None:
    run = rolled_back()
    run.look(after=3 * HOUR)
    (rollback,) = again(run).commands
    assert "rolled back 3h" in rollback.message
    assert "at that time" in rollback.message


# No silent breach.


@pytest.mark.parametrize("phase", ["stable", "baking", "progressing", "paused by a person", "hands off"])
def test_a_guarding_rule_in_breach_is_reported_in_every_phase(phase: str) -> None:
    run = under_way()
    shared = seen(error_rate=split(a=ratio(600, 3000), b=ratio(600, 3000)))
    signals: dict[str, Observation] = shared
    if phase == "stable":
        run.target, signals = target(), A_FAILS
    elif phase == "baking":
        run.target = rolled_out()
        run.look()
        signals = shared
    elif phase == "paused by a person":
        run.look(GOOD, paused=True, paused_by="kubectl-rollout")
    elif phase == "hands off":
        run.look(BAD)
        run.look(BAD, paused=False, paused_by="")
    told: list[str] = []
    for _ in range(3):
        decision = run.look(signals)
        told += reasons(decision)
        assert condition(decision, run)[0] == "False"
    if phase != "hands off":
        assert len([r for r in told if r in ("GuardBreached", "BreachNotProven")]) == 1
    for _ in range(2):
        decision = run.look(GOOD)
    assert "GuardBreached" not in {n.reason for n in decision.active.values()}


def test_all_of_it_survives_a_restart() -> None:
    for run in (held(), paused_with_mark(), rolled_back()):
        memory = load_memory(dump_memory(run.memory))
        assert memory == run.memory
