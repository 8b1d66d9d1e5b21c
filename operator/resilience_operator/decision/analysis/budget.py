"""Divides the budget of false alarms of a comparison of latencies among the bounds at which it is tested."""

from __future__ import annotations

from collections.abc import Collection
from math import log
from statistics import NormalDist

from resilience_operator.decision.analysis.increments import bound_of, counts_before
from resilience_operator.decision.model.memory import ReleaseMemory, RequestCounts
from resilience_operator.decision.model.policy import Condition

EQUAL_PART = 0.5
"""Part of the budget that all bounds share equally. Few, far slower requests show in the tail only."""


def limit_at(limit: float, release: ReleaseMemory, condition: Condition, key: str, keys: Collection[str]) -> float:
    """Return the score that convicts in the test `key`. limit: of a test with an equal share of the budget.

    keys: the tests of the condition. Those at bounds that show more of a slower release get more of the budget. That
    follows from the counts before the release, so that it does not depend on the release itself.
    """
    if len(keys) < 2:
        return limit
    found = {name: counts_before(release, condition, name, bound_of(name)) for name in keys}
    known = {name: _information(counts) for name, counts in found.items() if counts is not None and counts.samples > 0}
    if len(known) < len(keys) or key not in known:
        return limit
    share = EQUAL_PART / len(keys) + (1.0 - EQUAL_PART) * known[key] / sum(known.values())
    return limit - log(share * len(keys))


def _information(counts: RequestCounts) -> float:
    """Return the information of one request on a shift of all latencies, if only that it exceeded a bound is known.

    That is the Fisher information of a normal variable in two classes, in units of that of the variable itself.
    """
    rate = min(max(counts.events, 0.5), max(counts.samples - 0.5, 0.5)) / max(counts.samples, 1.0)
    normal = NormalDist()
    density = normal.pdf(normal.inv_cdf(rate))
    return density * density / (rate * (1.0 - rate))
