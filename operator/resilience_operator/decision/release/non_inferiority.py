"""Non-inferiority: whether it is proven that a release is not worse than its baseline. It ends a bake early.

The odds ratio of failing is tested by a mixture sequential probability ratio test with a normal approximation (Johari,
Pekelis and Walsh, "Always Valid Inference", 2015), so that looking often does not make a proof more likely.
"""

from __future__ import annotations

from math import log, log1p, sqrt

from resilience_operator.decision.analysis.increments import (
    baseline_counts,
    bound_of,
    counts_before,
    guarded_conditions,
    tests_in,
)
from resilience_operator.decision.analysis.sequential import dispersion
from resilience_operator.decision.model.memory import ReleaseMemory
from resilience_operator.decision.model.policy import Condition, Policy
from resilience_operator.decision.model.score import Score

SCALE = 0.3
"""Standard deviation of the mixture, in units of the log odds ratio: differences of about a third are found soonest."""

LEAST_FAILURES = 10.0
"""Failures of each side below which the normal approximation does not hold."""


def is_not_worse(release: ReleaseMemory, policy: Policy) -> bool:
    """Return whether no compared signal is worse than before by `untilProven`. False if a signal has no counts."""
    by = policy.release.until_proven
    if by is None:
        return False
    conditions = guarded_conditions(policy)
    return bool(conditions) and all(_is_proven(release, policy, c, by) for c in conditions.values())


def _is_proven(release: ReleaseMemory, policy: Policy, condition: Condition, by: float) -> bool:
    scores = _scores_of(release, condition)
    if not scores:
        return False
    return all(
        log_ratio_at_most(release, condition, key, score, policy.release.false_alarms) < log1p(by)
        for key, score in scores.items()
    )


def _scores_of(release: ReleaseMemory, condition: Condition) -> dict[str, Score]:
    live = release.live.scores if release.live is not None else {}
    found = {key: release.score(key) for key in tests_in({*release.scores, *live}, condition)}
    return {key: score for key, score in found.items() if score is not None}


def log_ratio_at_most(
    release: ReleaseMemory, condition: Condition, key: str, score: Score, false_alarms: float
) -> float:
    """Return the upper bound of the log odds ratio of failing; infinite without enough counts."""
    new = score.new_side
    counts = baseline_counts(score, counts_before(release, condition, key, bound_of(key)))
    if new.requests <= 0 or counts.samples <= 0 or min(new.failures, counts.events) < LEAST_FAILURES:
        return float("inf")
    served = max(new.requests - new.failures, 0.5), max(counts.samples - counts.events, 0.5)
    estimate = log(new.failures / served[0]) - log(counts.events / served[1]) - log(score.effect)
    variance = dispersion(score) * (1 / new.failures + 1 / counts.events + 1 / served[0] + 1 / served[1])
    spread = variance * (variance + SCALE**2) / SCALE**2
    return estimate + sqrt(spread * (log((variance + SCALE**2) / variance) + 2 * log(1 / false_alarms)))
