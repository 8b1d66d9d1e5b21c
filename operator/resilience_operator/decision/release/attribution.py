"""A release on trial: what it is compared with, what speaks for it, and which breaches are its alone."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

from resilience_operator.decision import scaling
from resilience_operator.decision.analysis.evidence import SHARED, CanaryContext, breach_is_canary_only
from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.memory import ReleaseMemory, RequestCounts, Verdict
from resilience_operator.decision.model.observation import SignalView
from resilience_operator.decision.model.policy import Policy, Rule
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release import lifecycle, remediation


def update_baseline(
    release: ReleaseMemory, policy: Policy, views: Mapping[str, SignalView], now: float, *, anew: bool
) -> ReleaseMemory:
    """Take down what it was like before the release (if `anew`), and since when its revision is measured."""
    if anew and release.ok_before:
        release = replace(release, baseline=_request_counts(policy, views, release.revision))
    if release.canary_measured_since is not None:
        return release
    counted = (views[name].observation for name in release.baseline if name in views)
    if any(release.revision in observation.by_revision for observation in counted):
        # Its first requests came within the last interval.
        return replace(release, canary_measured_since=now - policy.interval)
    return release


def regressed_since_release(release: ReleaseMemory, rule: Rule) -> bool:
    """Whether the release, if anything, turned this rule: it was Ok before, and the old pods did not breach it too.

    When the old pods are gone in the middle of a spike that they bore as well, the new ones are no more to blame.
    """
    return rule.name in release.ok_before and rule.name not in release.shared_breaches


def mark_attributed(release: ReleaseMemory, rule: Rule) -> ReleaseMemory:
    """Remember that the release was found to breach the rule where the old revision did not.

    A gap in the metrics, after which no old pod is left to compare with, is no acquittal.
    """
    if rule.name in release.ok_before:
        return release
    return replace(release, ok_before=(*release.ok_before, rule.name))


def mark_shared(
    release: ReleaseMemory, rule: Rule, verdict: Verdict, against: Sequence[ConditionResult]
) -> ReleaseMemory:
    """Remember that the old pods breach the rule too, until it is Ok again."""
    shared = rule.name in release.shared_breaches
    if any(r.judgement.reason == SHARED for r in against):
        return release if shared else replace(release, shared_breaches=(*release.shared_breaches, rule.name))
    if shared and verdict is Verdict.OK:
        return replace(release, shared_breaches=tuple(name for name in release.shared_breaches if name != rule.name))
    return release


def _request_counts(policy: Policy, views: Mapping[str, SignalView], revision: str | None) -> dict[str, RequestCounts]:
    """The counted signals of the rules that guard releases, as far as there are enough requests to tell.

    revision: the new one. What it did already by the first look at it is no part of the time before it: a release
    that began while nobody looked would else be compared with itself.
    """
    found: dict[str, RequestCounts] = {}
    for condition in (c for rule in policy.rules if rule.guards_release for c in rule.conditions):
        view = views[condition.signal]
        measured = view.observation.measured
        if measured is None or measured.samples is None or measured.events is None:
            continue
        samples, events = measured.samples, measured.events
        new = view.observation.by_revision.get(revision) if revision is not None else None
        if new is not None:
            samples, events = samples - (new.samples or 0.0), max(0.0, events - (new.events or 0.0))
        if samples >= max(view.signal.min_samples, 1.0):
            found[condition.signal] = RequestCounts(samples, events)
    return found


def suppress(
    demand: scaling.Recommendation, views: Mapping[str, SignalView], trial: CanaryContext, accused: Container[str]
) -> scaling.Recommendation:
    """A breach that only one revision shows is that release's: it is no reason to scale up.

    trial: of the revision that is on its way, or that is being rolled back, or was: what its last pods did stays in
    the look-back for a while. accused: signals that are held against the release already.
    """
    if demand.verdict is not Verdict.BREACH:
        return demand
    crossing = [r.condition for r in demand.results if r.judgement.crossed]
    blamed = all(breach_is_canary_only(c, *views[c.signal], trial, accused=c.signal in accused) for c in crossing)
    return replace(demand, suppressed=True) if crossing and blamed else demand


def inconclusive_notice(
    release: ReleaseMemory, target: TargetState, charges: Sequence[remediation.ReleaseFinding], since: float
) -> Notice | None:
    """What to tell of a release that could not be judged from `since` on, though its pods are ready for traffic."""
    current = target.find(release.revision)
    if (
        release.phase not in lifecycle.ANALYSED_PHASES
        or release.manual_override
        or current is None
        or not current.ready
    ):
        return None
    unknown = [c.description for c in charges if c.unknown_since is not None and c.unknown_since <= since]
    if not unknown:
        return None
    return Notice(
        f"unjudged/{release.revision}",
        "ReleaseNotJudged",
        f"revision {release.revision} cannot be judged: {'; '.join(unknown)}. It is left alone",
        warning=True,
    )
