"""Judges a revision without old pods beside it: only the time before the release is left to compare with.

A shared cause looks the same. So the breach must have begun with the exposure of the new revision, must have lasted,
and no other workload may have been hit at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.analysis import sequential
from resilience_operator.decision.analysis.judgement import (
    LATE_ONSET,
    LOAD_GREW,
    SHARED_BEFORE,
    SHARED_INCIDENT,
    CanaryContext,
    Judgement,
)
from resilience_operator.decision.model.memory import RequestCounts
from resilience_operator.decision.model.policy import Signal
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.score import LiveScore, Slot

SHARED_WINDOWS = 3
"""How many times longer a breach must last that other workloads have too. A bad release may cause theirs."""

GROWTH = 1.5
"""Factor of the load from which latencies are not compared with those before the release: queues grow faster."""

RECENT_SLOTS = 12
"""Latest slots whose requests are the current load."""


@dataclass(frozen=True, slots=True)
class Alone:
    """What is known of a revision whose old pods are gone.

    before: the evidence against the old state. crossing: the judgement of the new revision alone. sides: the counts of
    both sides. baseline: the counts before the release. clean: the failure rates of
    a revision like its baseline, and of one that fails. known: requests of the old state were counted, beside the
    release or before it. was_shared: the old pods were in breach too while they served, too briefly to show whether as
    often. suspect: worse than before the release, whatever the cause.
    """

    signal: Signal
    live: LiveScore
    canary: CanaryContext
    crossing: Judgement
    sides: str
    before: float
    baseline: RequestCounts | None
    clean: tuple[float, float]
    known: bool
    was_shared: bool
    suspect: bool = False


def judge_alone(case: Alone) -> Judgement:
    """Return whether the breach is the new revision's."""
    signal, live, canary, score = case.signal, case.live, case.canary, case.live.score

    def unproven(reason: str, why: str) -> Judgement:
        return Judgement(None, reason, f"{signal.name}: {case.sides}: {why}", case.crossing.value, suspect=case.suspect)

    if not case.known:
        return unproven("Inconclusive", "no requests were counted before the release to compare with")
    if case.before < canary.limit or score.failing < sequential.MIN_FAILING or not live.slots:
        return unproven("Inconclusive", "not significantly worse than before the release")
    if score.served_clean is not None and _was_clean_when_exposed(live, *case.clean):
        return unproven(
            LATE_ONSET,
            "the revision served without this breach after it was exposed, and no old pods are left to compare with",
        )
    if signal.quantile is not None and (grown := _load_grew(signal, live, case.baseline)) is not None:
        return unproven(LOAD_GREW, f"{grown}, which may be why it is slower")
    lasted = 0.0 if live.crossed_since is None else canary.now - live.crossed_since
    needed = seconds_needed(signal, live)
    if canary.shared_incident and lasted < needed * SHARED_WINDOWS:
        return unproven(
            SHARED_INCIDENT,
            "other workloads came into breach at the same time, so the cause may be shared; it counts after "
            f"{format_duration(needed * SHARED_WINDOWS)}",
        )
    if case.was_shared and not _has_receded(signal, live, canary):
        return unproven(
            SHARED_BEFORE,
            "the old pods were in breach too before they ended, and the new ones still fail as often, so the cause may "
            "be shared",
        )
    if lasted < needed:
        return unproven(
            "NotProvenYet",
            f"no old pods are left to compare with, so the breach must last {format_duration(needed)}",
        )
    return replace(
        case.crossing, crossed=True, reason="Crossed", message=f"{case.sides}, since the new revision was exposed"
    )


def seconds_needed(signal: Signal, live: LiveScore) -> float:
    """Return the seconds that a breach must last without old pods beside it.

    A window shows a breach for as long as it reaches back, so without increments it must last twice as long.
    """
    return signal.window * (2 if live.windowed else 1)


def _load_grew(signal: Signal, live: LiveScore, before: RequestCounts | None) -> str | None:
    """Return a description if the target has far more requests than before the release; None otherwise."""
    recent = [s for s in live.slots[-RECENT_SLOTS:] if s.end > s.start]
    if before is None or not recent:
        return None
    usual = before.samples / signal.window
    now = sum(s.new_requests + s.old_requests for s in recent) / sum(s.end - s.start for s in recent)
    if now < usual * GROWTH:
        return None
    return f"the target has {now:.3g} requests/s, and had {usual:.3g} before the release"


def _was_clean_when_exposed(live: LiveScore, good: float, bad: float) -> bool:
    """Return whether the new revision certainly served like its baseline at some time after all pods ran it.

    Before, it had only a part of the load. If that is too long ago to be known, it did.
    """
    last = max([number for number, slot in enumerate(live.slots) if slot.old_requests > 0], default=None)
    if last is None or not 0 < good < bad < 1:
        return True
    found = 0.0
    for slot in live.slots[last + 1 :]:
        found += sequential.log_clean(slot.new_requests, slot.new_failures, good, bad)
        if found >= sequential.CLEAN:
            return True
    return False


def _has_receded(signal: Signal, live: LiveScore, canary: CanaryContext) -> bool:
    """Return whether the new revision now fails less often than in the time that it shared with the old pods.

    What they shared is then over. If the new revision is still in breach, the rest is its own.
    """
    old, recent = live.score.old_side, sum_slots(s for s in live.slots if s.end > canary.now - signal.window)
    spread = sequential.dispersion(live.score)
    found = sequential.log_evidence_before(old.requests, old.failures, recent.new_requests, recent.new_failures, spread)
    return found >= sequential.COMBINED or _has_fallen(signal, live, canary, spread)


def _has_fallen(signal: Signal, live: LiveScore, canary: CanaryContext, spread: float) -> bool:
    """Return whether the failures of the new revision fell since, and are not falling any more.

    Both halves of the look-back window must be below the first ones that are known, and alike. So a breach that ends
    just now is not taken for one that stays.
    """
    begin, middle = canary.now - signal.window, canary.now - signal.window / 2
    earlier = [s for s in live.slots if s.end <= begin and s.new_requests > 0]
    if not earlier:
        return False
    before = sum_slots(s for s in earlier if s.end <= earlier[0].start + signal.window)
    halves = [
        sum_slots(s for s in live.slots if begin < s.end <= middle),
        sum_slots(s for s in live.slots if s.end > middle),
    ]

    def fell(first: Slot, last: Slot) -> float:
        return sequential.log_evidence_before(
            first.new_requests, first.new_failures, last.new_requests, last.new_failures, spread
        )

    return all(fell(before, half) >= sequential.COMBINED for half in halves) and fell(*halves) <= 0.0


def sum_slots(slots: Iterable[Slot]) -> Slot:
    """Return the counts of several slots together."""
    found = list(slots)
    return Slot(
        found[0].start if found else 0.0,
        found[-1].end if found else 0.0,
        sum(s.new_requests for s in found),
        sum(s.new_failures for s in found),
        sum(s.old_requests for s in found),
        sum(s.old_failures for s in found),
    )
