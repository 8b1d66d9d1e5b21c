"""From judgements to verdicts: `for`, and what Unknown does to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resilience_operator.decision.analysis.evidence import Judgement
from resilience_operator.decision.model.memory import Timer, Verdict
from resilience_operator.decision.model.observation import Observation, SignalView
from resilience_operator.decision.model.policy import Condition, Rule, Signal

MAX_UNKNOWN_INTERVALS = 3.0
"""Intervals that Unknown may last before it ends a Pending or a Breach."""


@dataclass(slots=True)
class ConditionResult:
    """One condition now: its judgement, and its timer after it. Made for each, so it is not frozen: that costs time."""

    condition: Condition
    signal: Signal
    judgement: Judgement
    timer: Timer


def advance_timer(timer: Timer, judgement: Judgement, hold: float, now: float, patience: float) -> Timer:
    """A condition's timer after one more judgement; the same object when nothing changed.

    Unknown neither proves nor resets: the first crossing is kept until Unknown has lasted `patience` seconds.
    """
    crossed = judgement.crossed
    last = Verdict.UNKNOWN
    unknown: float | None = None
    since_crossed: float | None = None
    if crossed is None:
        unknown = now if timer.unknown is None else timer.unknown
        since_crossed = timer.crossed if now - unknown < patience else None
        verdict = Verdict.UNKNOWN
        if judgement.value is None:
            last = timer.last if timer.verdict is Verdict.UNKNOWN else timer.verdict
    elif crossed:
        since_crossed = now if timer.crossed is None else timer.crossed
        verdict = Verdict.BREACH if now - since_crossed >= hold else Verdict.PENDING
    else:
        verdict = Verdict.OK
    same = verdict is timer.verdict
    if same and since_crossed == timer.crossed and unknown == timer.unknown and last is timer.last:
        return timer
    return Timer(verdict, timer.since if same else now, since_crossed, unknown, last)


def last_known(timer: Timer, since: float) -> Verdict:
    """The verdict when there last was a measurement, if that was at `since` or later."""
    return timer.last if timer.unknown is not None and timer.unknown >= since else timer.verdict


def evaluate_conditions(
    rule: Rule,
    timers: Sequence[Timer],
    views: Mapping[str, SignalView],
    judged: Callable[[Condition, Signal, Observation], Judgement],
    now: float,
    patience: float,
) -> tuple[ConditionResult, ...]:
    """All conditions of a rule now. `timers` may be shorter than the conditions when the rule has grown."""
    results = []
    for index, condition in enumerate(rule.conditions):
        signal, observation = views[condition.signal]
        judgement = judged(condition, signal, observation)
        timer = timers[index] if index < len(timers) else Timer(since=now)
        timer = advance_timer(timer, judgement, condition.hold, now, patience)
        results.append(ConditionResult(condition, signal, judgement, timer))
    return tuple(results)


def combine(rule: Rule, verdicts: Sequence[Verdict]) -> Verdict:
    """A rule's verdict from its conditions': the strongest for `any`, the weakest for `all`.

    What is Ok settles an `all`, and what is in Breach settles an `any`, whatever is Unknown beside it.
    """
    order = (
        (Verdict.BREACH, Verdict.PENDING, Verdict.UNKNOWN)
        if rule.any_of
        else (Verdict.OK, Verdict.UNKNOWN, Verdict.PENDING)
    )
    for verdict in order:
        if verdict in verdicts:
            return verdict
    return Verdict.OK if rule.any_of else Verdict.BREACH


def verdict_of(rule: Rule, results: Sequence[ConditionResult]) -> Verdict:
    """A rule's verdict now."""
    if len(results) == 1:
        return results[0].timer.verdict
    return combine(rule, [r.timer.verdict for r in results])


def breach_since(
    before: float | None, verdict: Verdict, results: Sequence[ConditionResult], now: float
) -> float | None:
    """Since when the rule is in breach. A passing Unknown keeps it, so that `after` goes on counting."""
    if verdict is Verdict.BREACH:
        return now if before is None else before
    if verdict is Verdict.UNKNOWN and any(r.timer.crossed is not None for r in results):
        return before
    return None
