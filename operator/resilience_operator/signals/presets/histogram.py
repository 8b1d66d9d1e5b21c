"""Histograms: sums, differences, and the quantile of a classic one, computed as `histogram_quantile` does.

Required if a target runs several revisions: the quantile over all of them can only be computed from the sum of their
buckets.
https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

from resilience_operator.decision.model.observation import Histogram

Buckets = Mapping[float, float]
"""Upper bound → cumulative count or rate."""


class SparseBuckets(dict[float, float]):
    """The buckets of a native histogram. Between two listed bounds nothing was counted."""


def aligned(parts: Sequence[Buckets]) -> list[Buckets]:
    """The histograms with the same bounds: those common to all classic ones, and all of the native ones between them.

    If a release changed the bounds of a classic histogram, only the bounds common to all can be compared.
    """
    if len(parts) < 2 or (len({frozenset(part) for part in parts}) == 1):
        return list(parts)
    classic = [part for part in parts if not isinstance(part, SparseBuckets)]
    bounds = set(classic[0]).intersection(*classic[1:]) if classic else set().union(*parts)
    ordered = sorted(bounds)
    return [
        dict(zip(ordered, _counts_at(part, ordered), strict=True))
        if isinstance(part, SparseBuckets)
        else {bound: part[bound] for bound in ordered}
        for part in parts
    ]


def _counts_at(buckets: Buckets, bounds: Sequence[float]) -> list[float]:
    """The cumulative counts of a native histogram at other bounds: that of the next lower listed one."""
    listed = sorted(buckets)
    found = []
    for bound in bounds:
        position = bisect_right(listed, bound)
        found.append(buckets[listed[position - 1]] if position else 0.0)
    return found


def merged(parts: Sequence[Buckets]) -> Buckets:
    """The sum of histograms, at bounds that all of them have."""
    if len(parts) == 1:
        return parts[0]
    same = aligned(parts)
    return {bound: sum(part[bound] for part in same) for bound in same[0]}


def grown(now: Buckets, before: Buckets) -> Buckets:
    """What was counted between two looks at the same counters. Bounds that were not listed before count from zero."""
    if not isinstance(now, SparseBuckets):
        return {bound: count - before.get(bound, 0.0) for bound, count in now.items()}
    bounds = sorted({*now, *before})
    pairs = zip(bounds, _counts_at(now, bounds), _counts_at(before, bounds), strict=True)
    return SparseBuckets({bound: count - old for bound, count, old in pairs})


def as_histogram(buckets: Buckets, scale: float, total: float | None = None) -> Histogram | None:
    """The histogram in seconds; None if it has no infinite bound. Counts never decrease.

    scale: seconds per unit of the bounds. total: the number of requests, if `buckets` are rates.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or not math.isinf(bounds[-1]):
        return None
    counts: list[float] = []
    for bound in bounds:
        counts.append(max(buckets[bound], counts[-1] if counts else 0.0))
    if not all(map(math.isfinite, counts)):
        return None
    factor = total / counts[-1] if total is not None and counts[-1] > 0 else 1.0
    return Histogram(tuple(b * scale for b in bounds), tuple(c * factor for c in counts))


def quantile(q: float, buckets: Buckets) -> float:
    """The `q`-quantile (0 < q < 1); NaN if nothing was counted or the `+Inf` bucket is missing."""
    bounds = sorted(buckets)
    if len(bounds) < 2 or not math.isinf(bounds[-1]):
        return math.nan
    rank = q * buckets[bounds[-1]]
    if not rank > 0:
        return math.nan
    below = 0.0
    for i, bound in enumerate(bounds[:-1]):
        # Rates of buckets that were scraped at slightly different times may decrease.
        count = max(below, buckets[bound])
        if count >= rank:
            start = bounds[i - 1] if i else 0.0
            if i == 0 and bound <= 0:
                return bound
            return start + (bound - start) * (rank - below) / (count - below)
        below = count
    return bounds[-2]
