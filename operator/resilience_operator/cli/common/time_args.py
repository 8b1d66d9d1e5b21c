"""Time arguments of commands: durations such as `24h` and `7d`, or times such as 2026-01-31T10:00:00Z."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from resilience_operator.cli.common.errors import UsageError

_DAYS = re.compile(r"([0-9]{1,4})d(.*)")
DAY = 86400.0


def parse_span(text: str) -> float:
    """Parse a duration to seconds; it may begin with days: `7d`, `1d12h`. Raises UsageError."""
    from resilience_operator.api.quantities import QuantityError, parse_duration

    days = _DAYS.fullmatch(text)
    try:
        if days is None:
            return parse_duration(text)
        return int(days[1]) * DAY + (parse_duration(days[2]) if days[2] else 0.0)
    except QuantityError:
        raise UsageError(f"{text!r} is not a valid duration: use one like 6h, 90m or 7d") from None


def parse_moment(text: str, now: float) -> float:
    """Parse a time, or a duration before `now`, to seconds since the epoch. Raises UsageError."""
    if "T" not in text and "-" not in text:
        return now - parse_span(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a valid time: use a duration like 24h or a time like 2026-01-31T10:00:00Z"
        ) from None
    return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).timestamp()


def age(seconds: float) -> str:
    """Format a duration in one or two parts, like ages in kubectl: `45s`, `3m20s`, `5h`, `12d`."""
    from resilience_operator.api.quantities import format_duration

    seconds = max(0.0, seconds)
    if seconds < 600:
        return format_duration(round(seconds))
    for name, size, below in (("m", 60, 7200), ("h", 3600, 2 * DAY)):
        if seconds < below:
            return f"{round(seconds / size)}{name}"
    return f"{round(seconds / DAY)}d"
