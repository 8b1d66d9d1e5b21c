"""Results of one policy's signals, as observations or as plain numbers.

Plain numbers are the common case: one revision with traffic and finite values. Building an observation for each would
be most of the cost of an evaluation in the steady state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf, isfinite
from typing import Any

from resilience_operator.api.quantities import format_duration
from resilience_operator.api.signals import shared_window
from resilience_operator.decision.fast_path_bounds import ScalarSample
from resilience_operator.decision.model.observation import Observation
from resilience_operator.signals import reasons
from resilience_operator.signals.presets import aggregate
from resilience_operator.signals.presets.models import Quantile, Quotient, Ratio
from resilience_operator.signals.query.extract import CLUSTERS, MIXED, Key
from resilience_operator.signals.query.planner import (
    COUNTERS,
    PROBE,
    Plan,
    QueryGroup,
    ScalarReader,
    internal_error,
    joined_parts,
)

_EMPTY: Mapping[Any, Any] = {}


class SignalResults:
    """Results of one policy, once the groups of its plans are answered. now: seconds since the epoch."""

    __slots__ = ("_now", "_observations", "_plans")

    def __init__(self, plans: Sequence[Plan | Observation], now: float) -> None:
        self._plans, self._now = plans, now
        self._observations: list[Observation] | None = None

    def observations(self) -> list[Observation]:
        """One observation per request, in order. Computed once. A fault affects only its own signal."""
        if self._observations is None:
            self._observations = [_observe(plan, self._now) for plan in self._plans]
        return self._observations

    def scalars(self) -> dict[str, ScalarSample] | None:
        """Signal → number, if `observations` would contain measured values only; None otherwise."""
        found: dict[str, ScalarSample] = {}
        for plan in self._plans:
            if isinstance(plan, Observation):
                return None
            target, group = plan
            if len(target.parts) != 1:
                return None
            try:
                if (read := group.scalar) is None:
                    read = group.scalar = _scalar_reader(group)
                number = read(target.parts[0][0])
            except Exception:  # `observations` reports it for that signal alone
                return None
            if number is None:
                return None
            found[target.request.signal.name] = number
        return found


def _scalar_reader(group: QueryGroup) -> ScalarReader:
    """The function that reads the number of one revision from the answers of a group.

    It returns what `aggregate` would, if nothing is missing, empty or not finite; None otherwise. What is the same for
    all revisions is computed here, once for each answer.
    """
    make = _READERS.get(type(group.preset))
    if make is None or group.fault is not None:
        return _unknown
    read, mixed = make(group, group.preset), group.answers.get(MIXED)
    return (lambda key: None if key in mixed else read(key)) if mixed else read


def _unknown(key: Key) -> ScalarSample | None:
    return None


def _quotient_reader(group: QueryGroup, preset: Quotient) -> ScalarReader:
    at, numerator, denominator = group.at, group.answers["numerator"], group.answers["denominator"]
    probe, counted = group.answers.get(PROBE) or _EMPTY, preset.counted
    young = counted and any(name.startswith(aggregate.YOUNG) for _, name in numerator)

    def read(key: Key) -> ScalarSample | None:
        upper, lower = numerator.get(key), denominator.get(key)
        if upper is None or not lower:
            return None
        if key in probe and aggregate.uncovered_usage(probe[key]) > upper:
            return None
        if young and (key[0], aggregate.YOUNG + key[1]) in numerator:
            return None
        value = upper / lower
        return _scalar((at, value, lower if counted else None)) if isfinite(value) else None

    return read


def _ratio_reader(group: QueryGroup, preset: Ratio) -> ScalarReader:
    at, events, totals, probe = group.at, group.answers["events"], group.answers["samples"], group.answers.get(PROBE)
    unreadable = probe or _EMPTY

    def read(key: Key) -> ScalarSample | None:
        samples = totals.get(key)
        if samples is None or not 0 < samples < inf or key in unreadable:
            return None
        value = min(events.get(key, 0.0), samples) / samples
        return _scalar((at, value, samples)) if isfinite(value) else None

    return read


def _quantile_reader(group: QueryGroup, preset: Quantile) -> ScalarReader:
    at, values, totals, scale = group.at, group.answers["value"], group.answers["samples"], preset.scale

    def read(key: Key) -> ScalarSample | None:
        samples, found = totals.get(key), values.get(key)
        if samples is None or found is None or not 0 < samples < inf:
            return None
        value = found * scale
        return _scalar((at, value, samples)) if isfinite(value) else None

    return read


_READERS: Mapping[type, Callable[[QueryGroup, Any], ScalarReader]] = {
    Quotient: _quotient_reader,
    Ratio: _ratio_reader,
    Quantile: _quantile_reader,
}

_scalar: Callable[[tuple[float, float, float | None]], ScalarSample] = partial(tuple.__new__, ScalarSample)
"""Builds a ScalarSample from its fields, without a Python-level call for each of tens of thousands."""


def _observe(plan: Plan | Observation, now: float) -> Observation:
    """The observation of one target."""
    if isinstance(plan, Observation):
        return plan
    target, group = plan
    if group.fault is not None:
        return target.unknown(now, *group.fault)
    try:
        if names := aggregate.several_clusters(
            target, group.answers.get(CLUSTERS, _EMPTY), group.answers.get(MIXED, _EMPTY)
        ):
            return target.unknown(
                now,
                reasons.SEVERAL_CLUSTERS,
                f"the series of {target} come from clusters {', '.join(sorted(names))}: an administrator must set "
                "matchers, such as {cluster: NAME}, on the metric source",
            )
        found = _with_increments(_aggregate(target, group), target, group)
        if group.window > shared_window(target.request.signal.window_seconds):
            window = format_duration(group.window)
            note = f"measured over {window}, four times the interval at which it is scraped"
            found = found._replace(note=note, window=group.window)
        return found._replace(note=group.note) if group.note else found
    except Exception as error:
        return internal_error(str(target), now, error)


def _with_increments(found: Observation, target: aggregate.SeriesKeys, group: QueryGroup) -> Observation:
    """The observation with the increments of the pods' counters, if they were queried and answered."""
    if group.tracker is None or not any(part.startswith(COUNTERS) for part in group.answers):
        return found
    scale = group.preset.scale if isinstance(group.preset, Quantile) else 1.0
    return group.tracker.advance(found, target, joined_parts(group.answers, COUNTERS), group.at, scale)


def _aggregate(target: aggregate.SeriesKeys, group: QueryGroup) -> Observation:
    at, answers = group.at, group.answers
    match group.preset:
        case Ratio() as preset:
            return aggregate.ratio(
                target, at, answers["events"], answers["samples"], answers.get(PROBE, _EMPTY), preset.status_labels
            )
        case Quotient() as preset:
            return aggregate.quotient(
                target, at, preset, answers["numerator"], answers["denominator"], answers.get(PROBE, _EMPTY)
            )
        case Quantile() as preset:
            buckets = joined_parts(answers, "buckets/")
            return aggregate.quantiles(target, at, preset, answers["value"], answers["samples"], buckets)
        case None:
            return aggregate.custom(target, at, answers["value"], answers.get("samples"))
