"""Exponential back-off for a custom query that keeps timing out.

A server keeps working on a query after the client has gone, and checks for cancellation rarely (Prometheus: between two
series of a function). A query that it can never answer, sent at each interval, would consume more and more of the
server. So the failure is cached, longer each time.
"""

FREE_TIMEOUTS = 2
"""Consecutive time-outs without back-off: a brief slowdown is not the query's fault."""

FIRST_BACKOFF = 30.0
MAX_BACKOFF = 600.0
"""Seconds. The maximum is the longest interval of a policy."""

ANSWERED_SECONDS = 30.0
"""Seconds for which one answer proves that the query is slow and not the source. Short, so that queries that failed
with the source are sent again soon after it recovers.
"""


def backoff(times: int) -> float:
    """Seconds until a query is sent again after so many consecutive time-outs: 0, 0, 30, 60, 120, 240, 480, 600."""
    if times <= FREE_TIMEOUTS:
        return 0.0
    return min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(times - FREE_TIMEOUTS - 1, 60))
