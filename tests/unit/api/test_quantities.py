"""Durations and thresholds as people write them."""

import math

import pytest

from resilience_operator.api.quantities import (
    QuantityError,
    Threshold,
    Unit,
    format_duration,
    format_threshold,
    format_value,
    parse_duration,
    parse_threshold,
)


@pytest.mark.parametrize(
    ("written", "seconds", "again"),
    [
        ("0s", 0.0, "0s"),
        ("30s", 30.0, "30s"),
        ("2m", 120.0, "2m"),
        ("1m30s", 90.0, "1m30s"),
        ("90s", 90.0, "1m30s"),
        ("800ms", 0.8, "800ms"),
        ("1500ms", 1.5, "1s500ms"),
        ("1.5h", 5400.0, "1h30m"),
        ("168h", 604_800.0, "168h"),
        ("0.1s200ms", 0.3, "300ms"),
    ],
)
def test_duration(written: str, seconds: float, again: str) -> None:
    assert parse_duration(written) == seconds
    assert format_duration(seconds) == again
    assert parse_duration(again) == seconds


@pytest.mark.parametrize(
    "written",
    ["", "5", "-5s", "+5s", "5 s", "s", "1s1m", "1d", "5S", "1e3s", ".5s", "5.s", "٣s", "5s\n", 5, None, True],
)
def test_no_duration(written: object) -> None:
    with pytest.raises(QuantityError, match="is not a duration: write a number with a unit, like 30s"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("written", "value", "unit", "again"),
    [
        ("70%", 0.7, Unit.RATIO, "70%"),
        ("0.1%", 0.001, Unit.RATIO, "0.1%"),
        ("99.95%", 0.9995, Unit.RATIO, "99.95%"),
        ("250%", 2.5, Unit.RATIO, "250%"),
        ("0.7", 0.7, Unit.NUMBER, "0.7"),
        (0.7, 0.7, Unit.NUMBER, "0.7"),
        (1, 1.0, Unit.NUMBER, "1"),
        (0, 0.0, Unit.NUMBER, "0"),
        (1500000, 1_500_000.0, Unit.NUMBER, "1500000"),
        ("1s", 1.0, Unit.SECONDS, "1s"),
        ("800ms", 0.8, Unit.SECONDS, "800ms"),
        ("1m30s", 90.0, Unit.SECONDS, "1m30s"),
    ],
)
def test_threshold(written: object, value: float, unit: Unit, again: str) -> None:
    threshold = parse_threshold(written)
    assert threshold == Threshold(value, unit)
    assert str(threshold) == format_threshold(threshold) == again
    assert parse_threshold(again) == threshold


@pytest.mark.parametrize(
    "written",
    [
        "banana",
        "",
        "%",
        "-5%",
        "70 %",
        "1e3",
        "0,7",
        "NaN",
        "inf",
        "1d",
        -1,
        -0.1,
        math.nan,
        math.inf,
        True,
        None,
        [],
        {},
    ],
)
def test_no_threshold(written: object) -> None:
    with pytest.raises(QuantityError, match=r"is not a threshold: write a ratio like 70% or 0.7, or a duration like"):
        parse_threshold(written)


def test_what_is_shown_of_nonsense_is_short() -> None:
    with pytest.raises(QuantityError) as refusal:
        parse_threshold("x" * 10_000)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.834, "ratio", "83.4%"),
        (0.012345, "ratio", "1.23%"),
        (0.7, "ratio", "70%"),
        (1.5, "ratio", "150%"),
        (0.9995, "ratio", "99.95%"),
        (0.99999, "ratio", "99.999%"),
        (1.0, "ratio", "100%"),
        (0.0, "ratio", "0%"),
        (1.4, "seconds", "1.4s"),
        (0.045, "seconds", "45ms"),
        (0.0004, "seconds", "0.4ms"),
        (0.99999, "seconds", "1s"),
        (125.0, "seconds", "2m5s"),
        (0.0, "seconds", "0s"),
        (12.345, "number", "12.3"),
        (123456.7, "number", "123457"),
        (0.00012, "number", "0.00012"),
        (-3.5, "number", "-3.5"),
        (math.nan, "ratio", "nan"),
    ],
)
def test_value_for_people(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


@pytest.mark.parametrize(
    ("threshold", "signal", "fits"),
    [
        ("70%", Unit.RATIO, True),
        ("70%", Unit.SECONDS, False),
        ("70%", Unit.NUMBER, True),
        ("1s", Unit.SECONDS, True),
        ("1s", Unit.RATIO, False),
        (0.7, Unit.RATIO, True),
        (0.7, Unit.SECONDS, True),
    ],
)
def test_units_that_go_together(threshold: object, signal: Unit, fits: bool) -> None:
    assert parse_threshold(threshold).fits(signal) is fits
