"""Calls of plugins: once for each breach, again after a crash under the same key, rehearsed in a dry run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.memory_codec import dump_memory, load_memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Mode, Plugin, Policy, Rule, Signal
from resilience_operator.decision.outcomes import apply_outcomes
from tests.unit.decision.builders import T0, target

PAGE, DRAIN = Plugin("page", {"team": "shop"}), Plugin("drain")
RULE = Rule("busy", (Condition("load", 10.0),), plugins=(PAGE, DRAIN, PAGE))
POLICY = Policy("uid", "shop", "checkout", 1, (RULE,), {"load": Signal("load", 10.0)}, interval=5.0)
TARGET = target()


class Course:
    """A policy evaluated every five seconds; what was asked for is answered when the test says so."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy, self.memory, self.now = policy, Memory(), T0

    def turn(self, load: float | None) -> tuple[Command, ...]:
        self.now += 5.0
        seen = Observation.unknown(self.now, "NoData", "x") if load is None else Observation(self.now, Measured(load))
        decision = decide(self.policy, {"load": seen}, TARGET, self.memory, self.now)
        self.memory = decision.memory
        return decision.commands

    def answer(self, commands: tuple[Command, ...], result: Result = Result.DONE) -> None:
        self.memory = apply_outcomes(self.memory, [Outcome(c, result) for c in commands], TARGET, self.now)


def keys(commands: tuple[Command, ...]) -> list[str]:
    return [str(command.arguments["key"]) for command in commands]


def test_every_plugin_of_a_rule_is_called_with_its_own_arguments() -> None:
    course = Course()
    assert course.turn(1) == ()
    commands = course.turn(25)
    assert [c.arguments["plugin"] for c in commands] == ["page", "drain", "page"]
    assert [c.arguments["with"] for c in commands] == [{"team": "shop"}, {}, {"team": "shop"}]
    assert {c.verb for c in commands} == {Verb.PLUGIN}
    assert commands[0].message == "plugin page: load is 25 (above 10)"
    assert keys(commands) == [f"uid/busy/{n}/{course.now:.3f}" for n in ("0-page", "1-drain", "2-page")]


@pytest.mark.parametrize("result", [Result.DONE, Result.FAILED])
def test_what_was_called_is_not_called_again_in_this_breach(result: Result) -> None:
    course = Course()
    course.answer(course.turn(25), result)
    assert course.memory.intent is None, "a call that failed is over"
    assert [course.turn(load) for load in (25, None, 30)] == [()] * 3


def test_each_is_asked_for_until_it_is_answered() -> None:
    course = Course()
    first = course.turn(25)
    assert course.turn(25) == tuple(replace(c, message=c.message) for c in first)
    course.answer(first[:1])
    assert keys(course.turn(25)) == keys(first)[1:]


def test_another_breach_is_another_call() -> None:
    course = Course()
    first = course.turn(25)
    course.answer(first)
    course.turn(1)
    second = course.turn(25)
    assert not set(keys(first)) & set(keys(second))
    assert len(second) == 3


def test_an_answer_that_comes_after_the_breach_does_not_count_for_the_next() -> None:
    course = Course()
    first = course.turn(25)
    course.turn(1)
    second = course.turn(25)
    course.answer(first)
    assert keys(course.turn(25)) == keys(second)


def test_after_a_crash_the_key_is_the_same() -> None:
    course = Course()
    first = course.turn(25)
    course.memory = load_memory(dump_memory(course.memory))
    assert keys(course.turn(25)) == keys(first)
    course.answer(first)
    course.memory = load_memory(dump_memory(course.memory))
    assert course.turn(25) == ()


def test_a_rehearsal_is_one_and_no_call() -> None:
    course = Course(replace(POLICY, mode=Mode.DRY_RUN))
    rehearsed = course.turn(25)
    course.answer(rehearsed, Result.DRY_RUN)
    assert course.turn(25) == ()
    course.policy = POLICY
    in_earnest = course.turn(25)
    assert keys(in_earnest) == keys(rehearsed)
    course.answer(in_earnest)
    assert course.turn(25) == ()
    course.policy = replace(POLICY, mode=Mode.DRY_RUN)
    assert course.turn(25) == (), "what was done need not be rehearsed"


def test_what_was_superseded_is_asked_for_again() -> None:
    course = Course()
    first = course.turn(25)
    course.answer(first, Result.SUPERSEDED)
    assert keys(course.turn(25)) == keys(first)
