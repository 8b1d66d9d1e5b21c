"""Histogram bucket bounds, and how a law of response times fills them. Pure; bounds in seconds.

`histogram_quantile` interpolates linearly inside a bucket, so a law whose true P99 is 1.4 s can read as
2.1 s through the bounds 1 and 2.5. A test that asks for a P99 means the one it will read: `calibrated`
finds the exponential law whose
*reading* through given bounds is the number that was asked for.
Source of the interpolation:
https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .queueing import Exponential, Law, Sojourn, mean


@dataclass(frozen=True, eq=False)
class Layout:
    """Finite upper bounds of a histogram in seconds, and the texts that its `le` labels carry.

    Compared by identity: a layout is part of the key of caches that are asked thousands of times a second.
    """

    bounds: tuple[float, ...]
    le: tuple[str, ...]
    unit: float = 1.0
    """What `_sum` counts, per second of response time: 1 for seconds, 1000 for milliseconds."""


def _layout(bounds: Sequence[float], unit: float = 1.0) -> Layout:
    return Layout(tuple(b / unit for b in bounds), (*(f"{b:g}" for b in bounds), "+Inf"), unit)


DEFAULT = _layout((0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))
"""Prometheus client libraries' default, and ingress-nginx's --time-buckets."""

OPENTELEMETRY = _layout((0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10))
"""The bounds that the HTTP semantic conventions advise for http.server.request.duration."""

ISTIO = Layout(
    bounds=tuple(
        b / 1000 for b in (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 18e5, 36e5)
    ),
    le=(
        *("0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000"),
        *("30000", "60000", "300000", "600000", "1800000", "3600000", "+Inf"),
    ),
    unit=1000.0,
)
"""Envoy's default histogram bounds, in milliseconds."""

LINKERD = Layout(
    bounds=(0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 5.0, 10.0),
    le=("1", "10", "50", "100", "200", "300", "400", "500", "1000", "5000", "10000", "+Inf"),
    unit=1000.0,
)
"""linkerd2-proxy's latency bounds, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What one request, on average, adds to a histogram."""

    shares: tuple[float, ...]
    """Cumulative, one for each `le`, the last is 1."""
    mean: float
    """Seconds."""


@lru_cache(maxsize=8192)
def answered(layout: Layout, law: Sojourn) -> Profile:
    """Profile of the requests that were answered before the time-out."""
    reached = law.untimed_cdf(law.timeout) if not math.isinf(law.timeout) else 1.0
    if reached <= 0:
        return timed_out(layout, law.timeout)
    shares = tuple(min(1.0, law.cdf(b) / reached) if b < law.timeout else 1.0 for b in layout.bounds)
    upper = law.timeout if not math.isinf(law.timeout) else 3600.0
    # E[min(S, T)] = reached * E[S | S < T] + (1 - reached) * T
    average = (mean(law, upper) - (1 - reached) * (0.0 if reached == 1 else upper)) / reached
    return Profile((*shares, 1.0), max(0.0, average))


@lru_cache(maxsize=64)
def timed_out(layout: Layout, timeout: float) -> Profile:
    """Profile of the requests that were given up: all of them took exactly the time-out."""
    return Profile((*(1.0 if b >= timeout else 0.0 for b in layout.bounds), 1.0), timeout)


@lru_cache(maxsize=1024)
def calibrated(layout: Layout, p99: float) -> Profile:
    """Profile of the exponential law that `histogram_quantile(0.99, ...)` reads as `p99` seconds through
    `layout`."""
    low, high = 1e-7, 1e5
    for _ in range(200):
        middle = math.sqrt(low * high)
        if read_quantile(layout, _shares(layout, Exponential(middle)), 0.99) < p99:
            low = middle
        else:
            high = middle
    return Profile(_shares(layout, Exponential(high)), high)


def _shares(layout: Layout, law: Law) -> tuple[float, ...]:
    return (*(law.cdf(b) for b in layout.bounds), 1.0)


def read_quantile(layout: Layout, counts: Sequence[float], q: float) -> float:
    """What Prometheus' `histogram_quantile` answers, in seconds, for cumulative `counts`; NaN when nothing
    was counted."""
    total = counts[-1]
    if not total > 0:
        return math.nan
    rank = q * total
    at = next((i for i, count in enumerate(counts) if count >= rank), len(counts) - 1)
    if at == len(counts) - 1:
        return layout.bounds[-1]
    below, lower = (counts[at - 1], layout.bounds[at - 1]) if at else (0.0, 0.0)
    inside = counts[at] - below
    return lower + (layout.bounds[at] - lower) * ((rank - below) / inside if inside > 0 else 0.0)
