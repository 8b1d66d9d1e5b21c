"""Tells whether the counts of a release speak against it, short of a proof."""

from __future__ import annotations

from resilience_operator.decision.analysis import sequential
from resilience_operator.decision.analysis.increments import (
    allowed_share,
    baseline_counts,
    bound_of,
    counts_before,
    guarded_conditions,
    tests_in,
)
from resilience_operator.decision.model.memory import ReleaseMemory
from resilience_operator.decision.model.policy import Condition, Policy
from resilience_operator.decision.model.score import Score

LIKELY = sequential.CHANCE
"""Evidence against the time before the release that makes a slower revision a suspect (1%)."""


def is_suspect(release: ReleaseMemory, policy: Policy) -> bool:
    """Return whether the revision fails a condition of a rule that guards releases, by its counts so far.

    It is then no baseline for the revision that replaces it, whether or not the proof was complete.
    """
    for condition in guarded_conditions(policy).values():
        live = release.live.scores if release.live is not None else {}
        for name in tests_in({*release.scores, *live}, condition):
            score = release.score(name)
            enough = score is not None and score.failing >= sequential.MIN_FAILING
            if score is not None and enough and _exceeds(condition, policy, release, name, score):
                return True
    return False


def _exceeds(condition: Condition, policy: Policy, release: ReleaseMemory, key: str, score: Score) -> bool:
    new = score.new_side
    if condition.worse_by is None:
        return new.failures > allowed_share(condition, policy.signals[condition.signal]) * new.requests
    counts = baseline_counts(score, counts_before(release, condition, key, bound_of(key)))
    found = sequential.log_evidence_before(
        new.requests, new.failures, counts.samples, counts.events, sequential.dispersion(score), score.effect
    )
    return found >= LIKELY
