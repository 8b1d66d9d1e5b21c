"""Random counts, and a probability distribution of latencies."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from itertools import pairwise
from math import erf, exp, inf, log, sqrt
from random import Random

_LARGE = 30.0
"""From this mean on, a count is drawn from the normal distribution."""

SIGMA = 0.6
"""Spread of latencies: the standard deviation of their logarithm. The 99th percentile is four times the median."""
_Z99 = 2.3263478740408408
"""The 99th percentile of the standard normal distribution."""


def poisson(rng: Random, mean: float) -> int:
    """A Poisson-distributed count (Knuth's method)."""
    if mean > _LARGE:
        return max(0, round(rng.gauss(mean, sqrt(mean))))
    limit, count, product = exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count


def binomial(rng: Random, count: int, share: float) -> int:
    """How many of `count` happen, if each does with probability `share`."""
    if share <= 0 or count <= 0:
        return 0
    if share >= 1:
        return count
    if share > 0.5:
        return count - binomial(rng, count, 1 - share)
    mean = count * share
    if mean > _LARGE:
        return min(count, max(0, round(rng.gauss(mean, sqrt(mean * (1 - share))))))
    # Skips from one success to the next: their distances are geometrically distributed (L. Devroye, 1986, X.4).
    scale = log(1 - share)
    found, position = 0, 0
    while True:
        position += int(log(1.0 - rng.random()) / scale) + 1
        if position > count:
            return found
        found += 1


@lru_cache(maxsize=4096)
def bucket_shares(p99: float, bounds: tuple[float, ...]) -> tuple[float, ...]:
    """The share of requests up to each bound, for a log-normal latency with this 99th percentile."""
    median = log(max(p99, 1e-9)) - _Z99 * SIGMA
    return tuple(
        1.0 if bound == inf else 0.5 * (1 + erf((log(bound) - median) / (SIGMA * sqrt(2)))) for bound in bounds
    )


def mixed(shares: tuple[float, ...], others: tuple[float, ...], share: float) -> tuple[float, ...]:
    """The shares of a mixture: `share` of the requests belong to `others`."""
    return tuple((1 - share) * a + share * b for a, b in zip(shares, others, strict=True))


def add_to_buckets(rng: Random, buckets: list[int], count: int, shares: tuple[float, ...]) -> None:
    """Add the latencies of `count` requests to cumulative buckets."""
    if count <= 0:
        return
    if count <= 24:
        size = len(shares)
        for _ in range(count):
            for number in range(min(bisect_right(shares, rng.random()), size - 1), size):
                buckets[number] += 1
        return
    # From the top down, because the cumulative counts below follow from the one above.
    left, above = count, 1.0
    for number in reversed(range(len(shares))):
        share = shares[number]
        if number < len(shares) - 1:
            left = binomial(rng, left, min(1.0, share / above)) if above > 0 else 0
            above = share
        buckets[number] += left


def increasing(bounds: tuple[float, ...]) -> bool:
    """Whether bounds are positive and ascending."""
    return all(b > 0 for b in bounds) and all(a < b for a, b in pairwise(bounds))
