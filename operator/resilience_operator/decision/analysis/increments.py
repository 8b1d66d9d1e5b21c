"""Turns increments into counts: for each pod, how many requests there were and how many of them failed a condition."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from math import isfinite, isinf

from resilience_operator.decision.analysis import shares
from resilience_operator.decision.model.memory import ReleaseMemory, RequestCounts
from resilience_operator.decision.model.observation import Histogram, Increment, Measured, Observation
from resilience_operator.decision.model.policy import Condition, Policy, Signal
from resilience_operator.decision.model.score import Cell, Score
from resilience_operator.decision.model.target import TargetState

BOUND_TARGETS = (0.5, 0.2, 0.05, 0.01, 0.001)
"""Shares of slower requests at which latencies are compared with the baseline: the body and the tail."""

MOST_FAILING = 0.9
"""Maximum failure rate that a comparison expects of a worse revision."""


def with_revisions(observation: Observation, target: TargetState) -> Observation:
    """Return the observation with the revision of each increment, for pods whose names do not tell it.

    Those of StatefulSets and DaemonSets are told by the listed pods. Increments of a pod that is not listed are
    dropped, since its revision is unknown. If no pod is listed there are no increments, and the windows are judged.
    """
    if all(part.revision for part in observation.increments):
        return observation
    revisions = {pod.name: pod.revision for pod in target.pods or () if pod.revision}
    parts = [
        part if part.revision else part._replace(revision=revisions.get(part.pod, ""))
        for part in observation.increments
    ]
    known = tuple(part for part in parts if part.revision)
    return observation._replace(increments=known, since=observation.since if known else None)


def test_key(condition: Condition, bound: float | None = None) -> str:
    """Return the name of a condition's test: `error-rate>0.01`, or `latency-p99>baseline+0.2@0.25` for one bound."""
    key = f"{condition.signal}{condition.sign}"
    return key if bound is None else f"{key}@{bound:g}"


def tests_in(keys: Iterable[str], condition: Condition) -> list[str]:
    """Return the keys of a condition's tests: one for a ratio, one for each bound of a comparison of latencies."""
    name = test_key(condition)
    return [key for key in keys if key == name or key.startswith(f"{name}@")]


def bound_of(key: str) -> float | None:
    """Return the histogram bound in the key of a test. None if it has none, or if someone edited the status."""
    try:
        return float(key.rpartition("@")[2]) if "@" in key else None
    except ValueError:
        return None


def guarded_conditions(policy: Policy) -> dict[str, Condition]:
    """Return the conditions of the rules that guard releases, by their key, each once."""
    return {test_key(c): c for rule in policy.rules if rule.guards_release for c in rule.conditions}


def is_latency(signal: Signal) -> bool:
    """Return whether the signal is a quantile of latencies."""
    return signal.quantile is not None


def allowed_share(condition: Condition, signal: Signal) -> float:
    """Return the share of requests that may fail the condition: the threshold, or 1% for a P99."""
    if signal.quantile is not None:
        return 1.0 - signal.quantile
    return condition.threshold if condition.above else 1.0 - condition.threshold


def baseline_counts(score: Score, before: RequestCounts | None) -> RequestCounts:
    """Return all known requests of the old state: those beside the release and those before it."""
    old = score.old_side
    if before is None:
        return RequestCounts(old.requests, old.failures)
    return RequestCounts(old.requests + before.samples, old.failures + before.events)


def allowed_rate(condition: Condition, signal: Signal, score: Score, before: RequestCounts | None) -> float | None:
    """Return the failure rate that is no breach; None if there is no baseline to tell it from."""
    if condition.worse_by is None:
        return allowed_share(condition, signal)
    counts = baseline_counts(score, before)
    if counts.samples <= 0:
        return None
    return shares.with_odds(min(1.0, counts.events / counts.samples), score.effect)


def failing_bounds(condition: Condition, signal: Signal, histogram: Histogram | None) -> tuple[float | None, ...]:
    """Return the histogram bounds at which a condition is tested: (None,) for a ratio, empty if there is none."""
    if not is_latency(signal):
        return (None,)
    if histogram is None or not histogram.bounds:
        return ()
    if condition.worse_by is not None:
        return shares.informative_bounds(histogram, BOUND_TARGETS)
    if not condition.above:
        return ()
    upper = shares.around(histogram, condition.threshold)[1]
    return () if isinf(upper) else (upper,)


def count(condition: Condition, part: Increment | Measured, bound: float | None) -> RequestCounts | None:
    """Return the requests of an increment or of a window, and how many of them failed; None if they are unknown."""
    if bound is not None:
        histogram = part.histogram
        if histogram is None or bound not in histogram.bounds:
            return None
        requests, failures = shares.total(histogram), shares.over(histogram, bound)
    else:
        if part.samples is None or part.events is None:
            return None
        requests, failures = part.samples, part.events
        if not condition.above:
            failures = requests - failures
    if not (isfinite(requests) and isfinite(failures) and requests > 0):
        return None
    return RequestCounts(requests, min(max(failures, 0.0), requests))


def cells_of(
    increments: tuple[Increment, ...],
    condition: Condition,
    bound: float | None,
    revision: str | None,
    excluded: Container[str],
    warming: Container[str],
) -> Iterator[Cell]:
    """Yield the cells of one test. excluded: quarantined revisions. warming: pods in their warm-up."""
    for part in increments:
        new = part.revision == revision
        if not part.revision or part.pod in warming or (not new and part.revision in excluded):
            continue
        found = count(condition, part, bound)
        if found is not None:
            yield Cell(part.pod, new, found.samples, found.events)


def began_to_serve(target: TargetState, first_seen: Mapping[str, float]) -> dict[str, float]:
    """Return when each pod began to serve. One that is not listed counts from its first requests."""
    began = dict(first_seen)
    for pod in target.pods or ():
        at = pod.started_serving if pod.started_serving is not None else pod.ready_at
        began[pod.name] = pod.created if at is None else at
    return began


def warming_pods(
    increments: tuple[Increment, ...], since: float, began: Mapping[str, float], warm_up: float
) -> frozenset[str]:
    """Return the pods that began to serve less than `warm_up` seconds before `since`."""
    if warm_up <= 0:
        return frozenset()
    return frozenset(part.pod for part in increments if since - began.get(part.pod, since) < warm_up)


def merged_histogram(increments: tuple[Increment, ...], revision: str | None) -> Histogram | None:
    """Return the latencies of the revisions other than `revision`; of all if these have none."""
    found: Histogram | None = None
    for own in (False, True):
        for part in increments:
            if part.histogram is not None and (part.revision == revision) is own:
                found = part.histogram if found is None else shares.merged(found, part.histogram)
        if found is not None and shares.total(found) > 0:
            return found
    return found


def counts_before(release: ReleaseMemory, condition: Condition, key: str, bound: float | None) -> RequestCounts | None:
    """Return the counts of the whole target before the release, for one test."""
    found = release.baseline.get(key)
    if found is None and bound is None and (raw := release.baseline.get(condition.signal)) is not None:
        found = raw if condition.above else RequestCounts(raw.samples, max(0.0, raw.samples - raw.events))
    return found


def clean_rates(
    condition: Condition, signal: Signal, before: RequestCounts | None, score: Score
) -> tuple[float, float]:
    """Return the failure rates of a revision like its baseline, and of one that fails the condition."""
    counts = baseline_counts(score, before)
    rate = counts.events / counts.samples if counts.samples > 0 else 0.0
    if condition.worse_by is not None:
        rate = min(max(rate, 1.0 / max(counts.samples, 1000.0)), MOST_FAILING / 2)
        odds = max(score.effect, 1.0 + condition.worse_by)
        return rate, min(MOST_FAILING, shares.with_odds(rate, odds))
    bad = allowed_share(condition, signal)
    return min(max(rate, bad / 10.0), bad / 2.0), bad
