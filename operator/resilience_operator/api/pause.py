"""A pause by hand: annotations of a policy, which survive every restart and can stand in git beside the policy.

resilience-operator.io/pause-reason: "load test"              # either of the first two pauses
resilience-operator.io/paused-until: "2026-01-31T12:00:00Z"   # without it: until somebody resumes
resilience-operator.io/paused-by: "ann@example.org"           # only told
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
"""The reason of Ready while a pause lasts."""
UNREADABLE = "PauseUnreadable"
"""The same, when its end cannot be read."""

MOST_TOLD = 256
"""Characters of a reason or a name that are told on: whoever may annotate may write 256 KiB."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Somebody wants nothing to be done for a while.

    until: seconds since the epoch, None without an end. problem: why the end that was given cannot be read, or empty;
    then the policy stays paused, since whoever wrote it wanted that nothing is done.
    """

    reason: str = ""
    until: float | None = None
    by: str = ""
    problem: str = ""

    def over(self, now: float) -> bool:
        """Whether it has run out."""
        return self.until is not None and now >= self.until

    def __str__(self) -> str:
        who = f" by {self.by}" if self.by else " by hand"
        why = f": {self.reason}" if self.reason else ", without a reason"
        end = "until it is resumed" if self.until is None else f"until {moment_text(self.until)}"
        return f"paused{who}, {end}{why}" + (f" ({self.problem})" if self.problem else "")


def read_pause(annotations: Mapping[str, object] | None) -> Pause | None:
    """The pause that a policy's annotations ask for; None when they ask for none."""
    found = annotations or {}
    if REASON not in found and UNTIL not in found:
        return None
    until, problem = _moment(found[UNTIL]) if UNTIL in found else (None, "")
    return Pause(_short(found.get(REASON)), until, _short(found.get(BY)), problem)


def moment_text(moment: float) -> str:
    """A moment (seconds since the epoch) as the annotation holds it. Total: see `to_datetime`."""
    return format_timestamp(to_datetime(round(moment) if isfinite(moment) else moment))


def _moment(text: object) -> tuple[float | None, str]:
    try:
        moment = datetime.fromisoformat(str(text).strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        told = f"{_short(text)!r} in {UNTIL} is not a time with a time zone: use one like 2026-01-31T12:00:00Z"
        return None, told
    seconds = to_epoch(moment)
    if not EARLIEST.timestamp() <= round(seconds) <= LATEST.timestamp():
        told = (
            f"{_short(text)!r} in {UNTIL} is not within the years 1 to 9999 in UTC: to pause without an end, remove it"
        )
        return None, told
    return seconds, ""


def _short(text: object) -> str:
    line = " ".join(str(text or "").split())
    return line if len(line) <= MOST_TOLD else f"{line[: MOST_TOLD - 1]}…"
