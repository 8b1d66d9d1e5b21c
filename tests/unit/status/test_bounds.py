"""The largest policy that the schema lets in: its status stays within its bound, whatever is found and done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from resilience_operator.api.conditions import MOST_MESSAGE, ConditionType, condition
from resilience_operator.api.spec import ACTIONS_IN_ALL, CONDITIONS_IN_ALL, RULES_LIMIT, SIGNALS_LIMIT
from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.memory import Intent, Memory, Timer, Verdict
from resilience_operator.decision.model.memory_codec import dump_memory
from resilience_operator.decision.model.policy import Condition, Plugin, Rollback, Rule, ScaleUp, Signal
from resilience_operator.decision.outcomes import MAX_QUARANTINED, apply_outcomes
from resilience_operator.status import history, render
from resilience_operator.status.history import HISTORY_LENGTH, DecisionHistory, history_entry, to_datetime
from resilience_operator.status.render import MOST_BYTES
from tests.unit.decision.builders import T0, policy, ratio, releasing, split, unknown


def largest() -> Any:
    """As many rules, conditions, actions and signals as there may be, with the longest names."""
    signals = {name: Signal(name, window=60.0, unit="ratio") for name in (f"s{n:02}".ljust(63, "x") for n in range(64))}
    names = list(signals)
    assert len(names) == SIGNALS_LIMIT
    each = CONDITIONS_IN_ALL // RULES_LIMIT
    plugins = ACTIONS_IN_ALL // RULES_LIMIT
    rules = []
    for number in range(RULES_LIMIT):
        conditions = tuple(Condition(names[(number * each + n) % 64], 0.123456789) for n in range(each))
        rules.append(
            Rule(
                f"r{number:03}".ljust(63, "x"),
                conditions,
                pause=True,
                rollback=Rollback(after=1e6),
                scale_up=ScaleUp(pods=1),
                alert=True,
                plugins=tuple(Plugin(f"p{n}".ljust(63, "x"), {}) for n in range(plugins)),
            )
        )
    return policy(*rules, signals=signals, max_replicas=100_000)


@pytest.mark.parametrize("measured", [True, False])
def test_status_of_the_largest_policy(measured: bool) -> None:
    wide = largest()
    memory, target = Memory(), releasing()
    seen = split(a=ratio(0, 6000), b=ratio(6000, 6000)) if measured else unknown()
    outcomes = [
        Outcome(
            Command(verb, "RuleBreached", "m" * 100_000, tuple(r.name for r in wide.rules)), Result.FAILED, "x" * 9_999
        )
        for verb in Verb
    ]
    journal = DecisionHistory()
    for number in range(10):
        now = T0 + 30.0 * number
        decision = decide(wide, dict.fromkeys(wide.signals, seen), target, memory, now)
        memory = decision.memory
        journal = journal.add([history_entry(outcome, now, "ab" * 16) for outcome in outcomes])
        failures = outcomes
        rendered = render.render(decision, target, memory, journal, (), failures=failures)
        assert len(orjson.dumps(rendered.body)) <= MOST_BYTES
    assert len(rendered.body["signals"]) == SIGNALS_LIMIT, "nothing has to be left out"
    assert len(rendered.body["history"]) == HISTORY_LENGTH
    assert all(len(d["message"].encode()) <= history.MOST_MESSAGE for d in rendered.body["history"])


def test_memory_of_the_largest_policy_with_everything_in_it() -> None:
    """All timers run, all plugins were called, all rules paused; ten revisions are quarantined, three actions begin."""
    wide, seen = largest(), split(a=ratio(0, 6000), b=ratio(6000, 6000))
    decision = decide(wide, dict.fromkeys(wide.signals, seen), releasing(), Memory(), T0)
    names, at = tuple(rule.name for rule in wide.rules), T0 + 0.123456
    timers = (Timer(Verdict.UNKNOWN, at, at, at, Verdict.BREACH),) * (CONDITIONS_IN_ALL // RULES_LIMIT)
    plugins = {f"p{n}".ljust(63, "x"): at for n in range(ACTIONS_IN_ALL // RULES_LIMIT)}
    rules = {
        name: replace(known, timers=timers, release_timers=timers, breach=at, scaled=at, called=plugins)
        for name, known in decision.memory.rules.items()
    }
    assert len(rules) == RULES_LIMIT
    assert decision.memory.release is not None
    release = replace(decision.memory.release, ok_before=names[:64], shared_breaches=names[64:], paused_rules=names)
    memory = replace(decision.memory, rules=rules, release=release)
    long = "; ".join(["cpu is 85% (above 70% for 2m)"] * RULES_LIMIT)
    for number in range(2 * MAX_QUARANTINED):
        back = Command(Verb.ROLLBACK, "ReleaseFailing", long, names, f"bad-{number}", "good")
        memory = apply_outcomes(memory, [Outcome(back, Result.DONE)], releasing(), at)
    begun = tuple(
        Command(verb, "RuleBreached", long, names, 1, 2) for verb in (Verb.PAUSE, Verb.ROLLBACK, Verb.SCALE_UP)
    )
    memory = replace(memory, intent=Intent(at, begun, "ab" * 16))
    assert len(orjson.dumps(dump_memory(memory))) <= 192 << 10
    body = render.render(decision, releasing(), memory, DecisionHistory(), ()).body
    assert len(orjson.dumps(body)) <= MOST_BYTES
    assert len(body["quarantined"]) == MAX_QUARANTINED


def test_a_status_that_is_too_large_already_is_shortened_with_a_note() -> None:
    """As an earlier version may have left it."""
    decision = decide(policy(), {}, releasing(), Memory(), T0)
    command = Command(Verb.SCALE_UP, "RuleBreached", "", ("busy",), 1, 2)
    entry = history_entry(Outcome(command, Result.DONE), T0, "")
    journal = DecisionHistory(tuple(entry.model_copy(update={"message": "m" * 32_000}) for _ in range(HISTORY_LENGTH)))
    body = render.render(decision, releasing(), decision.memory, journal, ()).body
    assert len(orjson.dumps(body)) <= MOST_BYTES
    assert 1 <= len(body["history"]) < HISTORY_LENGTH
    assert "older decisions are omitted" in body["history"][-1]["message"]
    assert body["memory"]


def test_a_condition_says_what_it_says_in_one_line_of_bounded_length() -> None:
    found = condition(ConditionType.READY, "False", "InvalidSpec", "a\nb" + "é" * 9_999, now=to_datetime(T0))
    assert found.message.isprintable()
    assert len(found.message.encode()) <= MOST_MESSAGE
