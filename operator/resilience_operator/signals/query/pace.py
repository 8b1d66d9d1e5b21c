"""How often a custom query is sent, if its policy does not set an interval.

A cheap query is sent at each evaluation. One that is slow, or whose namespace has used much of its query seconds, is
sent less often; in between its last result is used.
"""

from __future__ import annotations

from typing import NamedTuple

FAST = 5.0
"""Seconds between two evaluations of a policy without an interval."""

SLOW = 15.0
SLOWEST = 30.0
"""Seconds between two times that a slow query is sent, and one of a namespace with little budget left."""

FAST_ANSWER = 0.1
"""Seconds within which a source answers a query that is sent at each evaluation."""

_FREE_SHARE, _LOW_SHARE = 0.25, 0.5
"""Shares of a namespace's query seconds above which its queries are sent less often, and much less often."""

_HYSTERESIS = 0.8
"""A slow query is sent at each evaluation again below this fraction of a bound, so that its pace does not alternate."""

_WEIGHT = 0.3
"""Weight of the last answer in the mean: one slow answer in a row of fast ones changes nothing."""


class Pace(NamedTuple):
    """How often a query is sent. mean: its mean latency in seconds. why: the reason if that is not each evaluation."""

    seconds: float = FAST
    mean: float | None = None
    why: str = ""

    @property
    def reuse_for(self) -> float:
        """Seconds for which a result is used. Less than a pace, since evaluations are not exactly on time."""
        return self.seconds - FAST / 2 if self.seconds > FAST else 0.0

    @property
    def note(self) -> str:
        """A clause for the status; empty if the query is sent at each evaluation."""
        return f"queried every {self.seconds:g}s, because {self.why}" if self.why else ""


FASTEST = Pace()
"""The pace of a query that was not answered yet: it is sent at each evaluation."""


def next_pace(before: Pace, latency: float, used: float) -> Pace:
    """The pace after one more answer. used: the share of the namespace's query seconds that is used, 0 to 1."""
    mean = latency if before.mean is None else (1 - _WEIGHT) * before.mean + _WEIGHT * latency
    factor = _HYSTERESIS if before.seconds > FAST else 1.0
    if used > _LOW_SHARE * (_HYSTERESIS if before.seconds >= SLOWEST else 1.0):
        return Pace(SLOWEST, mean, "its namespace has used most of its query seconds")
    if used > _FREE_SHARE * factor:
        return Pace(SLOW, mean, "its namespace has used much of its query seconds")
    if mean > FAST_ANSWER * factor:
        return Pace(SLOW, mean, f"its metric source takes more than {FAST_ANSWER * 1000:g}ms to answer")
    return Pace(FAST, mean)
