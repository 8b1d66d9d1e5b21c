"""Statistical tests: does a measurement cross a threshold, and is one revision worse than another?

Ratios of requests are proportions of a sample, so they are judged by an interval and not by their point estimate:
the Wilson score interval (E. B. Wilson, JASA 22, 1927; recommended for small samples by Brown, Cai and DasGupta,
Statistical Science 16(2), 2001). Two revisions are compared by Fisher's exact test, one-sided (R. A. Fisher, 1922),
with the normal approximation for large counts. Acting requires proof: a value over the threshold whose interval
includes the threshold is inconclusive, which is Unknown and not Breach.

Values without counts (CPU, quantiles) have no such test: the new revision must be worse by a margin.
"""

from __future__ import annotations

from math import exp, isfinite, isinf, lgamma, sqrt
from statistics import NormalDist

from resilience_operator.api.quantities import format_value
from resilience_operator.decision.analysis import shares
from resilience_operator.decision.analysis.increments import BOUND_TARGETS
from resilience_operator.decision.analysis.intervals import CONFIDENCE_Z, wilson
from resilience_operator.decision.analysis.judgement import SHARED, CanaryContext, Judgement
from resilience_operator.decision.analysis.means import is_mean
from resilience_operator.decision.analysis.proof import judge_mean, judge_scored
from resilience_operator.decision.model.observation import Histogram, Measured, Observation
from resilience_operator.decision.model.policy import Condition, Signal
from resilience_operator.decision.model.record import replace

FALSE_ALARM = 3e-5
"""Probability that one comparison of two equal revisions calls the new one worse. A release is compared many times, in
windows that mostly overlap. Measured over 10,000 releases of equal revisions in each setting
(`tests/bench/release_statistics.py`): false alarms in 0.01% to 0.10% of five-minute rollouts, and in 0.37% of
half-hour canaries evaluated every 5 s; unnecessary rollbacks in at most 0.02%. At 50 requests/s, an error rate of 5%
against 0.1% is detected within 30 s in at least 99.6% of releases. That holds if the new revision has at least a
quarter of the traffic; with a tenth it is 88%."""

FALSE_ALARM_Z = NormalDist().inv_cdf(1 - FALSE_ALARM)
"""The z-score of `FALSE_ALARM`, for the interval of a release without another revision to compare with."""

RECENT_FALSE_ALARM = 1e-3
"""The same for the additional comparison over the time since the new revision is measured. It has few counts, and only
needs to distinguish a bad release from a load increase that began at the same time."""

MARGIN = 1.25
"""Factor by which the new revision must be worse without counts, while the old one is within bounds. Pods of the same
revision always differ by some percent, so a threshold between two such values proves nothing."""

MARGIN_UNDER_LOAD = 2.0
"""The same if the old revision crosses the threshold too: load is then the likelier cause."""

_NORMAL_FROM = 1000.0
"""Minimum expected events in the smallest cell for the normal approximation. Below it the tail is summed exactly,
because the approximation then raises up to ten times as many false alarms as specified."""


def judge(condition: Condition, signal: Signal, measured: Measured, z: float = CONFIDENCE_Z) -> Judgement:
    """Judge one measurement against one condition. z: z-score of the interval of a counted ratio."""
    value, samples = measured.value, measured.samples
    if not isfinite(value):
        return Judgement(None, "NotANumber", f"{signal.name} is {value}, which is not a measurement")
    # Written so that NaN counts as too few.
    if samples is not None and not samples >= signal.required_samples:
        return Judgement(
            None,
            "TooFewSamples",
            f"{signal.name}: {samples:.0f} requests in {signal.window:.0f} s; at least "
            f"{signal.required_samples:.0f} are needed",
            value,
        )
    over = value > condition.threshold if condition.above else value < condition.threshold
    if not over:
        return Judgement(False, "WithinBounds", "", value)
    if measured.events is not None and samples:
        low, high = wilson(measured.events, samples, z)
        if (low <= condition.threshold) if condition.above else (high >= condition.threshold):
            return Judgement(
                None,
                "Inconclusive",
                f"{signal.name} is {format_value(value, signal.unit)} of {samples:.0f} requests: between "
                f"{format_value(low, signal.unit)} and {format_value(high, signal.unit)} at {_confidence(z)} "
                f"confidence, which is inconclusive for {format_value(condition.threshold, signal.unit)}",
                value,
            )
    return Judgement(True, "Crossed", "", value)


def judge_all(condition: Condition, signal: Signal, observation: Observation) -> Judgement:
    """Judge the whole target, across revisions."""
    if observation.measured is None:
        return Judgement(None, observation.reason, observation.message)
    found = judge(condition, signal, observation.measured)
    if observation.replica_factor is None:
        return found
    return replace(found, replica_factor=observation.replica_factor, message=found.message or observation.message)


def judge_release(
    condition: Condition,
    signal: Signal,
    observation: Observation,
    canary: CanaryContext,
    *,
    ok_before: bool,
    since_release: bool | None = None,
    after: float = 0.0,
) -> Judgement:
    """Judge what counts against the release: only what its revision alone shows.

    A signal whose requests are counted by pod is judged by its sequential test (`proof`). Otherwise the windows of the
    new revision and of the others are compared. If the signal cannot be split, or no other revision has data, it
    counts only if the rule was Ok before the release began (`ok_before`). If failures are counted, they must also have
    increased since then: a service that is always over its threshold may have been Ok by chance at that one evaluation.
    since_release: the rule was Ok before the release, even if the old pods crossed it since. after: the last seconds
    that decide.
    """
    if observation.measured is None:
        return Judgement(None, observation.reason, observation.message)
    if not observation.splittable:
        if condition.worse_by is not None:
            return Judgement(None, "NotComparable", f"{signal.name} cannot be split by revision")
        new, old = observation.measured, None
    elif canary.revision is None or (part := observation.by_revision.get(canary.revision)) is None:
        of = f"revision {canary.revision}" if canary.revision is not None else "the new revision"
        return Judgement(None, "NoTraffic", f"{signal.name}: no measurement of {of} yet")
    else:
        new, old = part, _others(condition, signal, observation, canary)
    if condition.worse_by is not None:
        return _judge_worse(condition, signal, observation, canary, new, old, ok_before=ok_before, after=after)
    found = judge_part(condition, signal, new)
    if not found.crossed:
        return found
    since_release = ok_before if since_release is None else since_release
    old_crossed = judge_part(condition, signal, old).crossed is True if old is not None else None
    scored = judge_scored(
        condition,
        signal,
        canary,
        found,
        old_crossed=old_crossed,
        ok_before=ok_before,
        since_release=since_release,
        after=after,
    )
    if scored is not None:
        return scored
    if (early := _too_early(signal, observation, canary, new)) is not None:
        return early
    if old is None:
        return _compare_with_baseline(condition, signal, new, canary, ok_before=ok_before)
    if _worse_than_others(condition, signal, observation, canary, new, old):
        return found
    suspect = since_release and _is_worse_than_before(condition, signal, new, canary)
    values = (
        f"{signal.name} is {format_value(new.value, signal.unit)} on the new revision and "
        f"{format_value(old.value, signal.unit)} on the old one"
    )
    if old_crossed:
        return Judgement(False, SHARED, f"{values}: the release is not the cause", new.value, suspect=suspect)
    message = f"{values}: not proven that the new revision is worse"
    return Judgement(None, "Inconclusive", message, new.value, suspect=suspect)


def _is_worse_than_before(condition: Condition, signal: Signal, new: Measured, canary: CanaryContext) -> bool:
    """Return whether a counted signal is worse than before the release, whatever the cause."""
    counts = canary.baseline.get(signal.name)
    if counts is None or new.events is None or counts.samples <= 0:
        return False
    return _clearly_worse(
        condition, signal, new, Measured(counts.events / counts.samples, counts.samples, counts.events)
    )


def _too_early(signal: Signal, observation: Observation, canary: CanaryContext, new: Measured) -> Judgement | None:
    """Return Unknown if the windows of both sides must not be compared yet.

    At the first look at the pods the sequential test begins with the next evaluation. A comparison of windows would be
    one more test, outside the budget of false alarms of the release. Later the look-back of a latency may contain the
    warm-up of new pods, which increments leave out.
    """
    if observation.first_look:
        why = "the requests of each pod are counted from this evaluation on"
    elif (
        signal.quantile is not None
        and canary.warm_up > 0
        and canary.release is not None
        and canary.now - canary.release.since < canary.warm_up + signal.window
    ):
        why = "the new pods are still warming up"
    else:
        return None
    return Judgement(None, "TooFewSamples", f"{signal.name}: {why}", new.value)


def judge_part(condition: Condition, signal: Signal, measured: Measured) -> Judgement:
    """Judge one revision. A quantile with a histogram is judged as a proportion of counted requests."""
    if signal.quantile is None or measured.histogram is None or not condition.above:
        return judge(condition, signal, measured)
    histogram = measured.histogram
    requests, allowed = shares.total(histogram), 1.0 - signal.quantile
    if not requests >= signal.required_samples:
        return judge(condition, signal, measured._replace(samples=requests))
    lower, upper = shares.around(histogram, condition.threshold)
    certain = 0.0 if isinf(upper) else shares.over(histogram, upper)
    possible = requests if lower is None else shares.over(histogram, lower)
    if possible <= allowed * requests:
        return Judgement(False, "WithinBounds", "", measured.value)
    if wilson(certain, requests)[0] > allowed:
        return Judgement(True, "Crossed", "", measured.value)
    threshold = format_value(condition.threshold, signal.unit)
    name = "TopBucket" if isinf(upper) else "BucketTooWide"
    if lower != upper and (isinf(upper) or wilson(possible, requests)[0] > allowed):
        where = f"over {format_value(lower or 0.0, signal.unit)}"
        if not isinf(upper):
            where = f"between {format_value(lower or 0.0, signal.unit)} and {format_value(upper, signal.unit)}"
        return Judgement(
            None,
            name,
            f"{signal.name}: {possible - certain:.0f} of {requests:.0f} requests took {where}, so it is not known "
            f"whether they are above {threshold}: add the bound {threshold} to the histogram",
            measured.value,
        )
    return Judgement(
        None,
        "Inconclusive",
        f"{signal.name}: {certain:.0f} of {requests:.0f} requests took longer than {threshold}, which is inconclusive "
        f"for {allowed:.3g} of them",
        measured.value,
    )


def _judge_worse(
    condition: Condition,
    signal: Signal,
    observation: Observation,
    canary: CanaryContext,
    new: Measured,
    old: Measured | None,
    *,
    ok_before: bool,
    after: float,
) -> Judgement:
    """Judge a comparison with the baseline. Without scores, the windows of the two sides are compared."""
    by = condition.worse_by or 0.0
    if not isfinite(new.value) or (new.samples is not None and not new.samples >= signal.required_samples):
        return judge(condition, signal, new)
    value = format_value(new.value, signal.unit)
    crossing = Judgement(True, "Crossed", "", new.value)
    scored = judge_scored(
        condition, signal, canary, crossing, old_crossed=False, ok_before=ok_before, since_release=False, after=after
    )
    if scored is not None:
        if scored.crossed or scored.reason != "Inconclusive":
            return scored
        return Judgement(False, "NotWorse", scored.message, new.value)
    if is_mean(condition, signal, observation):
        return judge_mean(condition, signal, canary, new)
    if (early := _too_early(signal, observation, canary, new)) is not None:
        return early
    if old is None:
        return Judgement(None, "NoBaseline", f"{signal.name}: there is no baseline to compare with", new.value)
    if signal.quantile is not None:
        if new.histogram is None or old.histogram is None:
            message = f"{signal.name}: the requests behind the quantile are not counted"
            return Judgement(None, "NotComparable", message, new.value)
        worse = _slower(new.histogram, old.histogram, by)
    elif new.events is not None and old.events is not None:
        worse = new.value > old.value * (1.0 + by) and significantly_worse(new, old)
    else:
        worse = new.value > old.value * max(1.0 + by, MARGIN)
    message = f"{signal.name} is {value} on the new revision and {format_value(old.value, signal.unit)} on the old one"
    return Judgement(worse, "Crossed" if worse else "NotWorse", message, new.value)


def _slower(new: Histogram, old: Histogram, by: float) -> bool:
    """Return whether significantly more requests are slow, at a bound of both histograms."""
    bounds = [b for b in shares.informative_bounds(old, BOUND_TARGETS) if b in new.bounds]
    for bound in bounds:
        ours, theirs = shares.over(new, bound), shares.over(old, bound)
        here = Measured(ours / shares.total(new), shares.total(new), ours)
        there = Measured(theirs / shares.total(old), shares.total(old), theirs)
        least = shares.with_odds(there.value, shares.slower_odds(old, bound, by))
        if here.value > least and significantly_worse(here, there, FALSE_ALARM / len(bounds)):
            return True
    return False


def breach_is_canary_only(
    condition: Condition, signal: Signal, observation: Observation, canary: CanaryContext, *, attributed: bool
) -> bool:
    """Return whether only the canary revision crosses the threshold, so that more pods would not fix the breach.

    attributed: the signal is already attributed to that revision. It then needs no new proof, not even if there is no
    data of the other revisions.
    """
    if not observation.splittable or (new := observation.by_revision.get(canary.revision or "")) is None:
        return False
    old = _others(condition, signal, observation, canary)
    if old is None:
        return attributed
    if judge(condition, signal, old).crossed is not False:
        return False
    if attributed:
        return True
    if judge(condition, signal, new).crossed is not True:
        return False
    return _worse_than_others(condition, signal, observation, canary, new, old)


def _others(condition: Condition, signal: Signal, observation: Observation, canary: CanaryContext) -> Measured | None:
    """Return the other revisions merged into one, or None if they have too little data."""
    split = observation.by_revision.items()
    unproven = canary.release.unproven if canary.release is not None else ()
    parts = [
        m
        for name, m in split
        if name != canary.revision and name not in canary.quarantined and not (name in unproven and _is_counted(m))
    ]
    old = _merge([m for m in parts if isfinite(m.value)], condition.above)
    if old is None or (old.samples is not None and not old.samples >= signal.required_samples):
        return None
    return old


def _is_counted(measured: Measured) -> bool:
    return measured.events is not None or measured.histogram is not None


def _worse_than_others(
    condition: Condition, signal: Signal, observation: Observation, canary: CanaryContext, new: Measured, old: Measured
) -> bool:
    """Return whether the new revision is worse than the others over the same time.

    The look-back of the others starts before the new revision served requests. If load rose at that moment, their data
    mixes good and bad times, and that of the new revision has only bad times.
    """
    if not _clearly_worse(condition, signal, new, old):
        return False
    recent = _baseline_since_canary(signal, observation.at, canary, old)
    return recent is None or _clearly_worse(condition, signal, new, recent, RECENT_FALSE_ALARM)


def _baseline_since_canary(signal: Signal, at: float, canary: CanaryContext, old: Measured) -> Measured | None:
    """Return the others' counts since the new revision is measured; None if unknown or too few.

    The part of the baseline that is still within the look-back window is subtracted.
    """
    before = canary.baseline.get(signal.name)
    if before is None or canary.measured_since is None or old.samples is None or old.events is None:
        return None
    left = 1 - (at - canary.measured_since) / signal.window
    if not 0 < left < 1:
        return None
    samples = old.samples - before.samples * left
    if samples < signal.required_samples:
        return None
    events = min(samples, max(0.0, old.events - before.events * left))
    return Measured(events / samples, samples, events)


def _clearly_worse(
    condition: Condition, signal: Signal, new: Measured, old: Measured, alpha: float = FALSE_ALARM
) -> bool:
    if new.events is not None and old.events is not None:
        if condition.above:
            return significantly_worse(new, old, alpha)
        return significantly_worse(_complement(new), _complement(old), alpha)
    margin = MARGIN_UNDER_LOAD if judge(condition, signal, old).crossed else MARGIN
    return new.value >= old.value * margin if condition.above else new.value * margin <= old.value


def significantly_worse(new: Measured, old: Measured, alpha: float = FALSE_ALARM) -> bool:
    """Return whether `new` has a higher proportion of bad events than `old`, at one-sided false-alarm rate `alpha`.

    Both need `events` and `samples`. Counts from `increase()` are extrapolated, so they are rounded.
    """
    bad_new, all_new = round(new.events or 0.0), round(new.samples or 0.0)
    bad_old, all_old = round(old.events or 0.0), round(old.samples or 0.0)
    if all_new <= 0 or all_old <= 0 or bad_new * all_old <= bad_old * all_new:
        return False
    bad_new, bad_old = min(bad_new, all_new), min(bad_old, all_old)
    bad, total = bad_new + bad_old, all_new + all_old
    if min(bad, total - bad) * min(all_new, all_old) > _NORMAL_FROM * total:
        pooled = bad / total
        z = (bad_new / all_new - bad_old / all_old) / sqrt(pooled * (1 - pooled) * (1 / all_new + 1 / all_old))
        return z > (FALSE_ALARM_Z if alpha == FALSE_ALARM else NormalDist().inv_cdf(1 - alpha))
    return _fisher_tail(bad_new, all_new, bad, total) < alpha


def _fisher_tail(bad_new: int, all_new: int, bad: int, total: int) -> float:
    """Return P(at least `bad_new` of the `bad` events are of the new revision) if both are equal: hypergeometric."""
    good = total - bad

    def log_p(k: int) -> float:
        return _log_choose(bad, k) + _log_choose(good, all_new - k) - _log_choose(total, all_new)

    last = min(bad, all_new)
    k = max(bad_new, all_new - good)
    p = exp(log_p(k))
    tail = p
    while k < last and p > tail * 1e-12:
        p *= (bad - k) * (all_new - k) / ((k + 1) * (good - all_new + k + 1))
        k += 1
        tail += p
    return min(1.0, tail)


def _log_choose(n: int, k: int) -> float:
    if k in (0, n):
        return 0.0
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _complement(m: Measured) -> Measured:
    samples, events = m.samples or 0.0, m.events or 0.0
    return Measured(1 - m.value, samples, max(0.0, samples - events))


def _merge(parts: list[Measured], above: bool) -> Measured | None:
    """Merge old revisions: counts are added; of values without counts, the one nearest to crossing is used."""
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    samples = [p.samples for p in parts if p.samples is not None]
    events = [p.events for p in parts if p.events is not None]
    if len(events) == len(parts) and sum(samples) > 0:
        return Measured(sum(events) / sum(samples), sum(samples), sum(events))
    worst = max if above else min
    return Measured(worst(p.value for p in parts), sum(samples) if len(samples) == len(parts) else None)


def _compare_with_baseline(
    condition: Condition, signal: Signal, measured: Measured, canary: CanaryContext, *, ok_before: bool
) -> Judgement:
    """Judge a signal that can only be compared with the time before the release."""
    found = judge(condition, signal, measured, FALSE_ALARM_Z)
    if not found.crossed:
        return found
    if not ok_before:
        return Judgement(False, "CrossedBefore", f"{signal.name} was not Ok before the release began", found.value)
    counts = canary.baseline.get(signal.name)
    if counts is None or measured.events is None:
        return found
    before = Measured(counts.events / counts.samples, counts.samples, counts.events)
    if _clearly_worse(condition, signal, measured, before):
        return found
    return Judgement(
        None,
        "Inconclusive",
        f"{signal.name} is {format_value(measured.value, signal.unit)} and was "
        f"{format_value(before.value, signal.unit)} before the release began: not significantly worse",
        measured.value,
    )


def _confidence(z: float) -> str:
    """Format the two-sided confidence: `95%`."""
    return f"{100 * (2 * NormalDist().cdf(z) - 1):.4g}%"
