"""Cron expressions: what they match, in which time zone, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.api.cron import CronError, next_start, parse_cron, parse_zone, previous_start

BERLIN = ZoneInfo("Europe/Berlin")
UTC = parse_zone("UTC")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def previous(cron: str, now: str, *, days: int = 8) -> float | None:
    return previous_start(parse_cron(cron), BERLIN, int(at(now) // 60), days)


@pytest.mark.parametrize(
    ("cron", "now", "start"),
    [
        ("0 18 * * FRI", "2026-01-30T18:00:00", "2026-01-30T18:00:00"),  # a Friday
        ("0 18 * * FRI", "2026-01-30T17:59:59", "2026-01-23T18:00:00"),
        ("0 18 * * 5", "2026-02-01T09:00:00", "2026-01-30T18:00:00"),
        ("*/15 * * * *", "2026-02-01T09:29:00", "2026-02-01T09:15:00"),
        ("5/20 9-17 * * MON-FRI", "2026-01-31T09:00:00", "2026-01-30T17:45:00"),
        ("0 0 * * SAT-SUN", "2026-02-01T09:00:00", "2026-02-01T00:00:00"),
        ("0 0 * * 6-7", "2026-02-01T09:00:00", "2026-02-01T00:00:00"),
        ("30 2 1,15 * *", "2026-02-03T09:00:00", "2026-02-01T02:30:00"),
        ("0 0 20 DEC *", "2026-12-24T00:00:00", "2026-12-20T00:00:00"),
        # Both day fields are restricted: either is sufficient.
        ("0 0 31 * MON", "2026-01-31T01:00:00", "2026-01-31T00:00:00"),
        ("0 0 31 * MON", "2026-01-30T01:00:00", "2026-01-26T00:00:00"),
        # 02:30 is skipped on this day, and occurs twice on the other.
        ("30 2 * * *", "2026-03-29T12:00:00", "2026-03-29T03:30:00"),
        ("30 2 * * *", "2026-10-25T12:00:00", "2026-10-25T02:30:00"),
        ("0 18 * * *", "2026-03-29T20:00:00", "2026-03-29T18:00:00"),
    ],
)
def test_the_last_start(cron: str, now: str, start: str) -> None:
    assert previous(cron, now) == at(start)


def test_a_start_long_ago_is_not_looked_for() -> None:
    assert previous("0 0 20 DEC *", "2026-11-24T00:00:00", days=30) is None


@given(
    st.sampled_from(["*/7 * * * *", "0 18 * * FRI", "30 2 * * *", "0 0 1 * *", "15 3 29 2 *", "59 23 31 * SUN"]),
    st.integers(int(at("2023-01-01T00:00:00") // 60), int(at("2029-01-01T00:00:00") // 60)),
)
def test_next_and_previous_agree(text: str, minute: int) -> None:
    cron = parse_cron(text)
    last, coming = previous_start(cron, BERLIN, minute, 3), next_start(cron, BERLIN, minute)
    assert last is None or last <= minute * 60
    assert minute * 60 < coming <= minute * 60 + 86400
    if coming < minute * 60 + 86400:
        assert previous_start(cron, BERLIN, int(coming // 60), 1) == coming
        assert previous_start(cron, BERLIN, int(coming // 60) - 1, 3) == last


def test_each_minute_of_a_week_matches_its_fields() -> None:
    cron, begin = parse_cron("10-20/5 6,18 * * TUE,THU"), datetime(2026, 3, 23, tzinfo=BERLIN)
    expected = [
        moment.timestamp()
        for n in range(7 * 24 * 60)
        if (moment := begin + timedelta(minutes=n)).minute in (10, 15, 20)
        and moment.hour in (6, 18)
        and moment.isoweekday() in (2, 4)
    ]
    found, now = [], begin.timestamp() - 60
    while (now := next_start(cron, BERLIN, int(now // 60))) < begin.timestamp() + 6.9 * 86400:
        if previous_start(cron, BERLIN, int(now // 60), 0) == now:
            found.append(now)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "write five fields"),
        ("0 18 * *", "write five fields"),
        ("0 18 * * FRI 2026", "write five fields"),
        ("@daily", "write five fields"),
        ("0  18 * * *", "write five fields"),
        (5, "write five fields"),
        ("0 18 * * " + "1," * 60, "write five fields"),
        ("60 * * * *", "write a number from 0 to 59"),
        ("0 24 * * *", "write a number from 0 to 23"),
        ("0 0 0 * *", "write a number from 1 to 31"),
        ("0 0 * 13 *", "write a number from 1 to 12 or a name like JAN"),
        ("0 0 * * 8", "write a number from 0 to 7 or a name like SUN"),
        ("0 0 * * FRIDAY", "a day of the week"),
        ("0 0 * * MON,", "a day of the week"),
        ("*/0 * * * *", "no valid step"),
        ("*/ * * * *", "no valid step"),
        ("0 18-9 * * *", "ends before it begins"),
        ("0 0 31 2,4 *", "never occurs"),
    ],
)
def test_refused(text: object, told: str) -> None:
    with pytest.raises(CronError, match=told):
        parse_cron(text)


@pytest.mark.parametrize("name", ["", "Berlin", "europe/atlantis", "../etc/passwd", "/UTC", "Europe", 3, "x" * 65])
def test_no_time_zone(name: object) -> None:
    with pytest.raises(ValueError, match="time zone"):
        parse_zone(name)
