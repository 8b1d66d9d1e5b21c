"""Request counts of the last good state: what a release is compared with if metrics are missing when it begins.

They are recorded while the target is at rest and no rule that guards releases is in breach: at the end of a bake, and
at most every ten minutes afterwards. With few requests a look-back window shows little of a rare failure, so older
counts are kept with them, and a release is compared with all of them. They are stored with the next status write, so
that a target at rest causes none. The start of a metrics gap is such a write.
"""

from __future__ import annotations

from collections.abc import Mapping

from resilience_operator.decision.analysis.increments import guarded_conditions, tests_in
from resilience_operator.decision.model.members import STABLE
from resilience_operator.decision.model.memory import GoodCounts, ReleaseMemory, RequestCounts
from resilience_operator.decision.model.policy import Policy, Rule
from resilience_operator.decision.model.target import TargetState

REFRESH = 600.0
"""Minimum seconds between two records."""

KEPT = 2_000.0
"""Requests up to which older counts are kept: enough to tell 0.1% of failures from 1%."""

MAX_AGE = 86_400.0
"""Seconds after which counts are no baseline any more."""

MAX_GAP = 1800.0
"""Maximum seconds of a metrics gap at the start of a release, before which a counted rule must have been Ok."""


def are_due(before: Mapping[str, GoodCounts], release: ReleaseMemory, target: TargetState, now: float) -> bool:
    """Return whether the counts of the current state may be recorded, if it is good."""
    if release.phase is not STABLE or release.revision != target.revision or target.paused:
        return False
    return not before or not 0 <= now - max([found.at for found in before.values()]) < REFRESH


def recorded(
    before: Mapping[str, GoodCounts], counted: Mapping[str, RequestCounts], policy: Policy, now: float
) -> Mapping[str, GoodCounts]:
    """Return the counts with those counted now.

    Latencies are counted by bound only while a release is watched, so theirs stay as they were at the end of the bake.
    """
    found = {}
    for key, counts in counted.items():
        older = before.get(key)
        if older is not None and older.samples > 0 and now - older.at <= MAX_AGE:
            share = min(1.0, max(0.0, KEPT - counts.samples) / older.samples)
            counts = RequestCounts(counts.samples + share * older.samples, counts.events + share * older.events)
        found[key] = GoodCounts(now, _short(counts.samples), _short(counts.events))
    if not found:
        return before
    for key in _missing(found, before, policy):
        if now - before[key].at <= MAX_AGE:
            found[key] = before[key]
    return found


def with_good_counts(
    counted: Mapping[str, RequestCounts], good: Mapping[str, GoodCounts], policy: Policy, now: float
) -> dict[str, RequestCounts]:
    """Return the counts before a release, with those of the last good state for conditions that have none or few."""
    found = dict(counted)
    for key in _few(counted, good, policy):
        if now - good[key].at <= MAX_AGE:
            found[key] = RequestCounts(found[key].samples + good[key].samples, found[key].events + good[key].events)
    for key in _missing(counted, good, policy):
        if now - good[key].at <= MAX_AGE:
            found[key] = RequestCounts(good[key].samples, good[key].events)
    return found


def is_counted(rule: Rule, good: Mapping[str, GoodCounts], now: float) -> bool:
    """Return whether the last good state has counts for each condition of a rule."""
    recent = [key for key, found in good.items() if now - found.at <= MAX_AGE]
    return bool(rule.conditions) and all(c.signal in recent or tests_in(recent, c) for c in rule.conditions)


def _few(counted: Mapping[str, RequestCounts], good: Mapping[str, GoodCounts], policy: Policy) -> set[str]:
    """Return the keys of conditions with a threshold whose counts are few.

    A comparison with the baseline stays one with the time just before, and so do latencies: both change over the day.
    """
    found: set[str] = set()
    for key, condition in guarded_conditions(policy).items():
        if condition.worse_by is None and policy.signals[condition.signal].quantile is None:
            found.update((key, condition.signal))
    compared = {c.signal for c in guarded_conditions(policy).values() if c.worse_by is not None}
    return {key for key in found & counted.keys() & good.keys() - compared if counted[key].samples < KEPT}


def _missing(
    counted: Mapping[str, RequestCounts] | Mapping[str, GoodCounts], good: Mapping[str, GoodCounts], policy: Policy
) -> set[str]:
    """Return the keys of `good` of conditions without counts in `counted`."""
    found: set[str] = set()
    for condition in guarded_conditions(policy).values():
        if condition.signal not in counted and not tests_in(counted, condition):
            found.update(tests_in(good, condition))
            if condition.signal in good:
                found.add(condition.signal)
    return found


def _short(value: float) -> float:
    """Round to six digits, which keeps the status small."""
    return float(f"{value:.6g}")
