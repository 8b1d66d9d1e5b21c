"""A crash, or a lost answer, between writing an intent and its end."""

from dataclasses import replace

import pytest

from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.memory import Intent, Memory, Phase
from resilience_operator.decision.model.observation import Measured
from resilience_operator.decision.model.policy import Condition, Rule, ScaleUp
from resilience_operator.decision.model.target import HorizontalPodAutoscaler, TargetState
from resilience_operator.decision.outcomes import apply_outcomes, is_applied, recover_intent
from tests.unit.decision.builders import (
    BAD_B,
    FAILING,
    GOOD_B,
    T0,
    Run,
    policy,
    ratio,
    releasing,
    revision,
    seen,
    split,
    target,
    verbs,
    whole,
)

OURS = {"paused": True, "paused_by": "resilience-operator"}
THEIRS = {"paused": True, "paused_by": "kubectl-rollout"}
HPA = HorizontalPodAutoscaler("checkout", "7", 4, 10)
VIA = "HorizontalPodAutoscaler/checkout"


def command(verb: Verb, to: int | str | None = None, via: str = "") -> Command:
    return Command(verb, "Reason", "message", ("r",), to=to, via=via)


@pytest.mark.parametrize(
    ("done", "before", "after"),
    [
        pytest.param(command(Verb.SCALE_UP, 6), target(), target(replicas=6), id="scaleUp"),
        pytest.param(command(Verb.SCALE_DOWN, 3), target(), target(replicas=3), id="scaleDown"),
        pytest.param(
            command(Verb.SCALE_UP, 6, VIA),
            target(hpa=HPA, replicas=6),
            target(hpa=replace(HPA, min_replicas=6, original_min=4)),
            id="scaleUp by the HPA",
        ),
        pytest.param(command(Verb.PAUSE, "b"), releasing(), releasing(**OURS), id="pause"),
        pytest.param(command(Verb.PAUSE, "b"), releasing(**THEIRS), releasing(**OURS), id="pause, not a person's"),
        pytest.param(command(Verb.RESUME, "b"), releasing(**OURS), releasing(), id="resume"),
        pytest.param(command(Verb.ROLLBACK, "a"), releasing(), target(revision="a"), id="rollback"),
        pytest.param(command(Verb.ROLLBACK, "a"), target(revision="a", **OURS), target(), id="rollback unpauses too"),
        pytest.param(
            Command(Verb.ROLLBACK, "Reason", "message", ("r",), from_="b", to="a"),
            target(revision="c", revisions=(revision("a", 1), revision("b", 2), revision("c", 3))),
            target(revision="c", revisions=(revision("b", 2), revision("a", 3), revision("c", 4))),
            id="rollback, and another release since",
        ),
    ],
)
def test_what_the_target_shows_happened(done: Command, before: TargetState, after: TargetState) -> None:
    assert is_applied(done, before) is False
    assert is_applied(done, after) is True
    memory = Run(policy(FAILING))
    memory.look()
    with_intent = replace(memory.memory, intent=Intent(T0, (done,), "trace"))
    assert recover_intent(with_intent, before)[1] == ()
    settled, outcomes = recover_intent(with_intent, after)
    assert outcomes == (Outcome(done, Result.DONE),)
    assert settled.intent is None


def test_nothing_to_settle() -> None:
    memory = Memory()
    assert recover_intent(memory, target()) == (memory, ())


def killed(run: Run, observations: object) -> Memory:
    """The memory that the status has when the operator is killed after writing an intent."""
    before = replace(run)
    decision = before.look(observations)  # type: ignore[arg-type]
    assert decision.commands
    return replace(decision.memory, intent=Intent(decision.at, decision.commands))


@pytest.mark.parametrize("landed", [True, False])
def test_killed_around_the_pause(landed: bool) -> None:
    run = Run(policy(FAILING))
    run.look()
    run.target = releasing()
    run.look(seen(error_rate=GOOD_B))
    memory = killed(run, seen(error_rate=BAD_B))
    paused_at = run.now + 15
    assert memory.intent is not None
    run.now += 35  # down for twenty seconds
    if landed:
        run.target = releasing(**OURS)
    run.memory, outcomes = recover_intent(memory, run.target)
    assert len(outcomes) == landed
    decision = run.look(seen(error_rate=BAD_B))
    assert decision.at == paused_at + 35
    assert verbs(decision) == ["rollback"], "the timers went on; no second pause"


@pytest.mark.parametrize("landed", [True, False])
def test_killed_around_the_rollback(landed: bool) -> None:
    run = Run(policy(FAILING))
    run.look()
    run.target = releasing()
    run.look(seen(error_rate=BAD_B))
    run.look(seen(error_rate=BAD_B))
    memory = killed(run, seen(error_rate=BAD_B))
    if landed:
        run.target = replace(run.target, revision="a", paused=False, paused_by="", rolled_out=False)
    run.memory, _ = recover_intent(memory, run.target)
    decision = run.look(seen(error_rate=BAD_B))
    assert verbs(decision) == ([] if landed else ["rollback"])
    assert run.release.phase is Phase.ROLLING_BACK
    assert [(q.revision, q.rollbacks) for q in run.memory.quarantined] == [("b", 1)]


def test_killed_after_the_rollback_and_a_new_release_came_first() -> None:
    run = Run(policy(FAILING))
    run.look()
    run.target = releasing()
    run.look(seen(error_rate=BAD_B))
    run.look(seen(error_rate=BAD_B))
    memory = killed(run, seen(error_rate=BAD_B))
    run.target = target(
        revision="c",
        rolled_out=False,
        revisions=(revision("b", 2, replicas=0), revision("a", 3, replicas=2), revision("c", 4, replicas=2)),
    )
    run.memory, outcomes = recover_intent(memory, run.target)
    assert [o.command.verb for o in outcomes] == [Verb.ROLLBACK]
    decision = run.look(seen(error_rate=split(a=ratio(3, 3000), c=ratio(3, 3000))))
    assert verbs(decision) == []
    assert (run.release.phase, run.release.revision) == (Phase.PROGRESSING, "c")
    assert [q.revision for q in run.memory.quarantined] == ["b"]


@pytest.mark.parametrize("landed", [True, False])
def test_killed_around_a_scale_up(landed: bool) -> None:
    run = Run(policy(Rule("busy", (Condition("cpu", 0.7),), scale_up=ScaleUp(pods=2))))
    run.look()
    hot = seen(cpu=whole(Measured(0.9)))
    memory = killed(run, hot)
    if landed:
        run.target = target(replicas=6, ready=6, scaled_by="resilience-operator")
    run.memory, _ = recover_intent(memory, run.target)
    run.now += 15
    decision = run.look(hot)
    assert verbs(decision) == ([] if landed else ["scaleUp"]), "the cooldown counts from the decision"
    assert run.memory.scaling.manual_floor is None


def test_a_resume_of_which_the_answer_was_lost_is_no_persons() -> None:
    run = Run(policy(FAILING), target=releasing(**OURS))
    good = seen(error_rate=GOOD_B)
    run.result = Result.FAILED
    while not run.look(good).commands:
        pass
    assert run.memory.intent is not None
    run.target = releasing()
    run.memory, outcomes = recover_intent(run.memory, run.target)
    assert [o.command.verb for o in outcomes] == [Verb.RESUME]
    run.look(good)
    assert not run.release.manual_override


def test_superseded_is_forgotten() -> None:
    run = Run(policy(FAILING))
    run.look()
    outcome = Outcome(command(Verb.PAUSE, "a"), Result.SUPERSEDED, "it changed")
    assert apply_outcomes(run.memory, [outcome], run.target, run.now) == run.memory
