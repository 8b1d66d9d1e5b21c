"""How long a policy's own query is left alone that took too long, time after time.

A server works on after nobody waits any more, and looks up seldom while it does (Prometheus: between two series of a
function). So a query that it can never answer, asked at each interval, would cost it more and more, and everybody
else their answers. Its reply stands for a while instead, longer each time.
"""

FREE_TIMEOUTS = 2
"""Time-outs in a row after which it is asked as before: a moment's slowness is nobody's fault."""

FIRST_BACKOFF = 30.0
MAX_BACKOFF = 600.0
"""Seconds; the latter is the longest interval that a policy may have."""

ANSWERED_SECONDS = 30.0
"""How long one answer shows that it is the query that is slow, not the source. Short: what hangs together with its
source should be asked again as soon as that is back."""


def backoff(times: int) -> float:
    """Seconds for which a query is not asked after so many time-outs in a row: 0, 0, 30, 60, 120, 240, 480, 600."""
    if times <= FREE_TIMEOUTS:
        return 0.0
    return min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(times - FREE_TIMEOUTS - 1, 60))
