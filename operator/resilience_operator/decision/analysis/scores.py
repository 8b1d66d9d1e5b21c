"""Keeps the scores of a release: adds increments to slots, and slots to the sequential tests."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from math import floor

from resilience_operator.decision.analysis import sequential, shares
from resilience_operator.decision.analysis.evidence import judge_part
from resilience_operator.decision.analysis.increments import (
    MOST_FAILING,
    allowed_rate,
    baseline_counts,
    began_to_serve,
    bound_of,
    cells_of,
    clean_rates,
    count,
    counts_before,
    failing_bounds,
    guarded_conditions,
    is_latency,
    merged_histogram,
    test_key,
    warming_pods,
    with_revisions,
)
from resilience_operator.decision.analysis.means import is_mean, with_window
from resilience_operator.decision.analysis.warm_up import DEFAULT, with_ages
from resilience_operator.decision.model.memory import ReleaseMemory, RequestCounts
from resilience_operator.decision.model.observation import Histogram, Observation, SignalView
from resilience_operator.decision.model.policy import Condition, Policy, Signal
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.score import Cell, LiveEvidence, LiveScore, MeanScore, Score, Slot
from resilience_operator.decision.model.target import TargetState

SLOT = 4.0
"""Minimum seconds of a slot, just below the shortest default interval."""

LONGEST_SLOT = 60.0
"""Seconds after which a slot ends even if one side had few requests."""

ENOUGH = 10.0
"""Requests of each side with which a slot ends."""

ENOUGH_FOR_BOUNDS = 100.0
"""Requests with which the bounds of a comparison of latencies are chosen."""

CHECKPOINT = 60.0
"""Seconds between two stored versions of the scores, unless the evidence changes a lot."""

LARGEST = 2.0**52
"""The largest stored number: JSON numbers are exact up to twice of it."""

KEPT = 600.0
"""Maximum seconds for which closed slots are kept in the process."""


def update_scores(
    release: ReleaseMemory,
    policy: Policy,
    views: Mapping[str, SignalView],
    target: TargetState,
    excluded: Container[str],
    now: float,
    *,
    warm_up: float = DEFAULT,
) -> ReleaseMemory:
    """Return the release with the increments of this evaluation counted; the same object if there are none.

    warm_up: seconds for which latencies of new pods do not count.
    """
    guarded = [c for rule in policy.rules if rule.guards_release for c in rule.conditions]
    if not any(_counts(c, *views[c.signal]) for c in guarded):
        return release
    conditions = guarded_conditions(policy)
    live = release.live or LiveEvidence({key: LiveScore(score) for key, score in release.scores.items()})
    scores, ends = dict(live.scores), dict(live.at)
    old_pods = any(r.replicas > 0 for r in target.revisions if r.name != release.revision)
    first_seen = _first_seen(live, views, conditions.values(), release.revision)
    began = began_to_serve(target, first_seen)
    means = _means(live, conditions, views, release, excluded, lambda: _newest(release, target, began) + warm_up)
    for condition in conditions.values():
        signal, observation = views[condition.signal]
        observation = with_revisions(observation, target)
        if observation.since is None:
            if condition.signal not in live.at and not observation.splittable:
                _add_window(scores, condition, signal, observation, release, now)
            continue
        # A time in the future counts as now: the clock was set back.
        if observation.since < min(live.at.get(condition.signal, 0.0), now) - 0.001:
            continue
        ends[condition.signal] = observation.at
        warming = warming_pods(observation.increments, observation.since, began, warm_up if is_latency(signal) else 0.0)
        for bound in _bounds(condition, signal, observation, release, scores):
            key = test_key(condition, bound if condition.worse_by is not None else None)
            found = scores.get(key)
            if found is None or found.windowed:
                found = LiveScore(release.scores.get(key, Score()) if found is None else Score())
            if bound is not None:
                found = replace(
                    found, ages=with_ages(found.ages, observation, condition, bound, release.revision, began)
                )
            cells = cells_of(observation.increments, condition, bound, release.revision, excluded, warming)
            found = _open(found, cells, observation.since)
            before = counts_before(release, condition, key, bound)
            if _complete(found, observation.at, old_pods=old_pods):
                effect = 1.0
                if condition.worse_by is not None:
                    effect = _effect(condition, observation, bound, release, found.score, before)
                found = _close(found, condition, signal, before, effect, observation.at)
            scores[key] = _crossing(found, condition, signal, observation, release, before=before, now=now)
    if scores == live.scores and ends == live.at and means == live.means:
        return release
    return _checkpoint(release, LiveEvidence(scores, ends, first_seen, live.checkpoint, means), now)


def _counts(condition: Condition, signal: Signal, observation: Observation) -> bool:
    """Return whether an observation has something to count: increments, a whole window, or a value without failures."""
    return observation.since is not None or not observation.splittable or is_mean(condition, signal, observation)


def _newest(release: ReleaseMemory, target: TargetState, began: Mapping[str, float]) -> float:
    """Return when the newest pod of the new revision began to serve; if no pod is listed, when it was released."""
    return max([began[p.name] for p in target.pods or () if p.revision == release.revision], default=release.since)


def _means(
    live: LiveEvidence,
    conditions: Mapping[str, Condition],
    views: Mapping[str, SignalView],
    release: ReleaseMemory,
    excluded: Container[str],
    warm_from: Callable[[], float],
) -> Mapping[str, MeanScore]:
    """Return the tests of values without failures. warm_from: returns since when all new pods are warm."""
    judged = {key: c for key, c in conditions.items() if is_mean(c, *views[c.signal])}
    if not judged:
        return live.means
    found, warm = dict(live.means), warm_from()
    for key, condition in judged.items():
        signal, observation = views[condition.signal]
        parts = observation.by_revision
        others = [p for name, p in parts.items() if name != release.revision and name not in excluded]
        new = parts.get(release.revision or "")
        found[key] = with_window(found.get(key, MeanScore()), signal, observation.at, new, others, warm)
    return found


def _add_window(
    scores: dict[str, LiveScore],
    condition: Condition,
    signal: Signal,
    observation: Observation,
    release: ReleaseMemory,
    now: float,
) -> None:
    """Add the counts of a whole look-back window, once per window: there are no increments to add."""
    part = observation.measured
    if condition.worse_by is not None or part is None:
        return
    bounds = failing_bounds(condition, signal, part.histogram)
    counts = count(condition, part, bounds[0]) if bounds else None
    if counts is None:
        return
    key = test_key(condition)
    found = scores.get(key) or LiveScore(release.scores.get(key, Score()), windowed=True)
    if not found.windowed:
        return
    if found.since is None:
        found = replace(found, since=now)
    before = counts_before(release, condition, key, bounds[0])
    found = _crossing(found, condition, signal, observation, release, before=before, now=now)
    if now - (found.since or now) >= signal.window:
        cell = Cell("", True, counts.samples, counts.events)
        found = _close(replace(found, cells=(cell,)), condition, signal, before, 1.0, now)
        found = replace(found, since=now)
    scores[key] = found


def _first_seen(
    live: LiveEvidence, views: Mapping[str, SignalView], conditions: Iterable[Condition], revision: str | None
) -> Mapping[str, float]:
    """Return when each pod was first seen. Old pods in the first increments were there before: their time is 0."""
    found = dict(live.first_seen)
    begun = not live.at
    for condition in conditions:
        observation = views[condition.signal].observation
        for part in observation.increments:
            if part.pod not in found:
                there = begun and part.revision != revision
                found[part.pod] = 0.0 if there else (observation.since or observation.at)
    return live.first_seen if len(found) == len(live.first_seen) else found


def _bounds(
    condition: Condition,
    signal: Signal,
    observation: Observation,
    release: ReleaseMemory,
    scores: Mapping[str, LiveScore],
) -> tuple[float | None, ...]:
    """Return the bounds of a condition's tests. Those of a comparison with the baseline are chosen once."""
    if not is_latency(signal):
        return (None,)
    histogram = merged_histogram(observation.increments, release.revision)
    if condition.worse_by is None:
        return failing_bounds(condition, signal, histogram)
    prefix = f"{test_key(condition)}@"
    chosen = sorted(_bounds_in(key for key in (*scores, *release.baseline) if key.startswith(prefix)))
    if chosen:
        return tuple(chosen)
    if histogram is None or shares.total(histogram) < ENOUGH_FOR_BOUNDS:
        return ()
    return failing_bounds(condition, signal, histogram)


def _bounds_in(keys: Iterable[str]) -> set[float]:
    return {bound for key in keys if (bound := bound_of(key)) is not None}


def _effect(
    condition: Condition,
    observation: Observation,
    bound: float | None,
    release: ReleaseMemory,
    score: Score,
    before: RequestCounts | None,
) -> float:
    """Return the odds ratio of failing for a revision that is worse by exactly `by`."""
    by = condition.worse_by or 0.0
    if bound is None:
        counts = baseline_counts(score, before)
        rate = counts.events / counts.samples if counts.samples > 0 else 0.0
        worse = min(rate * (1.0 + by), MOST_FAILING)
        return max(1.0, shares.odds_ratio(worse, rate)) if rate > 0 else 1.0 + by
    histogram: Histogram | None = None
    for revision, measured in observation.by_revision.items():
        if revision != release.revision and measured.histogram is not None:
            histogram = measured.histogram if histogram is None else shares.merged(histogram, measured.histogram)
    histogram = histogram or merged_histogram(observation.increments, release.revision)
    if histogram is None or bound not in histogram.bounds:
        return score.effect if score.at else 1.0 + by
    return shares.slower_odds(histogram, bound, by)


def _crossing(
    found: LiveScore,
    condition: Condition,
    signal: Signal,
    observation: Observation,
    release: ReleaseMemory,
    *,
    before: RequestCounts | None,
    now: float,
) -> LiveScore:
    """Return the score with the time since when the new revision crosses the condition.

    A comparison is made in slots, so it is crossed since the start of the first slot that shows it.
    """
    if condition.worse_by is None:
        new = observation.by_revision.get(release.revision or "") if observation.splittable else observation.measured
        found_crossed = judge_part(condition, signal, new).crossed if new is not None else False
        if found_crossed is None:
            return found  # a window with few requests is neither in breach nor recovered
        crossed, began = found_crossed, now
    else:
        recent = [s for s in found.slots if s.end > now - signal.window]
        requests, failures = sum(s.new_requests for s in recent), sum(s.new_failures for s in recent)
        allowed = allowed_rate(condition, signal, found.score, before)
        crossed = allowed is not None and failures > allowed * requests
        began = recent[-1].start if recent else now
    since = (found.crossed_since if found.crossed_since is not None else began) if crossed else None
    return found if since == found.crossed_since else replace(found, crossed_since=since)


def _open(found: LiveScore, cells: Iterable[Cell], since: float) -> LiveScore:
    """Return the score with more requests in its open slot."""
    held = {(c.pod, c.new): c for c in found.cells}
    for cell in cells:
        before = held.get((cell.pod, cell.new))
        if before is not None:
            cell = Cell(cell.pod, cell.new, before.requests + cell.requests, before.failures + cell.failures)
        held[cell.pod, cell.new] = cell
    return replace(found, since=since if found.since is None else found.since, cells=tuple(held.values()))


def _complete(found: LiveScore, end: float, *, old_pods: bool) -> bool:
    """Return whether the open slot can be closed. That must not depend on failures."""
    if found.since is None or not found.cells:
        return False
    lasted = end - found.since
    new = sum(c.requests for c in found.cells if c.new)
    old = sum(c.requests for c in found.cells if not c.new)
    return lasted >= LONGEST_SLOT or (lasted >= SLOT and new >= ENOUGH and (old >= ENOUGH or not old_pods))


def _close(
    found: LiveScore, condition: Condition, signal: Signal, before: RequestCounts | None, effect: float, end: float
) -> LiveScore:
    """Return the score with its open slot counted."""
    cells = found.cells
    score = sequential.add_slot(found.score, cells, end, effect)
    pods = dict(found.pods)
    for cell in cells:
        if cell.new:
            pods[cell.pod] = pods.get(cell.pod, 0.0) + cell.failures
    new = [c for c in cells if c.new]
    slot = Slot(
        found.since or end,
        end,
        sum(c.requests for c in new),
        sum(c.failures for c in new),
        sum(c.requests for c in cells if not c.new),
        sum(c.failures for c in cells if not c.new),
    )
    good, bad = clean_rates(condition, signal, before, score)
    score = sequential.add_clean(score, slot.new_requests, slot.new_failures, good, bad, end)
    driver = max(pods, key=lambda pod: pods[pod], default="")
    score = replace(score, pod=driver if pods.get(driver, 0.0) > 0 else "")
    slots = (*(s for s in found.slots if s.end > end - KEPT), slot)
    return replace(found, score=score, since=None, cells=(), slots=slots, pods=pods)


def _checkpoint(release: ReleaseMemory, live: LiveEvidence, now: float) -> ReleaseMemory:
    """Return the release with the scores of the process, and stored scores at coarse steps only."""
    exact = {key: found.score for key, found in live.scores.items() if found.score.at}
    due = not live.checkpoint <= now < live.checkpoint + CHECKPOINT
    if not due and not any(_differs(score, release.scores.get(key)) for key, score in exact.items()):
        return replace(release, live=live)
    return replace(
        release,
        scores={key: _rounded(score) for key, score in exact.items()},
        live=replace(live, checkpoint=now),
    )


def _differs(score: Score, stored: Score | None) -> bool:
    """Return whether the evidence changed by a factor of about 30 since it was stored."""
    if stored is None:
        return True
    step = floor(sequential.log_evidence(score) / 3.5) != floor(sequential.log_evidence(stored) / 3.5)
    return step or (score.served_clean is None) != (stored.served_clean is None)


def _rounded(score: Score) -> Score:
    """Return the score with six significant digits, which is enough and keeps the status small."""

    def digits(values: Iterable[float]) -> tuple[float, ...]:
        return tuple([min(float(f"{value:.6g}"), LARGEST) for value in values])

    return replace(
        score,
        at=round(score.at, 3),
        new=digits(score.new),
        old=digits(score.old),
        likelihoods=digits(score.likelihoods),
        within=digits(score.within),
        chance=float(f"{score.chance:.6g}"),
        clean=float(f"{score.clean:.6g}"),
        effect=float(f"{score.effect:.4g}"),
    )
