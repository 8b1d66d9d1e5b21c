"""The quantile of a classic histogram, computed as `histogram_quantile` does.

Required if a target runs several revisions: the quantile over all of them can only be computed from the sum of their
buckets.
https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Buckets = Mapping[float, float]
"""Upper bound → cumulative count or rate."""


def merged(parts: Sequence[Buckets]) -> Buckets:
    """The sum of histograms. If a release changed the bounds, only the bounds common to all are kept."""
    if len(parts) == 1:
        return parts[0]
    common = set(parts[0]).intersection(*parts[1:])
    return {bound: sum(part[bound] for part in parts) for bound in common}


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
