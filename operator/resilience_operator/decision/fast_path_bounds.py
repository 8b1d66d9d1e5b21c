"""Within which numbers every condition of a policy is within its bounds: a comparison in place of a judgement."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from resilience_operator.decision.analysis.verdicts import MAX_UNKNOWN_INTERVALS
from resilience_operator.decision.model.policy import Condition, Policy, Signal

_MOST = sys.float_info.max


class ScalarSample(NamedTuple):
    """What was measured of a signal, where there is nothing more to tell of it. Fields as those of `Observation`."""

    at: float
    value: float
    samples: float | None


class Bounds(NamedTuple):
    """One signal's. low, high: no condition is crossed from one up to the other. least: samples. oldest: seconds."""

    signal: str
    low: float
    high: float
    min_samples: float
    max_age: float


def bounds_of(policy: Policy) -> tuple[Bounds, ...] | None:
    """One of each signal; None where one does not come as a number. Equal ones are one object."""
    if not all(signal.metered for signal in policy.signals.values()):
        return None
    conditions = tuple(condition for rule in policy.rules for condition in rule.conditions)
    return _bounds(conditions, tuple(policy.signals.items()), MAX_UNKNOWN_INTERVALS * policy.interval)


def within(limits: tuple[Bounds, ...], numbers: Mapping[str, ScalarSample], now: float) -> bool:
    """Whether `judge_all` would find every condition within its bounds, and no observation too old. NaN never is."""
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
    conditions: tuple[Condition, ...], signals: tuple[tuple[str, Signal], ...], patience: float
) -> tuple[Bounds, ...]:
    found = []
    for name, signal in signals:
        low, high = -_MOST, _MOST
        for condition in conditions:
            if condition.signal == name and condition.above:
                high = min(high, condition.threshold)
            elif condition.signal == name:
                low = max(low, condition.threshold)
        found.append(Bounds(name, low, high, signal.required_samples, signal.max_age(patience)))
    return tuple(found)
