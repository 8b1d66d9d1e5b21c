"""Cron expressions of five fields: minute, hour, day of the month, month, day of the week.

Each field is `*`, a value, a range `1-5`, a list `1,3`, or one of these with a step: `*/2`, `1-10/3`. Months and days
of the week may be names (`JAN`, `MON`); Sunday is 0 or 7. If both day fields are restricted, either is sufficient, as
in crontab(5). A time that a change to summer time skips is an hour later; of one that occurs twice, the first counts.
"""

import re
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

MAX_LENGTH = 100
"""Maximum characters of an expression."""

_ITEM = r"[0-9A-Za-z*/,-]+"
PATTERN = rf"{_ITEM}( {_ITEM}){{4}}"
"""The form of an expression, in the common syntax of RE2 and Python. No anchors."""

HINT = "write five fields: minute, hour, day of the month, month and day of the week, like 0 18 * * FRI"

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class CronError(ValueError):
    """The text is not a valid expression; the message says what to write."""


class Cron(NamedTuple):
    """A parsed expression. Each field holds its values in ascending order; Sunday is 0.

    any_day: the days of the month and of the week are not both restricted, so that both must match.
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    any_day: bool

    def on(self, day: datetime) -> bool:
        """Return whether it matches a day."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (of_month and of_week) if self.any_day else (of_month or of_week)


def parse_cron(text: object) -> Cron:
    """Parse an expression. Raises CronError."""
    if not isinstance(text, str) or len(text) > MAX_LENGTH or not re.fullmatch(PATTERN, text):
        raise CronError(f"{str(text)[:60]!r} is not a cron expression: {HINT}")
    minute, hour, day, month, weekday = text.split(" ")
    cron = Cron(
        text,
        _field(minute, "minute", 0, 59),
        _field(hour, "hour", 0, 23),
        _field(day, "day of the month", 1, 31),
        _field(month, "month", 1, 12, _MONTHS),
        tuple(sorted({value % 7 for value in _field(weekday, "day of the week", 0, 7, _DAYS)})),
        any_day=day.startswith("*") or weekday.startswith("*"),
    )
    if cron.any_day and not any(cron.days[0] <= _LONGEST_MONTHS[m - 1] for m in cron.months):
        raise CronError(f"{text!r} never occurs: no such month has a day {cron.days[0]}")
    return cron


def _field(text: str, name: str, low: int, high: int, names: tuple[str, ...] = ()) -> tuple[int, ...]:
    found: set[int] = set()
    for item in text.split(","):
        bounds, slash, step = item.partition("/")
        if slash and not (step.isdecimal() and 1 <= int(step) <= high):
            raise CronError(f"{item!r} has no valid step for the {name}: write one from 1 to {high}, like */2")
        if bounds == "*":
            first, last = low, high
        else:
            begin, dash, end = bounds.partition("-")
            first = _value(begin, name, low, high, names)
            last = _value(end, name, low, high, names) if dash else high if slash else first
        if high == 7 and last == 0 < first:
            last = 7  # a range up to Sunday
        if last < first:
            raise CronError(f"{item!r} ends before it begins: write the {name} as a list instead, like {first},{last}")
        found.update(range(first, last + 1, int(step) if slash else 1))
    return tuple(sorted(found))


def _value(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text.upper() in names:
        return names.index(text.upper()) + low
    if text.isdecimal() and low <= int(text) <= high:
        return int(text)
    examples = f" or a name like {names[0]}" if names else ""
    raise CronError(f"{text!r} is not a {name}: write a number from {low} to {high}{examples}")


@lru_cache(maxsize=1024)
def previous_start(cron: Cron, zone: tzinfo, minute: int, days: int) -> float | None:
    """Return the last occurrence up to `minute` (of the epoch), in seconds; None if there is none in `days` days."""
    end = datetime.fromtimestamp(minute * 60, zone)
    for back in range(days + 2):
        day = end.date() - timedelta(days=back)
        for start in reversed(_starts(cron, zone, datetime(day.year, day.month, day.day))):
            if start <= minute * 60:
                return start
    return None


@lru_cache(maxsize=1024)
def next_start(cron: Cron, zone: tzinfo, minute: int) -> float:
    """Return the first occurrence after `minute` (of the epoch), in seconds; at most a day ahead.

    If there is none within a day, the result is a day ahead: look again then.
    """
    begin = datetime.fromtimestamp(minute * 60, zone)
    for ahead in range(2):
        day = begin.date() + timedelta(days=ahead)
        for start in _starts(cron, zone, datetime(day.year, day.month, day.day)):
            if start > minute * 60:
                return min(start, minute * 60 + 86400.0)
    return minute * 60 + 86400.0


def _starts(cron: Cron, zone: tzinfo, day: datetime) -> list[float]:
    """Return the occurrences on a day of the zone, ascending. day: midnight, without a zone."""
    if not cron.on(day):
        return []
    found = {day.replace(hour=h, minute=m, tzinfo=zone).timestamp() for h in cron.hours for m in cron.minutes}
    return sorted(found)


ZONE_PATTERN = r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*"
"""The form of a time zone's name."""

ZONE_HINT = "write a time zone of the IANA database, like Europe/Berlin or UTC"


@lru_cache(maxsize=256)
def parse_zone(name: object) -> tzinfo:
    """Return the time zone with that name. Raises ValueError."""
    if not isinstance(name, str) or len(name) > 64 or not re.fullmatch(ZONE_PATTERN, name):
        raise ValueError(f"{str(name)[:60]!r} is not a time zone: {ZONE_HINT}")
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder of the database, or no such zone
        raise ValueError(f"{name!r} is not a known time zone: {ZONE_HINT}") from None
