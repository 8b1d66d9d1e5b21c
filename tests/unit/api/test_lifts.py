"""Orders to lift quarantines, as annotations give them."""

import pytest

from resilience_operator.api.lifts import MAX_LIFTS, RELEASED, Lift, lifts_text, read_lifts

NOON = 1769860800.0
ENTRY = '{"revision": "6d4f", "at": "2026-01-31T12:00:00Z", "by": "ann"}'


def test_nothing_is_ordered_without_the_annotation() -> None:
    assert read_lifts(None) == ((), "")
    assert read_lifts({"resilience-operator.io/pause-reason": "x"}) == ((), "")


def test_what_is_written_is_read() -> None:
    lifts = (Lift("6d4f", NOON, "ann"), Lift("web-5c9", NOON + 1, "system:serviceaccount:ci:deployer, or 'so'"))
    assert read_lifts({RELEASED: lifts_text(lifts)}) == (lifts, "")


def test_the_newest_orders_are_kept() -> None:
    many = [Lift(f"r{n}", NOON + n) for n in range(MAX_LIFTS + 5)]
    assert read_lifts({RELEASED: lifts_text(many)}) == (tuple(many[5:]), "")


@pytest.mark.parametrize(
    "text",
    ["", "6d4f", "{}", '"6d4f"', "null", "[" * 5000, ENTRY, "[NaN", f"[{ENTRY}] x", "9" * 5000],
)
def test_what_is_no_list_orders_nothing_and_says_how_it_should_look(text: str) -> None:
    lifts, problem = read_lifts({RELEASED: text})
    assert lifts == ()
    assert "is not a JSON list like [{" in problem


def test_an_annotation_that_is_too_long_is_not_read() -> None:
    lifts, problem = read_lifts({RELEASED: f"[{','.join([ENTRY] * 500)}]"})
    assert (lifts, "has more than" in problem) == ((), True)


@pytest.mark.parametrize(
    "entry",
    [
        "1",
        "null",
        "[]",
        "{}",
        '{"revision": "x"}',
        '{"revision": "x", "at": 5}',
        '{"revision": "x", "at": "tomorrow"}',
        '{"revision": "x", "at": "2026-01-31T12:00:00"}',
        '{"revision": "", "at": "2026-01-31T12:00:00Z"}',
        '{"revision": ["x"], "at": "2026-01-31T12:00:00Z"}',
        '{"revision": "x", "at": "2026-01-31T12:00:00Z", "by": {}}',
    ],
)
def test_an_entry_that_cannot_be_read_harms_no_other(entry: str) -> None:
    lifts, problem = read_lifts({RELEASED: f"[{entry}, {ENTRY}]"})
    assert lifts == (Lift("6d4f", NOON, "ann"),)
    assert problem.startswith("1 of 2 entries of the annotation")


def test_names_are_short_and_of_one_line() -> None:
    entry = '{"revision": "6d4f", "at": "2026-01-31T12:00:00Z", "by": "ann\\nis \\u001b[31m' + "x" * 999 + '"}'
    ((lift,), problem) = read_lifts({RELEASED: f"[{entry}]"})
    assert problem == ""
    assert "\n" not in lift.by
    assert "\x1b" not in lift.by
    assert len(lift.by.encode()) <= 253
