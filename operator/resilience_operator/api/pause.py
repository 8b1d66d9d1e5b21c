"""Manual pause of a policy, set by annotations: it survives restarts and can be kept in git with the policy.

resilience-operator.io/pause-reason: "load test"              # either of the first two pauses
resilience-operator.io/paused-until: "2026-01-31T12:00:00Z"   # without it: until someone resumes
resilience-operator.io/paused-by: "ann@example.org"           # only shown
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from .base import EARLIEST, LATEST, format_timestamp, to_datetime, to_epoch

REASON = "resilience-operator.io/pause-reason"
UNTIL = "resilience-operator.io/paused-until"
BY = "resilience-operator.io/paused-by"

IN_FORCE = "PausedByHand"
"""Reason of the Ready condition during a pause."""
UNREADABLE = "PauseUnreadable"
"""The same, if the end of the pause cannot be parsed."""

MOST_SHOWN = 256
"""Maximum characters of a reason or a name in messages; an annotation may hold up to 256 KiB."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A manual pause.

    until: seconds since the epoch, None for no end. problem: why the given end cannot be parsed, or empty. A pause
    with a problem does not expire.
    """

    reason: str = ""
    until: float | None = None
    by: str = ""
    problem: str = ""

    def over(self, now: float) -> bool:
        """Return whether the pause has expired."""
        return self.until is not None and now >= self.until

    def __str__(self) -> str:
        who = f" by {self.by}" if self.by else " manually"
        why = f": {self.reason}" if self.reason else " (no reason given)"
        end = "until it is resumed" if self.until is None else f"until {moment_text(self.until)}"
        return f"paused{who} {end}{why}" + (f" ({self.problem})" if self.problem else "")


def read_pause(annotations: Mapping[str, object] | None) -> Pause | None:
    """Return the pause that a policy's annotations request, or None."""
    found = annotations or {}
    if REASON not in found and UNTIL not in found:
        return None
    until, problem = to_moment(found[UNTIL], UNTIL) if UNTIL in found else (None, "")
    return Pause(short_text(found.get(REASON)), until, short_text(found.get(BY)), problem)


def moment_text(moment: float) -> str:
    """Format a time (seconds since the epoch) as in the annotation. Never raises; see `to_datetime`."""
    return format_timestamp(to_datetime(round(moment) if isfinite(moment) else moment))


def to_moment(text: object, annotation: str) -> tuple[float | None, str]:
    """Return the time in an annotation (seconds since the epoch), or None and why it cannot be parsed."""
    try:
        moment = datetime.fromisoformat(str(text).strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        what = f"{short_text(text)!r} in {annotation} is not a time with a time zone"
        return None, f"{what}: use one like 2026-01-31T12:00:00Z"
    seconds = to_epoch(moment)
    if not EARLIEST.timestamp() <= round(seconds) <= LATEST.timestamp():
        problem = f"{short_text(text)!r} in {annotation} is not within the years 1 to 9999 in UTC"
        if annotation == UNTIL:
            problem += ": to pause without an end, remove it"
        return None, problem
    return seconds, ""


def short_text(text: object) -> str:
    """Return the text of an annotation as one line, cut to `MOST_SHOWN` characters."""
    line = " ".join(str(text or "").split())
    return line if len(line) <= MOST_SHOWN else f"{line[: MOST_SHOWN - 1]}…"
