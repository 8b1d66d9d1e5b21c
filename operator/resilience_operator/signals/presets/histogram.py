"""The quantile of a classic histogram, as `histogram_quantile` works it out.

Needed where a target runs several revisions: the quantile over all of them follows from the sum of their
buckets, and from nothing less.
https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Buckets = Mapping[float, float]
"""Upper bound → how many were at or below it, per second or in all."""


def merged(parts: Sequence[Buckets]) -> Buckets:
    """Sum over histograms. Where a release changed the bounds, only those that all have can be summed."""
    if len(parts) == 1:
        return parts[0]
    common = set(parts[0]).intersection(*parts[1:])
    return {bound: sum(part[bound] for part in parts) for bound in common}


def quantile(q: float, buckets: Buckets) -> float:
    """The `q`-quantile (0 < q < 1); NaN when nothing was counted or the `+Inf` bucket is missing."""
    bounds = sorted(buckets)
    if len(bounds) < 2 or not math.isinf(bounds[-1]):
        return math.nan
    rank = q * buckets[bounds[-1]]
    if not rank > 0:
        return math.nan
    below = 0.0
    for i, bound in enumerate(bounds[:-1]):
        # Rates of buckets that were scraped a moment apart may fall a little.
        count = max(below, buckets[bound])
        if count >= rank:
            start = bounds[i - 1] if i else 0.0
            if i == 0 and bound <= 0:
                return bound
            return start + (bound - start) * (rank - below) / (count - below)
        below = count
    return bounds[-2]
