"""What the answers tell of one policy's signals: as observations, or as bare numbers where nothing else is to be told.

Nearly every evaluation finds one revision with traffic and finite numbers. To make an observation of each of them would
be most of the work of letting a policy pass that is as it was.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf, isfinite
from typing import Any

from resilience_operator.decision.fast_path_bounds import ScalarSample
from resilience_operator.decision.model.observation import Observation
from resilience_operator.signals.presets import aggregate as join
from resilience_operator.signals.presets.models import Quantile, Quotient, Ratio
from resilience_operator.signals.query.extract import Key
from resilience_operator.signals.query.planner import Plan, QueryGroup, internal_error


class SignalResults:
    """Of one policy, once the groups of its plans are answered. now: seconds since the epoch."""

    __slots__ = ("_now", "_observations", "_plans")

    def __init__(self, plans: Sequence[Plan | Observation], now: float) -> None:
        self._plans, self._now = plans, now
        self._observations: list[Observation] | None = None

    def observations(self) -> list[Observation]:
        """One for each request, in their order, made once. Whatever is wrong with one is that one's alone."""
        if self._observations is None:
            self._observations = [_observe(plan, self._now) for plan in self._plans]
        return self._observations

    def scalars(self) -> dict[str, ScalarSample] | None:
        """Signal → what `observations` would tell as measured; None where they would tell anything else."""
        found: dict[str, ScalarSample] = {}
        for plan in self._plans:
            if isinstance(plan, Observation):
                return None
            target, group = plan
            of = _SCALAR.get(type(group.preset))
            if of is None or group.fault is not None or len(target.parts) != 1:
                return None
            try:
                number = of(group, target.parts[0][0], group.preset)
            except Exception:  # `observations` tells it of that one alone
                return None
            if number is None:
                return None
            found[target.request.signal.name] = number
        return found


def _of_quotient(group: QueryGroup, key: Key, preset: Quotient) -> ScalarSample | None:
    upper, lower = group.answers["numerator"].get(key), group.answers["denominator"].get(key)
    if upper is None or not lower:
        return None
    value = upper / lower
    return _scalar((group.at, value, None)) if isfinite(value) else None


def _of_ratio(group: QueryGroup, key: Key, preset: Ratio) -> ScalarSample | None:
    samples = group.answers["samples"].get(key)
    if samples is None or not 0 < samples < inf:
        return None
    value = min(group.answers["events"].get(key, 0.0), samples) / samples
    return _scalar((group.at, value, samples)) if isfinite(value) else None


def _of_quantile(group: QueryGroup, key: Key, preset: Quantile) -> ScalarSample | None:
    samples, found = group.answers["samples"].get(key), group.answers["value"].get(key)
    if samples is None or found is None or not 0 < samples < inf:
        return None
    value = found * preset.scale
    return _scalar((group.at, value, samples)) if isfinite(value) else None


_SCALAR: Mapping[type, Callable[[QueryGroup, Key, Any], ScalarSample | None]] = {
    Quotient: _of_quotient,
    Ratio: _of_ratio,
    Quantile: _of_quantile,
}
"""The number of the only part there is: what `join` makes of it where nothing is missing, empty or not finite."""

_scalar: Callable[[tuple[float, float, float | None]], ScalarSample] = partial(tuple.__new__, ScalarSample)
"""A Number of its fields, without a call of Python's for each of tens of thousands."""


def _observe(plan: Plan | Observation, now: float) -> Observation:
    """Join the replies to one target."""
    if isinstance(plan, Observation):
        return plan
    target, group = plan
    if group.fault is not None:
        return target.unknown(now, *group.fault)
    try:
        return _joined(target, group)
    except Exception as error:
        return internal_error(str(target), now, error)


def _joined(target: join.SeriesKeys, group: QueryGroup) -> Observation:
    at, answers = group.at, group.answers
    match group.preset:
        case Ratio():
            return join.ratio(target, at, answers["events"], answers["samples"])
        case Quotient() as preset:
            return join.quotient(target, at, preset, answers["numerator"], answers["denominator"])
        case Quantile() as preset:
            buckets = ChainMap(*(found for part, found in answers.items() if part.startswith("buckets/")))
            return join.quantiles(target, at, preset, answers["value"], answers["samples"], buckets)
        case None:
            return join.custom(target, at, answers["value"], answers.get("samples"))
