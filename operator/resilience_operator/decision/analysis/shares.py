"""Latency as a proportion: how many requests took longer than a threshold.

"P99 above 1 s" means that more than 1% of the requests took longer than 1 s. A histogram counts requests only at its
bounds. For a threshold between two bounds the number lies between the counts at these bounds; requests in the top
bucket took longer than the last finite bound, and by how much is unknown.
"""

from __future__ import annotations

from bisect import bisect_left
from math import inf, isinf, log, log1p
from statistics import NormalDist

from resilience_operator.decision.model.observation import Histogram

_EQUAL = 1e-9
"""Relative difference up to which a bound equals a threshold."""


def total(histogram: Histogram) -> float:
    """Return the number of requests."""
    return histogram.counts[-1] if histogram.counts else 0.0


def over(histogram: Histogram, bound: float) -> float:
    """Return the requests over a bound of the histogram; 0 for the infinite one."""
    return max(0.0, total(histogram) - histogram.counts[histogram.bounds.index(bound)])


def around(histogram: Histogram, threshold: float) -> tuple[float | None, float]:
    """Return the bounds next to a threshold: at or below it (None if there is none), and at or above it."""
    bounds = histogram.bounds
    for bound in bounds:
        if abs(bound - threshold) <= _EQUAL * max(abs(threshold), _EQUAL):
            return bound, bound
    place = bisect_left(bounds, threshold)
    return (bounds[place - 1] if place else None), (bounds[place] if place < len(bounds) else float("inf"))


def merged(first: Histogram, second: Histogram) -> Histogram:
    """Return the sum of two histograms at their common bounds."""
    if first.bounds == second.bounds:
        return Histogram(first.bounds, tuple([a + b for a, b in zip(first.counts, second.counts, strict=True)]))
    left, right = dict(zip(*first, strict=True)), dict(zip(*second, strict=True))
    bounds = tuple(sorted(left.keys() & right.keys()))
    return Histogram(bounds, tuple([left[b] + right[b] for b in bounds]))


def with_odds(rate: float, odds: float) -> float:
    """Return a rate whose odds are `odds` times as high."""
    return odds * rate / (1.0 + (odds - 1.0) * rate)


def odds_ratio(rate: float, other: float) -> float:
    """Return how many times higher the odds of `rate` are than those of `other`; both between 0 and 1."""
    return rate * (1.0 - other) / ((1.0 - rate) * other)


def slower_odds(histogram: Histogram, bound: float, by: float) -> float:
    """Return the odds ratio of requests over `bound` if all requests take `by` longer, at least 1.

    Then those over the bound are those that exceed bound / (1 + by) now. Between two bounds the share is interpolated
    on the scale of the normal quantile against the logarithm of the latency, which is exact for log-normal latencies.
    """
    place = histogram.bounds.index(bound)
    here = _normal_quantile(histogram, bound)
    if isinf(bound) or bound <= 0:
        return 1.0 + by
    # Below the lowest bound, the slope above it is continued.
    below = histogram.bounds[place - 1] if place else 0.0
    ends = (below, bound) if below > 0 else (bound, histogram.bounds[place + 1])
    if isinf(ends[1]):
        return 1.0 + by
    low, high = (_normal_quantile(histogram, end) for end in ends)
    slope = (low - high) / log(ends[1] / ends[0])
    normal = NormalDist()
    return max(1.0, odds_ratio(normal.cdf(here + slope * log1p(by)), normal.cdf(here)))


def _normal_quantile(histogram: Histogram, bound: float) -> float:
    """Return the normal quantile of the share of requests over a bound. No or all requests count as half a request."""
    requests = max(total(histogram), 2.0)
    slower = min(max(over(histogram, bound), 0.5), requests - 0.5)
    return NormalDist().inv_cdf(slower / requests)


def informative_bounds(histogram: Histogram, targets: tuple[float, ...]) -> tuple[float, ...]:
    """Return the finite bounds whose share of slower requests is next to one of `targets`, ascending."""
    requests = total(histogram)
    if requests <= 0:
        return ()
    shares = [(max(over(histogram, b), 0.5) / requests, b) for b in histogram.bounds if not isinf(b)]
    # Of the bounds that no request exceeded, the lowest is the one that a slower tail reaches first.
    empty = next((b for b in histogram.bounds if over(histogram, b) <= 0), inf)
    usable = [(share, bound) for share, bound in shares if share < 0.8 and bound <= empty]
    if not usable:
        return ()
    chosen = {min(usable, key=lambda found: abs(log(found[0] / target)))[1] for target in targets}
    # A few requests that take far longer show only at a bound that hardly any request exceeded before.
    if rare := [bound for share, bound in usable if share <= 2 * min(targets)]:
        chosen.add(min(rare))
    return tuple(sorted(chosen))
