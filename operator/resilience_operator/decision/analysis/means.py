"""A sequential test of values without failures: is the CPU per request of the new revision higher by more than a ratio?

The logarithm of the value over disjoint look-back windows is taken as normal, with the same unknown variance on both
sides. The likelihood ratio of a standardized difference against none depends on the t statistic alone, whatever mean
and variance are. So it is a martingale without a difference, and a mixture over several differences exceeds 1/a with
probability a at most, at any time (Lai, "On confidence sequences", Annals of Statistics 4(2), 1976; Wang and Ramdas,
"Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance", 2024).

All numbers are natural logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, isfinite, log, sqrt

from resilience_operator.decision.analysis.increments import counts_before, is_latency, test_key
from resilience_operator.decision.analysis.warm_up import LONGEST
from resilience_operator.decision.model.memory import ReleaseMemory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Signal
from resilience_operator.decision.model.score import MeanScore, MeanSide

DIFFERENCES = (3.0, 8.0, 20.0)
"""Standardized differences of the mixture, each with the same weight."""

EXACT = 1e-6
"""Standard deviation below which windows count as equal, so that rounding proves nothing."""

_STEPS = 96
_REACH = 9.0


def is_mean(condition: Condition, signal: Signal, observation: Observation) -> bool:
    """Return whether a condition compares a value that has requests, but no failures."""
    part = observation.measured
    return (
        condition.worse_by is not None
        and not is_latency(signal)
        and part is not None
        and part.events is None
        and part.samples is not None
    )


def with_window(
    before: MeanScore, signal: Signal, at: float, new: Measured | None, others: Sequence[Measured], warm_from: float
) -> MeanScore:
    """Return the score with the window that ended `at`, if one is complete.

    others: of the revisions beside the new one that may be compared with. warm_from: since when all new pods are warm.
    """
    since = max(warm_from, warm_from if before.since is None else before.since)
    if since > at + signal.window + LONGEST:
        since = at  # the clock was set back
    if at - since < signal.window:
        return before._replace(since=since)
    added = _add(before.new, [new] if new is not None else [], signal)
    return MeanScore(at, added, _add(before.old, others, signal))


def _add(side: MeanSide, parts: Sequence[Measured], signal: Signal) -> MeanSide:
    known = [p for p in parts if isfinite(p.value) and p.value > 0 and p.samples is not None]
    requests = sum(p.samples or 0.0 for p in known)
    if not requests or not requests >= signal.required_samples:
        return side
    return side.plus(log(sum(p.value * (p.samples or 0.0) for p in known) / requests))


def sides_of(found: MeanScore, release: ReleaseMemory, condition: Condition) -> tuple[MeanSide, MeanSide]:
    """Return the windows of the new revision, and those of the old state with the one before the release."""
    before, old = counts_before(release, condition, test_key(condition), None), found.old
    if before is not None and before.samples > 0 and before.events > 0:
        old = old.plus(log(before.events / before.samples))
    return found.new, old


def log_evidence(new: MeanSide, old: MeanSide, by: float) -> float:
    """Return the logarithm of the evidence that the new side is higher by more than `by`."""
    if not new.windows or not old.windows:
        return 0.0
    free = new.windows + old.windows - 2
    difference = new.total / new.windows - old.total / old.windows - log(1.0 + by)
    spread = sum(max(0.0, side.squares - side.total * side.total / side.windows) for side in (new, old))
    spread = max(spread, free * EXACT * EXACT)
    scale = sqrt(new.windows * old.windows / (new.windows + old.windows))
    standardized = difference * scale
    cosine = standardized / sqrt(standardized * standardized + spread) if standardized or spread else 0.0
    base = _log_integral(free, 0.0)
    terms = [
        _log_integral(free, scale * size * cosine) - base - (scale * size) ** 2 / 2.0 - log(len(DIFFERENCES))
        for size in DIFFERENCES
    ]
    top = max(terms)
    return top + log(sum(exp(term - top) for term in terms))


def _log_integral(power: float, tilt: float) -> float:
    """Return the logarithm of the integral of y^power exp(-y²/2 + tilt y) over y > 0, by Simpson's rule at its mode."""
    mode = (tilt + sqrt(tilt * tilt + 4.0 * power)) / 2.0 if power else max(tilt, 0.0)
    low, high = max(mode - _REACH, 1e-9), mode + _REACH

    def height(y: float) -> float:
        return power * log(y) - y * y / 2.0 + tilt * y

    peak, step = height(max(mode, low)), (high - low) / _STEPS
    weights = (1.0 if i in (0, _STEPS) else 4.0 if i % 2 else 2.0 for i in range(_STEPS + 1))
    return peak + log(sum(w * exp(height(low + i * step) - peak) for i, w in enumerate(weights)) * step / 3.0)
