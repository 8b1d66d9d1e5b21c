"""The dispersion within slots: how many failures come together, whatever the failure rate does over time.

An overload or another incident that both sides share changes the failure rate from slot to slot. Compared with the rate
over all slots, that looks like bursts. Within one slot the rate is the same for all pods of a side, so the differences
among these pods show bursts alone. A side with one pod shows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

from resilience_operator.decision.model.score import Cell, WithinCounts

ENOUGH = 10.0
"""Degrees of freedom from which the dispersion is known."""

MIN_FAILURES = 2.0
"""Failures of one side in a slot without which they show nothing about bursts."""

UPPER_Z = 2.326
"""z-score of the upper bound of the dispersion: 99%, one-sided. An estimate that is too low convicts the innocent."""


def with_slot(sums: tuple[float, ...], cells: Sequence[Cell]) -> tuple[float, ...]:
    """Return the sums (`WithinCounts`) with one more slot."""
    residual, variance, squares = sums if len(sums) == len(WithinCounts._fields) else WithinCounts()
    for new in (True, False):
        side = [cell for cell in cells if cell.new is new]
        failures = sum([cell.failures for cell in side])
        requests = sum([cell.requests for cell in side])
        if len(side) < 2 or failures < MIN_FAILURES or failures >= requests:
            continue
        rate = failures / requests
        share = 1.0 - sum([cell.requests * cell.requests for cell in side]) / (requests * requests)
        expected = failures * (1.0 - rate) * share
        residual += sum([(cell.failures - rate * cell.requests) ** 2 for cell in side])
        variance += expected
        squares += expected * expected / (len(side) - 1)
    return WithinCounts(residual, variance, squares)


def dispersion_within(sums: tuple[float, ...]) -> float:
    """Return how many failures come together, at least 1; infinite if too few slots show it.

    The degrees of freedom are those of a sum of variances, so that one large slot is not enough (F. E. Satterthwaite,
    Biometrics Bulletin 2(6), 1946). The bound of the distribution is that of E. B. Wilson and M. M. Hilferty (1931).
    """
    if len(sums) != len(WithinCounts._fields) or min(sums) <= 0.0:
        return inf
    residual, variance, squares = sums
    freedom = variance * variance / squares
    if freedom < ENOUGH:
        return inf
    unit = 2.0 / (9.0 * freedom)
    return max(1.0, residual / variance / (1.0 - unit - UPPER_Z * sqrt(unit)) ** 3)
