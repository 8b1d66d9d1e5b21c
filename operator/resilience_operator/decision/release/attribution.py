"""Attributes breaches to a release: by its baseline, by rules that were Ok before it, and by pods."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from math import isfinite
from types import MappingProxyType

from resilience_operator.decision.analysis.evidence import breach_is_canary_only
from resilience_operator.decision.analysis.increments import allowed_share, count, failing_bounds, test_key
from resilience_operator.decision.analysis.judgement import SHARED, SHARED_BEFORE, CanaryContext
from resilience_operator.decision.analysis.means import is_mean
from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.memory import GoodCounts, ReleaseMemory, RequestCounts, Verdict
from resilience_operator.decision.model.observation import SignalView
from resilience_operator.decision.model.policy import Condition, Policy, Rule
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release.good_counts import with_good_counts
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES
from resilience_operator.decision.release.remediation import ReleaseFinding
from resilience_operator.decision.scaling.recommendation import Recommendation


def update_baseline(
    release: ReleaseMemory,
    policy: Policy,
    views: Mapping[str, SignalView],
    now: float,
    *,
    anew: bool,
    good: Mapping[str, GoodCounts] = MappingProxyType({}),
) -> ReleaseMemory:
    """Return the release with its baseline (recorded if `anew`), and the start of its measurements.

    good: counts of the last good state, for signals that are not measured now.
    """
    if anew and release.ok_before:
        before = request_counts(policy, views, _new_pods(release))
        if release.configuration is not None:
            before = _as_ok(before, policy, release)
        release = replace(release, baseline=with_good_counts(before, good, policy, now) if good else before)
    if release.canary_measured_since is not None:
        return release
    signals = {
        name for key in release.baseline for name in views if key == name or key.startswith((f"{name}>", f"{name}<"))
    }
    counted = (views[name].observation for name in signals)
    if any(release.revision in observation.by_revision for observation in counted):
        # The first requests arrived within the last interval.
        return replace(release, canary_measured_since=now - policy.interval)
    return release


def _new_pods(release: ReleaseMemory) -> str | None:
    """Return the revision whose requests are not of the baseline; None after a change of configuration alone.

    Then the same pods have served the requests before.
    """
    return release.revision if release.configuration is None else None


def _as_ok(found: dict[str, RequestCounts], policy: Policy, release: ReleaseMemory) -> dict[str, RequestCounts]:
    """Return the counts with at most the failures that the rules allow that were Ok before the release.

    After a change of configuration alone, failures of the new content look like those before: all are of the
    same pods, and the change is seen some seconds later.
    """
    for rule in (rule for rule in policy.rules if rule.guards_release and rule.name in release.ok_before):
        for condition in (c for c in rule.conditions if c.above and c.worse_by is None):
            allowed = allowed_share(condition, policy.signals[condition.signal])
            for key in {condition.signal, test_key(condition)} & found.keys():
                counts = found[key]
                found[key] = RequestCounts(counts.samples, min(counts.events, allowed * counts.samples))
    return found


def regressed_since_release(release: ReleaseMemory, rule: Rule) -> bool:
    """Return whether this rule was Ok before the release and the old pods did not breach it too.

    If the old pods end during a spike that they also had, the new ones are not the cause.
    """
    return rule.name in release.ok_before and rule.name not in release.shared_breaches


def mark_attributed(release: ReleaseMemory, rule: Rule) -> ReleaseMemory:
    """Record that the release breached the rule and the old revision did not.

    The breach then still counts after a metrics gap, even if no old pods remain for a comparison.
    """
    if rule.name in release.ok_before:
        return release
    return replace(release, ok_before=(*release.ok_before, rule.name))


def mark_shared(
    release: ReleaseMemory, rule: Rule, verdict: Verdict, against: Sequence[ConditionResult]
) -> ReleaseMemory:
    """Record that the old pods breach the rule too, until it is Ok again."""
    shared = rule.name in release.shared_breaches
    if any(r.judgement.reason in (SHARED, SHARED_BEFORE) for r in against):
        return release if shared else replace(release, shared_breaches=(*release.shared_breaches, rule.name))
    if shared and verdict is Verdict.OK:
        return replace(release, shared_breaches=tuple(name for name in release.shared_breaches if name != rule.name))
    return release


def request_counts(policy: Policy, views: Mapping[str, SignalView], revision: str | None) -> dict[str, RequestCounts]:
    """Return the request counts of the rules that guard releases, if there are enough requests.

    revision: the new one. Its own requests are subtracted: otherwise a release that began between two evaluations
    would be compared with itself.
    """
    found: dict[str, RequestCounts] = {}
    for condition in (c for rule in policy.rules if rule.guards_release for c in rule.conditions):
        view = views[condition.signal]
        measured = view.observation.measured
        if measured is not None and measured.histogram is not None:
            found |= _latency_counts(condition, view, revision)
        if measured is not None and is_mean(condition, view.signal, view.observation):
            found |= _mean_before(condition, view, revision)
        if measured is None or measured.samples is None or measured.events is None:
            continue
        samples, events = measured.samples, measured.events
        new = view.observation.by_revision.get(revision) if revision is not None else None
        if new is not None:
            samples, events = samples - (new.samples or 0.0), max(0.0, events - (new.events or 0.0))
        if samples >= max(view.signal.min_samples, 1.0):
            found[condition.signal] = RequestCounts(samples, events)
    return found


def _mean_before(condition: Condition, view: SignalView, revision: str | None) -> dict[str, RequestCounts]:
    """Return the requests before the release, and the sum of the value over them."""
    whole, own = view.observation.measured, view.observation.by_revision.get(revision or "")
    if whole is None or whole.samples is None or not isfinite(whole.value):
        return {}
    requests, total = whole.samples, whole.samples * whole.value
    if own is not None and own.samples is not None and isfinite(own.value):
        requests, total = requests - own.samples, total - own.samples * own.value
    if requests < view.signal.required_samples or total <= 0:
        return {}
    return {test_key(condition): RequestCounts(requests, total)}


def _latency_counts(condition: Condition, view: SignalView, revision: str | None) -> dict[str, RequestCounts]:
    """Return how many requests were slow before the release, at each bound at which the condition is tested."""
    measured = view.observation.measured
    assert measured is not None
    new = view.observation.by_revision.get(revision or "")
    found = {}
    for bound in failing_bounds(condition, view.signal, measured.histogram):
        counts = count(condition, measured, bound) if bound is not None else None
        own = count(condition, new, bound) if new is not None else None
        if counts is None:
            continue
        samples = counts.samples - (own.samples if own is not None else 0.0)
        events = max(0.0, counts.events - (own.events if own is not None else 0.0))
        if samples >= view.signal.required_samples:
            key = test_key(condition, bound if condition.worse_by is not None else None)
            found[key] = RequestCounts(samples, min(events, samples))
    return found


def suppress(
    recommendation: Recommendation,
    views: Mapping[str, SignalView],
    canary: CanaryContext,
    attributed_signals: Container[str],
) -> Recommendation:
    """Return the recommendation, suppressed if only one revision is in breach: more pods do not fix a bad release.

    canary: the revision that is being released or rolled back, or was rolled back. The requests of its last pods stay
    in the look-back window for a while.
    """
    if recommendation.verdict is not Verdict.BREACH:
        return recommendation
    crossing = [r.condition for r in recommendation.results if r.judgement.crossed]
    canary_only = all(
        breach_is_canary_only(c, *views[c.signal], canary, attributed=c.signal in attributed_signals) for c in crossing
    )
    return replace(recommendation, suppressed=True) if crossing and canary_only else recommendation


def inconclusive_notice(
    release: ReleaseMemory, target: TargetState, findings: Sequence[ReleaseFinding], since: float
) -> tuple[Notice, ...]:
    """Return the notice that a release with ready pods has not been measurable since `since`."""
    current = target.find(release.revision)
    if release.phase not in ANALYSED_PHASES or release.manual_override or current is None or not current.ready:
        return ()
    unknown = [f.description for f in findings if f.unknown_since is not None and f.unknown_since <= since]
    if not unknown:
        return ()
    notice = Notice(
        f"unjudged/{release.revision}",
        "ReleaseNotJudged",
        f"revision {release.revision} cannot be judged, so no action is taken on it: {'; '.join(unknown)}",
        warning=True,
    )
    return (notice,)
