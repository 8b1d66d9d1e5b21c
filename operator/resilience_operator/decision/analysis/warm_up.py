"""The warm-up of new pods: how long their latency does not count, learned from the start-ups of the target itself.

While a release is analysed, the slow requests of its pods are counted by the age of the pod. At the end of a good bake,
the first ages with significantly more slow requests than the same pods have later are the warm-up.
"""

from __future__ import annotations

from collections.abc import Mapping

from resilience_operator.decision.analysis.increments import count
from resilience_operator.decision.analysis.sequential import log_evidence_before
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Condition, Release
from resilience_operator.decision.model.score import AgeCounts, LiveEvidence

DEFAULT = 30.0
"""Seconds, until something is learned."""

STEP = 10.0
"""Seconds of one age class, and the shortest warm-up that is learned."""

LONGEST = 300.0
"""Seconds. The longest warm-up that is learned. Older pods are warm."""

MIN_WARM = 1000.0
"""Requests of warm pods with which something is learned."""

MIN_COLD = 100.0
"""Requests of an age class that show whether it is slow."""

CERTAIN = 6.9
"""Evidence that an age class is slower than warm pods (1 in 1,000), as a logarithm."""

SLOWER = 1.25
"""Factor of slow requests from which an age class is warm-up. Of many requests, smaller ones are significant too."""


def effective(release: Release, learned: float | None) -> float:
    """Return the warm-up in seconds: of the policy, else as learned, else the default."""
    if release.warm_up is not None:
        return release.warm_up
    return DEFAULT if learned is None else min(max(learned, STEP), LONGEST)


def with_ages(
    before: Mapping[int, AgeCounts],
    observation: Observation,
    condition: Condition,
    bound: float,
    revision: str | None,
    began: Mapping[str, float],
) -> Mapping[int, AgeCounts]:
    """Return the counts by age class with the increments of an observation. began: when each pod began to serve."""
    found, since = dict(before), observation.since or observation.at
    for part in observation.increments:
        counts = count(condition, part, bound) if part.revision == revision else None
        if counts is None:
            continue
        age = min(max(0.0, since - began.get(part.pod, since)), LONGEST)
        requests, failures = found.get(int(age // STEP), AgeCounts(0.0, 0.0))
        found[int(age // STEP)] = AgeCounts(requests + counts.samples, failures + counts.events)
    return found


def learned(before: float | None, live: LiveEvidence | None) -> float | None:
    """Return the warm-up in seconds after a good release, or None if nothing is known.

    A longer warm-up counts at once, a shorter one by half.
    """
    tests = live.scores.values() if live is not None else ()
    found = [seconds for test in tests if (seconds := _shown(test.ages)) is not None]
    if not found:
        return before
    longest = max(found)
    return longest if before is None else max(longest, float(round((longest + before) / 2)))


def _shown(ages: Mapping[int, AgeCounts]) -> float | None:
    """Return the warm-up that one test shows; None if it has too few requests."""
    last = int(LONGEST // STEP)
    warm = ages.get(last)
    if warm is None or warm.requests < MIN_WARM:
        return None
    for index in range(last):
        cold = ages.get(index)
        if cold is None or cold.requests < MIN_COLD:
            return None
        if not _is_slower(cold, warm):
            return max(index, 1) * STEP
    return LONGEST


def _is_slower(cold: AgeCounts, warm: AgeCounts) -> bool:
    if cold.failures / cold.requests < SLOWER * max(warm.failures, 1.0) / warm.requests:
        return False
    return log_evidence_before(cold.requests, cold.failures, warm.requests, warm.failures, 1.0) >= CERTAIN
