"""A pause by hand: how its annotations are read, and what is remembered through it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience_operator.api.pause import BY, REASON, UNTIL, Pause, moment_text, read_pause
from resilience_operator.decision.model.memory import (
    Memory,
    Phase,
    ReleaseMemory,
    RuleMemory,
    ScalingMemory,
    Timer,
    Verdict,
)
from resilience_operator.decision.suspension import freeze_timers

NOON = 1_769_860_800.0  # 2026-01-31T12:00:00Z


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (None, None),
        ({}, None),
        ({BY: "ann"}, None),
        ({REASON: "load test"}, Pause("load test")),
        ({REASON: " two\n lines ", BY: "ann"}, Pause("two lines", by="ann")),
        ({UNTIL: "2026-01-31T12:00:00Z"}, Pause(until=NOON)),
        ({REASON: "x", UNTIL: "2026-01-31T13:00:00+01:00"}, Pause("x", NOON)),
    ],
)
def test_the_annotations_that_pause(annotations: dict[str, object] | None, expected: Pause | None) -> None:
    assert read_pause(annotations) == expected


@pytest.mark.parametrize("until", ["tomorrow", "", "2h", "2026-01-31T12:00:00", "2026-01-31", "null"])
def test_an_end_that_cannot_be_read_is_no_end(until: str) -> None:
    pause = read_pause({UNTIL: until})
    assert pause is not None
    assert not pause.over(NOON * 10)
    assert "use one like 2026-01-31T12:00:00Z" in pause.problem


def test_it_is_over_at_its_end_and_never_without_one() -> None:
    assert [Pause(until=NOON).over(at) for at in (NOON - 1, NOON)] == [False, True]
    assert not Pause("for good").over(NOON * 10)


def test_what_is_told_is_one_line_of_bounded_length() -> None:
    pause = read_pause({REASON: "a" * 1000, BY: "b\nc"})
    assert pause is not None
    assert len(pause.reason) == 256
    assert str(replace(pause, reason="why", until=NOON)) == f"paused by b c until {moment_text(NOON)}: why"
    assert str(Pause()) == "paused manually until it is resumed (no reason given)"


def test_what_was_seen_before_a_pause_proves_nothing_after_it() -> None:
    crossed = Timer(Verdict.PENDING, since=10.0, crossed=10.0)
    memory = Memory(
        target_uid="uid",
        rules={
            "cpu": RuleMemory(
                timers=(crossed,),
                breach=20.0,
                release_breach_since=20.0,
                scaled=5.0,
                signature="cpu>0.7",
                base_replicas=3,
            )
        },
        scaling=ScalingMemory(baseline=3, last_replicas=5, manual_floor=4, stable_since=30.0),
        release=ReleaseMemory(Phase.BAKING, since=0.0, revision="b", good="a", bake_started=15.0),
        announced=frozenset({"manual"}),
    )
    rested = freeze_timers(memory, now=40.0)
    assert rested.rules["cpu"] == RuleMemory(scaled=5.0, signature="cpu>0.7")
    assert rested.scaling == ScalingMemory(baseline=3, last_replicas=5, manual_floor=4)
    assert rested.release is not None and (rested.release.bake_started, rested.release.unmeasured) == (15.0, 40.0)
    assert rested.announced == memory.announced
    assert freeze_timers(rested, now=90.0) is rested
