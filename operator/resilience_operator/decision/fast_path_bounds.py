"""The range of each signal in which no condition is crossed: comparing numbers replaces judging them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from resilience_operator.decision.analysis.verdicts import MAX_UNKNOWN_INTERVALS
from resilience_operator.decision.model.policy import Condition, Policy, Signal

_MOST = sys.float_info.max


class ScalarSample(NamedTuple):
    """A measurement of a signal without further detail. The fields are those of `Observation`."""

    at: float
    value: float
    samples: float | None


class Bounds(NamedTuple):
    """The bounds of one signal: no condition is crossed from `low` to `high`. max_age: seconds."""

    signal: str
    low: float
    high: float
    min_samples: float
    max_age: float


def bounds_of(policy: Policy) -> tuple[Bounds, ...] | None:
    """Return the bounds of each signal; None if a signal is not metered, or its value depends on the number of pods.

    Equal bounds are the same object.
    """
    if not all(signal.metered and not signal.total for signal in policy.signals.values()):
        return None
    conditions = tuple(condition for rule in policy.rules for condition in rule.conditions)
    patience = MAX_UNKNOWN_INTERVALS * policy.interval
    return _bounds(conditions, tuple(policy.signals.items()), patience, _ahead_limits(policy))


AHEAD = 0.5
"""Share of its threshold below which the load of a rule that scales ahead is not followed. It would have to double
within the start-up time of a pod before the forecast were late."""


def _ahead_limits(policy: Policy) -> tuple[tuple[str, float], ...]:
    return tuple((c.signal, AHEAD * c.threshold) for r in policy.rules if r.follows_load for c in r.conditions)


def within(limits: tuple[Bounds, ...], numbers: Mapping[str, ScalarSample], now: float) -> bool:
    """Return whether every number is within bounds, recent and has enough samples. NaN is never within bounds."""
    for name, low, high, least, oldest in limits:
        found = numbers.get(name)
        if found is None:
            return False
        at, value, samples = found
        if not (low <= value <= high and now - at <= oldest and (samples is None or samples >= least)):
            return False
    return True


@lru_cache(maxsize=1024)
def _bounds(
    conditions: tuple[Condition, ...],
    signals: tuple[tuple[str, Signal], ...],
    patience: float,
    ahead: tuple[tuple[str, float], ...],
) -> tuple[Bounds, ...]:
    found = []
    for name, signal in signals:
        low, high = -_MOST, min([limit for signal_name, limit in ahead if signal_name == name], default=_MOST)
        for condition in conditions:
            if condition.signal == name and condition.above:
                high = min(high, condition.threshold)
            elif condition.signal == name:
                low = max(low, condition.threshold)
        found.append(Bounds(name, low, high, signal.required_samples, signal.max_age(patience)))
    return tuple(found)
