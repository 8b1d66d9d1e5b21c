"""What an object contains is read and shown without an error, whatever it is: moments, annotations, memory."""

from __future__ import annotations

import dataclasses
import typing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilience_operator.api.base import EARLIEST, LATEST, format_timestamp, to_datetime, to_epoch
from resilience_operator.api.pause import BY, REASON, UNTIL, moment_text, read_pause
from resilience_operator.decision.model import memory as models
from resilience_operator.decision.model.commands import Command
from resilience_operator.decision.model.memory_codec import (
    MOMENTS,
    NUMBERS,
    UnreadableMemory,
    dump_memory,
    load_memory,
    stored_name,
)

offsets = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.builds(lambda at, zone: at.replace(tzinfo=zone), st.datetimes(), offsets)


@given(st.floats())
@example(float("inf"))
@example(float("nan"))
@example(LATEST.timestamp())
@example(EARLIEST.timestamp())
def test_every_number_makes_a_moment_that_can_be_printed(seconds: float) -> None:
    found = to_datetime(seconds)
    assert EARLIEST <= found <= LATEST
    assert datetime.fromisoformat(format_timestamp(found)).tzinfo is not None
    assert datetime.fromisoformat(moment_text(seconds)).tzinfo is not None


@given(moments)
@example(datetime.max.replace(tzinfo=timezone(timedelta(minutes=-1439))))
@example(datetime.min.replace(tzinfo=timezone(timedelta(minutes=1439))))
@example(datetime.min)
@example(datetime.max)
def test_every_moment_can_be_printed(moment: datetime) -> None:
    assert format_timestamp(moment).endswith("Z")
    assert to_datetime(to_epoch(moment)).tzinfo is UTC


@given(moments.map(datetime.isoformat) | st.text() | st.none() | st.integers(), st.text(), st.text())
@example("9999-12-31T23:59:59-23:59", "", "")
@example("9999-12-31T23:59:59.999999Z", "", "")
@example("0001-01-01T00:00:00+23:59", "", "")
@example("9" * 5000, "", "")
def test_every_annotation_is_a_pause_that_can_be_printed(until: object, reason: str, by: str) -> None:
    pause = read_pause({UNTIL: until, REASON: reason, BY: by})
    assert pause is not None
    assert str(pause).startswith(f"paused by {pause.by} until " if pause.by else "paused manually until ")
    assert (pause.until is None) == bool(pause.problem), "what cannot be read has no end, and says so"
    if pause.until is not None:
        assert moment_text(pause.until) in str(pause)
        assert abs(to_epoch(datetime.fromisoformat(moment_text(pause.until))) - pause.until) <= 1


@pytest.mark.parametrize(
    "until", ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00+23:59"]
)
def test_an_end_outside_of_the_calendar_is_refused_in_words(until: str) -> None:
    pause = read_pause({UNTIL: until})
    assert pause is not None and "is not within the years 1 to 9999" in pause.problem


def test_the_last_second_of_the_calendar_is_an_end() -> None:
    pause = read_pause({UNTIL: "9999-12-31T23:59:59Z"})
    assert pause is not None and not pause.problem
    assert "until 9999-12-31T23:59:59Z" in str(pause)


KEYS = sorted(MOMENTS | NUMBERS | {"rules", "scaling", "release", "quarantined", "shadow", "intent", "told", "phase"})
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=6))
@example({"metricsGone": 253402300800})
@example({"scaling": {"baseline": 1e300}})
def test_what_is_taken_for_a_memory_can_be_written_again(forged: dict[str, Any]) -> None:
    try:
        memory = load_memory(forged)
    except UnreadableMemory as error:
        assert str(error)
        return
    assert load_memory(orjson.loads(orjson.dumps(dump_memory(memory)))) == memory


def test_a_memory_nested_too_deep_is_refused() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnreadableMemory, match="nested deeper"):
        load_memory({"x": deep})


def test_every_number_of_a_memory_is_bounded_as_what_it_is() -> None:
    """A field that is added to the memory has to be named as a moment or as a number."""
    floats = set()
    for kind in (*vars(models).values(), Command):
        if not dataclasses.is_dataclass(kind):
            continue
        hints = typing.get_type_hints(kind)
        floats |= {stored_name(f) for f in dataclasses.fields(kind) if "float" in str(hints[f.name])}
    assert floats == MOMENTS | NUMBERS
