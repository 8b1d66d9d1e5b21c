"""Judges a release by its scores: proven worse, shared with the baseline, recovered, or not proven either way."""

from __future__ import annotations

from math import exp
from typing import NamedTuple

from resilience_operator.api.quantities import format_duration, format_value
from resilience_operator.decision.analysis import means, sequential
from resilience_operator.decision.analysis.alone import Alone, judge_alone, seconds_needed, sum_slots
from resilience_operator.decision.analysis.budget import limit_at
from resilience_operator.decision.analysis.increments import (
    allowed_rate,
    baseline_counts,
    bound_of,
    clean_rates,
    counts_before,
    guarded_conditions,
    test_key,
    tests_in,
)
from resilience_operator.decision.analysis.intervals import wilson
from resilience_operator.decision.analysis.judgement import SHARED, CanaryContext, Judgement
from resilience_operator.decision.model.memory import ReleaseMemory, RequestCounts
from resilience_operator.decision.model.observation import Measured
from resilience_operator.decision.model.policy import Condition, Policy, Signal
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.score import LiveScore, Score, Slot

CERTAIN_Z = 4.0
"""z-score with which a breach is certain: 3 in 100,000, one-sided."""

MAY_BE_ONE_BURST = "in too few pods or intervals to exclude one burst of failures"
"""Why a score above its limit is no proof yet."""

LONGEST_SLOT = 60.0
"""Seconds of the last requests of old pods, at least: a slot is at most that long."""

EXPECTED = 3.0
"""Failures expected at the rate of the breach, of which none or few show a recovery (95%)."""


def tests_of(condition: Condition, canary: CanaryContext) -> dict[str, LiveScore]:
    """Return the tests of a condition in which the new revision has requests."""
    release = canary.release
    if release is None:
        return {}
    live_scores = release.live.scores if release.live is not None else {}
    names = tests_in(dict.fromkeys((*release.scores, *live_scores)), condition)
    found = {}
    for name in names:
        live = live_scores.get(name)
        live = live if live is not None else LiveScore(release.scores[name])
        if live.score.new_side.requests > 0 or live.windowed:
            found[name] = live
    return found


def judge_scored(
    condition: Condition,
    signal: Signal,
    canary: CanaryContext,
    crossing: Judgement,
    *,
    old_crossed: bool | None,
    ok_before: bool,
    since_release: bool,
    after: float,
) -> Judgement | None:
    """Return what the scores prove about a revision that crosses `condition`; None if there are no scores.

    crossing: the judgement of the new revision alone. old_crossed: that of the old pods beside it, or None.
    ok_before: the rule was Ok before the release and not shared since. since_release: it was Ok before the release.
    after: the last seconds that decide.
    """
    tests = tests_of(condition, canary)
    if not tests:
        if canary.release is None or canary.release.live is None or signal.name not in canary.release.live.at:
            return None
        message = f"{signal.name}: the requests of the new pods do not count yet, or are too few"
        return Judgement(None, "TooFewSamples", message, crossing.value)
    assert canary.release is not None
    found = [
        _judge_test(
            condition,
            signal,
            replace(canary, limit=limit_at(canary.limit, canary.release, condition, key, tests.keys())),
            crossing,
            key,
            live,
            old_crossed=old_crossed,
            ok_before=ok_before,
            since_release=since_release,
            after=after,
        )
        for key, live in tests.items()
    ]
    if any(judged is None for judged in found):
        return None
    return max((judged for judged in found if judged is not None), key=_rank).judgement


def judge_mean(condition: Condition, signal: Signal, canary: CanaryContext, new: Measured) -> Judgement:
    """Judge a value without failures by its windows: those of the new revision against those of the old state."""
    release, by = canary.release, condition.worse_by or 0.0
    live = release.live if release is not None else None
    found = live.means.get(test_key(condition)) if live is not None else None
    if release is None or found is None or not found.new.windows:
        message = f"{signal.name}: no whole look-back window of the new revision was measured yet"
        return Judgement(None, "TooFewSamples", message, new.value)
    ours, theirs = means.sides_of(found, release, condition)
    if not theirs.windows:
        return Judgement(None, "NoBaseline", f"{signal.name}: there is no baseline to compare with", new.value)
    usual = exp(theirs.total / theirs.windows)
    score = means.log_evidence(ours, theirs, by)
    message = (
        f"{signal.name} is {format_value(exp(ours.total / ours.windows), signal.unit)} in {ours.windows} windows of "
        f"the new revision and {format_value(usual, signal.unit)} in {theirs.windows} of the old one, "
        f"score {format_score(score)} of {format_score(canary.limit)}"
    )
    if score >= canary.limit and new.value > usual * (1.0 + by):
        return Judgement(True, "Crossed", message, new.value)
    return Judgement(False, "NotWorse", message, new.value)


class _Judged(NamedTuple):
    """The judgement by one test. evidence: beside the old pods; before: against all known of the old state."""

    judgement: Judgement
    evidence: float
    before: float


_RANKS = {"Recovered": 0, SHARED: 1, "CrossedBefore": 1, "Inconclusive": 2}
"""Of several tests of a condition: a proof decides, then one that lacks only time or an innocent explanation."""


def _rank(judged: _Judged) -> tuple[bool, int, bool, float, float]:
    found = judged.judgement
    return found.crossed is True, _RANKS.get(found.reason, 3), found.suspect, judged.evidence, judged.before


def _judge_test(
    condition: Condition,
    signal: Signal,
    canary: CanaryContext,
    crossing: Judgement,
    key: str,
    live: LiveScore,
    *,
    old_crossed: bool | None,
    ok_before: bool,
    since_release: bool,
    after: float,
) -> _Judged | None:
    """Judge by one test. None if the windows of both sides are compared instead."""
    score, counts = live.score, _describe(signal, live)
    evidence, before = sequential.log_evidence(score), _against_before(condition, key, live, canary)

    def judged(judgement: Judgement) -> _Judged:
        return _Judged(judgement, evidence, before)

    allowed = _allowed(condition, signal, key, live, canary)
    if not live.windowed and _recovered(allowed, signal, live, canary, after):
        message = f"{counts}: no longer in breach in the last {format_duration(after)}"
        return judged(Judgement(False, "Recovered", message, crossing.value))
    # If the old pods changed too since the release, the time before it proves nothing about the new ones.
    unchanged = not old_crossed and not _old_changed(condition, key, live, canary)
    if live.slots and sequential.convicts(score, canary.limit, before if unchanged else 0.0):
        if not live.windowed and _recovered(allowed, signal, live, canary, 0.0):
            message = f"{counts}: proven, but the latest requests are no longer in breach"
            return judged(Judgement(None, "Receding", message, crossing.value))
        message = f"{_sides(signal, live)}, score {_shown(score, canary)}"
        return judged(replace(crossing, crossed=True, reason="Crossed", message=message))
    suspect = since_release and _is_worse_than_before(condition, signal, key, live, canary)
    if live.windowed and old_crossed is not None:
        return None  # beside old pods, the windows of both sides are compared
    if _has_old(live, signal):
        if old_crossed:
            message = f"{counts}: the old pods are in breach too"
            return judged(Judgement(False, SHARED, message, crossing.value, suspect=suspect))
        why = "not proven that the new revision is worse"
        if evidence >= canary.limit:
            why = f"the new revision fails more often, but {MAY_BE_ONE_BURST}"
        message = f"{counts}: {why}, score {_shown(score, canary)}"
        return judged(Judgement(None, "Inconclusive", message, crossing.value, suspect=suspect))
    if not (ok_before or since_release):
        message = f"{signal.name} was not Ok before the release"
        return judged(Judgement(False, "CrossedBefore", message, crossing.value, suspect=suspect))
    if not ok_before and sequential.are_equal(score):
        message = f"{counts}: the old pods were in breach as well, as often as the new ones"
        return judged(Judgement(False, SHARED, message, crossing.value, suspect=suspect))
    was_shared = not ok_before or _old_ended_failing(allowed, live)
    case = _alone(condition, signal, key, live, canary, crossing, before=before, was_shared=was_shared)
    return judged(judge_alone(replace(case, suspect=suspect)))


def _alone(
    condition: Condition,
    signal: Signal,
    key: str,
    live: LiveScore,
    canary: CanaryContext,
    crossing: Judgement,
    *,
    before: float,
    was_shared: bool,
) -> Alone:
    baseline = _baseline(condition, key, canary)
    return Alone(
        signal,
        live,
        canary,
        crossing,
        _sides(signal, live),
        before=before,
        baseline=baseline,
        clean=clean_rates(condition, signal, baseline, live.score),
        known=baseline_counts(live.score, baseline).samples > 0,
        was_shared=was_shared,
    )


def proof_times(release: ReleaseMemory, policy: Policy) -> list[float]:
    """Return when breaches of the new revision will have lasted long enough to count without old pods beside it."""
    live = release.live.scores if release.live is not None else {}
    if not any(found.crossed_since is not None for found in live.values()):
        return []
    conditions = guarded_conditions(policy).values()
    tests = [(policy.signals[c.signal], live[key]) for c in conditions for key in tests_in(live, c)]
    return [found.crossed_since + seconds_needed(s, found) for s, found in tests if found.crossed_since is not None]


def _against_before(condition: Condition, key: str, live: LiveScore, canary: CanaryContext) -> float:
    """Return the evidence of all requests of the new revision against all known of the old state."""
    counts, new = baseline_counts(live.score, _baseline(condition, key, canary)), live.score.new_side
    spread = sequential.dispersion(live.score)
    return sequential.log_evidence_before(
        new.requests, new.failures, counts.samples, counts.events, spread, live.score.effect
    )


def _old_changed(condition: Condition, key: str, live: LiveScore, canary: CanaryContext) -> bool:
    """Return whether the old pods beside the release fail more often than before it."""
    counts, old = _baseline(condition, key, canary), live.score.old_side
    if counts is None:
        return False
    spread = sequential.dispersion(live.score)
    found = sequential.log_evidence_before(old.requests, old.failures, counts.samples, counts.events, spread)
    return found >= sequential.COMBINED


def _old_ended_failing(allowed: float, live: LiveScore) -> bool:
    """Return whether the old pods certainly failed the condition too in the last slots in which they served.

    Their look-back window may show it too late: they end, and only the requests of each slot remain. The slots are
    added from the last one on, because a breach that began late is lost among all requests of a minute.
    """
    served = [s for s in live.slots if s.old_requests > 0]
    if not served or not 0 < allowed < 1:
        return False
    spread, requests, failures = sequential.dispersion(live.score), 0.0, 0.0
    for slot in reversed(served):
        if slot.end <= served[-1].end - LONGEST_SLOT:
            break
        requests += slot.old_requests / spread
        failures += slot.old_failures / spread
        if failures >= EXPECTED and wilson(failures, requests)[0] > allowed:
            return True
    return wilson(failures, requests)[0] > allowed


def _baseline(condition: Condition, key: str, canary: CanaryContext) -> RequestCounts | None:
    assert canary.release is not None
    return counts_before(canary.release, condition, key, bound_of(key))


def _is_worse_than_before(
    condition: Condition, signal: Signal, key: str, live: LiveScore, canary: CanaryContext
) -> bool:
    """Return whether the latest requests of the new revision are worse than before the release, whatever the cause."""
    counts = _baseline(condition, key, canary)
    if live.windowed and not live.slots:
        return False
    recent = sum_slots(s for s in live.slots if s.end > canary.now - signal.window)
    spread = sequential.dispersion(live.score)
    if counts is None:
        # Nothing was counted before the release, but the rule was Ok: it must be certain that it is crossed now.
        allowed = _allowed(condition, signal, key, live, canary)
        if recent.new_requests <= 0 or not 0 < allowed < 1:
            return False
        return wilson(recent.new_failures / spread, recent.new_requests / spread, CERTAIN_Z)[0] > allowed
    found = sequential.log_evidence_before(
        recent.new_requests, recent.new_failures, counts.samples, counts.events, spread, live.score.effect
    )
    return found >= min(canary.limit, sequential.CHANCE)


def _recovered(allowed: float, signal: Signal, live: LiveScore, canary: CanaryContext, after: float) -> bool:
    """Return whether the last `after` seconds show no breach. They are extended until they can show one.

    allowed: the failure rate that is no breach.
    """
    window = sum_slots(s for s in live.slots if s.end > canary.now - signal.window)
    if window.new_requests <= 0:
        return False
    rate = max(allowed, window.new_failures / window.new_requests)
    recent: list[Slot] = []
    requests = 0.0
    for slot in reversed(live.slots):
        if slot.end <= canary.now - signal.window:
            break
        if slot.end <= canary.now - max(after, 1.0) and requests * rate >= EXPECTED:
            break
        recent.append(slot)
        requests += slot.new_requests
    if requests * rate < EXPECTED:
        return False
    return sum_slots(recent).new_failures <= allowed * requests


def _allowed(condition: Condition, signal: Signal, key: str, live: LiveScore, canary: CanaryContext) -> float:
    """Return the failure rate that is no breach."""
    return allowed_rate(condition, signal, live.score, _baseline(condition, key, canary)) or 0.0


def _has_old(live: LiveScore, signal: Signal) -> bool:
    """Return whether old pods served beside the new ones in the latest slots."""
    return any(s.old_requests > 0 for s in live.slots[-3:]) or (
        not live.slots and live.score.old_side.requests >= signal.required_samples
    )


def _describe(signal: Signal, live: LiveScore) -> str:
    """Describe the counts of both sides of a signal."""
    return f"{signal.name}: {_sides(signal, live)}"


def _sides(signal: Signal, live: LiveScore) -> str:
    """Describe the counts of both sides."""
    return describe_sides(live.score, "slow" if signal.quantile is not None else "bad")


def describe_sides(score: Score, what: str) -> str:
    """Describe the counts of both sides: `5 of 100 requests bad on the new revision, 0 of 300 on the old one`."""
    new, old = score.new_side, score.old_side
    sides = f"{new.failures:.0f} of {new.requests:.0f} requests {what} on the new revision"
    return f"{sides}, {old.failures:.0f} of {old.requests:.0f} on the old one" if old.requests > 0 else sides


def _shown(score: Score, canary: CanaryContext) -> str:
    """Format a score with its limit: `12400 of 2000`."""
    return f"{format_score(sequential.log_evidence(score))} of {format_score(canary.limit)}"


def format_score(logarithm: float) -> str:
    """Format a score: the evidence, not its logarithm, with two digits."""
    if logarithm > 13.8:
        return "over 1000000"
    return format_value(float(f"{exp(max(0.0, logarithm)):.2g}"), "number")
