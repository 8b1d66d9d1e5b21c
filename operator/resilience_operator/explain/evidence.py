"""Explains the sequential tests of a release: each score against its limit, and what drives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp
from typing import Any

from resilience_operator.api.quantities import format_duration, format_value
from resilience_operator.decision.analysis import sequential
from resilience_operator.decision.analysis.budget import limit_at
from resilience_operator.decision.analysis.increments import bound_of, is_latency, tests_in
from resilience_operator.decision.analysis.proof import MAY_BE_ONE_BURST, describe_sides, format_score
from resilience_operator.decision.model.policy import Condition, Rule
from resilience_operator.decision.model.score import Score
from resilience_operator.explain.context import ExplainContext

MAX_SCORE = 1e6
"""The largest score shown: any that is larger is certain too."""


@dataclass(frozen=True, slots=True)
class TestEvidence:
    """One sequential test, as last stored. score, limit: natural logarithms.

    bound: of the histogram, in seconds, for a latency that is compared with the baseline. more: about how many more
    requests of the new revision a verdict needs at this rate, or None if that cannot be told.
    """

    condition: Condition
    latency: bool
    counts: Score
    score: float
    limit: float
    bound: float | None
    more: float | None


def release_evidence(rule: Rule, facts: ExplainContext) -> Iterator[TestEvidence]:
    """Yield the tests of a rule that guards releases, while a release is analysed."""
    release = facts.release
    if release is None or not facts.watched or not rule.guards_release:
        return
    equal = sequential.limit(facts.policy.release.false_alarms, len(release.scores))
    for condition in rule.conditions:
        latency = is_latency(facts.policy.signals[condition.signal])
        names = tests_in(release.scores, condition)
        for name in sorted(names):
            score = release.scores[name]
            limit = limit_at(equal, release, condition, name, names)
            yield TestEvidence(
                condition,
                latency,
                score,
                sequential.log_evidence(score),
                limit,
                bound_of(name),
                sequential.more_requests(score, limit),
            )


def describe_evidence(found: TestEvidence, facts: ExplainContext) -> str:
    """Describe one test as a sentence."""
    over = f" over {format_value(found.bound, 'seconds')}" if found.bound is not None else ""
    what = f"slow{over}" if found.latency else "bad"
    sides = describe_sides(found.counts, what)
    parts = [
        f"{found.condition.signal} on the release: {sides}",
        f"score {format_score(found.score)} of {format_score(found.limit)}",
    ]
    if found.counts.pod:
        parts.append(f"most of them on pod {found.counts.pod}")
    if sequential.convicts(found.counts, found.limit):
        parts.append("proven")
    elif found.score >= found.limit:
        parts.append(MAY_BE_ONE_BURST)
    elif found.more is not None:
        parts.append(f"a verdict needs about {found.more:.2g} more requests of the new revision at this rate")
    elif found.counts.new_side.requests > 0:
        parts.append("nothing shows that the new revision is worse")
    at = min(found.counts.at, facts.now)
    return f"{'; '.join(parts)} (counted until {format_duration(max(0, round(facts.now - at)))} ago)"


def evidence_document(found: TestEvidence) -> dict[str, Any]:
    """Return one test as JSON."""
    new, old = found.counts.new_side, found.counts.old_side
    return {
        "signal": found.condition.signal,
        "score": _shown(found.score),
        "limit": _shown(found.limit),
        "new": {"requests": new.requests, "failures": new.failures},
        "old": {"requests": old.requests, "failures": old.failures},
        "overSeconds": found.bound,
        "pod": found.counts.pod or None,
        "moreRequests": None if found.more is None else round(found.more),
    }


def _shown(logarithm: float) -> float:
    return min(MAX_SCORE, float(f"{exp(min(max(logarithm, 0.0), 20.0)):.3g}"))
