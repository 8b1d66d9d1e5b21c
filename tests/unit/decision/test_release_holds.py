"""What holds a release that is not proven bad, and what the successor of an unproven release is compared with."""

from dataclasses import replace

import pytest

from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Rule
from resilience_operator.decision.model.target import Pod, TargetState
from resilience_operator.decision.release.manual_steps import resume_command, undo_command
from tests.unit.decision.builders import (
    ALL_B_BAD,
    BAD_B,
    BOTH_BAD,
    CPU,
    FAILING,
    GOOD_B,
    T0,
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

ONLY_PAUSE = replace(FAILING, rollback=None)
HOT = Rule("hot-release", (Condition("cpu", 0.7),), pause=True)


def fast(*rules: Rule) -> Run:
    """`a` is good, and `b` has replaced all its pods between two evaluations."""
    run = Run(policy(*(rules or (FAILING,))))
    run.look()
    run.target = rolled_out()
    return run


def test_a_breach_since_the_release_pauses_it_also_when_all_pods_run_it() -> None:
    run = fast()
    run.look(seen(error_rate=GOOD_B))
    decision = run.look(seen(error_rate=BOTH_BAD))
    assert verbs(decision) == ["pauseRollout"]
    assert "BreachNotProven" in reasons(decision)
    for _ in range(20):
        assert "rollback" not in verbs(run.look(seen(error_rate=BOTH_BAD)))
    assert run.release.phase is Phase.PAUSED


def test_a_proven_breach_in_the_bake_says_how_to_undo_what_a_pause_cannot() -> None:
    run = fast(ONLY_PAUSE)
    (pause,) = run.look(seen(error_rate=ALL_B_BAD)).commands
    assert pause.reason == "ReleaseFailing"
    assert "All pods run it already, and no rule rolls back" in pause.message
    assert "kubectl -n shop rollout resume deployment/checkout && kubectl -n shop rollout undo" in pause.message


@pytest.mark.parametrize(
    ("kind", "paused", "resume", "undo"),
    [
        ("Deployment", False, "kubectl -n shop rollout resume deployment/checkout", ""),
        ("Deployment", True, "kubectl -n shop rollout resume deployment/checkout", " && "),
        ("StatefulSet", True, "kubectl -n shop patch statefulset checkout", " && "),
    ],
)
def test_the_commands_in_messages(kind: str, paused: bool, resume: str, undo: str) -> None:
    found = target(kind=kind, paused=paused)
    assert resume_command(found).startswith(resume)
    assert (undo in undo_command(found), "&&" in undo_command(found)) == (True, paused)
    assert undo_command(found, 7).endswith(f"kubectl -n shop rollout undo {kind.lower()}/checkout --to-revision=7")


def chain() -> TargetState:
    """`c` replaces `b`, which replaced `a` a moment ago."""
    revisions = (revision("a", 1, replicas=0), revision("b", 2, age=0.0, replicas=2), revision("c", 3, replicas=2))
    return target(rolled_out=False, revision="c", revisions=revisions)


def hotfix(rule: Rule, before: Observation, after: Observation) -> Run:
    """`c` is applied on `b` before `b` was measured."""
    name = rule.conditions[0].signal.replace("-", "_")
    run = Run(policy(rule))
    run.look()
    run.target = releasing()
    run.look(seen(**{name: before}))
    run.target = chain()
    for _ in range(4):
        run.look(seen(**{name: after}))
    return run


def test_a_revision_that_nobody_measured_is_no_excuse_for_the_next() -> None:
    run = hotfix(FAILING, split(a=ratio(6, 6000)), split(b=ratio(600, 3000), c=ratio(600, 3000)))
    assert run.release.rolled_from == "c", "b fails as well, and that is no reason to keep c"
    assert (run.release.revision, run.release.unproven) == ("a", ("b",))


def test_a_good_fix_of_a_revision_that_nobody_measured_goes_on() -> None:
    run = hotfix(FAILING, unknown(), split(b=ratio(600, 3000), c=ratio(3, 3000)))
    assert (run.release.revision, run.release.phase) == ("c", Phase.PROGRESSING)


def test_load_on_both_is_no_fault_of_the_next_if_nothing_is_counted() -> None:
    hot = split(b=Measured(0.9), c=Measured(0.91))
    run = hotfix(HOT, split(a=Measured(0.4), b=Measured(0.4)), hot)
    assert (run.release.revision, run.release.paused) == ("c", None)


def test_what_is_unproven_is_forgotten_with_the_next_good_release() -> None:
    run = hotfix(FAILING, unknown(), split(b=ratio(3, 3000), c=ratio(3, 3000)))
    assert run.release.unproven == ("b",)
    run.target = rolled_out("c", "b")
    run.bake(seen(error_rate=split(c=ratio(6, 6000))))
    assert run.release.good == "c"
    run.target = releasing("d", "c")
    run.look(seen(error_rate=split(c=ratio(6, 6000))))
    assert run.release.unproven == ()


# Workloads that do not roll out as usual.


def test_a_revision_without_pods_proves_nothing() -> None:
    run = Run(policy(FAILING))
    run.look()
    idle = revision("b", 2, age=0.0, replicas=0)
    run.target = target(revision="b", replicas=0, ready=0, revisions=(revision("a", 1, replicas=0), idle))
    for _ in range(40):
        run.look(seen(error_rate=unknown()), after=60.0)
    assert (run.release.good, run.release.served) == ("a", ()), "b has never run"


@pytest.mark.parametrize("rules", [(FAILING,), (CPU,)])
def test_a_bake_goes_on_when_there_are_pods(rules: tuple[Rule, ...]) -> None:
    run = Run(policy(*rules))
    run.look()
    idle = revision("b", 2, age=0.0, replicas=0)
    run.target = target(revision="b", replicas=0, ready=0, revisions=(revision("a", 1, replicas=0), idle))
    for _ in range(20):
        run.look(after=60.0)
    assert run.release.phase is Phase.BAKING
    run.target = rolled_out()
    run.bake(seen(error_rate=split(b=ratio(6, 6000))))
    assert run.release.phase is Phase.STABLE
    assert [s.revision for s in run.release.served] == ["b"]


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_pods_that_nobody_replaces_after_a_rollback_are_named(kind: str) -> None:
    pods = tuple(Pod(f"checkout-{n}", "b", 0.0, ready=True) for n in range(30))
    run = Run(policy(FAILING))
    run.look(kind=kind)
    run.target = releasing(kind=kind)
    for _ in range(3):
        run.look(seen(error_rate=BAD_B))
    assert run.release.phase is Phase.ROLLING_BACK
    assert "RollbackBlocked" not in reasons(run.look(pods=pods)), "it may still come"
    (notice,) = [n for n in run.look(pods=pods, after=600.0).notices if n.reason == "RollbackBlocked"]
    assert "does not replace the pods of revision b" in notice.message
    assert "kubectl -n shop delete pod checkout-0 checkout-1 " in notice.message
    assert notice.message.endswith("(and 10 more)")


def test_a_suspect_that_serves_its_bake_is_no_baseline_and_no_goal() -> None:
    """With few requests a proof may take longer than the bake."""
    run = Run(policy(FAILING))
    run.look()
    run.target = rolled_out()
    run.look(seen(error_rate=GOOD_B))
    for _ in range(60):
        run.look(seen(error_rate=BOTH_BAD), paused=False, paused_by="")
    assert run.now - T0 > run.policy.release.bake
    assert "b" not in [s.revision for s in run.release.served]
    baseline = run.release.baseline
    run.target = rolled_out("c", "b")
    run.look(seen(error_rate=split(b=ratio(150, 3000))))
    assert (run.release.revision, run.release.baseline) == ("c", baseline)
    assert run.release.unproven == ("b",)
