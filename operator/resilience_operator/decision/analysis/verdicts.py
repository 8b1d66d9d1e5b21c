"""From judgements to verdicts: applies `for`, and the effect of Unknown on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resilience_operator.decision.analysis.judgement import Judgement
from resilience_operator.decision.model.members import BREACH, OK, PENDING, UNKNOWN
from resilience_operator.decision.model.memory import Timer, Verdict
from resilience_operator.decision.model.observation import Observation, SignalView
from resilience_operator.decision.model.policy import Condition, Rule, Signal

MAX_UNKNOWN_INTERVALS = 3.0
"""Intervals after which Unknown ends a Pending or a Breach."""


@dataclass(slots=True)
class ConditionResult:
    """One condition: its judgement and its new timer. Not frozen for speed, because one is created per condition."""

    condition: Condition
    signal: Signal
    judgement: Judgement
    timer: Timer


def advance_timer(timer: Timer, judgement: Judgement, hold: float, now: float, patience: float) -> Timer:
    """Return a condition's timer after one more judgement; the same object if nothing changed.

    Unknown neither advances nor resets it: the first crossing is kept until Unknown has lasted `patience` seconds.
    A moment in the future counts as now: the clock was set back.
    """
    crossed = judgement.crossed
    last = UNKNOWN
    unknown: float | None = None
    since_crossed: float | None = None
    if crossed is None:
        unknown = now if timer.unknown is None else min(timer.unknown, now)
        since_crossed = timer.crossed if now - unknown < patience else None
        verdict = UNKNOWN
        if judgement.value is None:
            last = timer.last if timer.verdict is UNKNOWN else timer.verdict
    elif crossed:
        since_crossed = now if timer.crossed is None else min(timer.crossed, now)
        verdict = BREACH if now - since_crossed >= hold else PENDING
    else:
        verdict = OK
    same = verdict is timer.verdict
    if same and since_crossed == timer.crossed and unknown == timer.unknown and last is timer.last:
        return timer
    return Timer(verdict, timer.since if same else now, since_crossed, unknown, last)


def last_known(timer: Timer, since: float) -> Verdict:
    """Return the verdict of the last measurement, if that was at `since` or later."""
    return timer.last if timer.unknown is not None and timer.unknown >= since else timer.verdict


def evaluate_conditions(
    rule: Rule,
    timers: Sequence[Timer],
    views: Mapping[str, SignalView],
    judged: Callable[[Condition, Signal, Observation], Judgement],
    now: float,
    patience: float,
) -> tuple[ConditionResult, ...]:
    """Evaluate all conditions of a rule. `timers` may be shorter than the conditions if the rule was extended."""
    results = []
    if len(timers) < len(rule.conditions):
        timers = [*timers, *[Timer(since=now)] * (len(rule.conditions) - len(timers))]
    for condition, timer in zip(rule.conditions, timers, strict=False):
        signal, observation = views[condition.signal]
        judgement = judged(condition, signal, observation)
        timer = advance_timer(timer, judgement, condition.hold, now, patience)
        results.append(ConditionResult(condition, signal, judgement, timer))
    return tuple(results)


def combine(rule: Rule, verdicts: Sequence[Verdict]) -> Verdict:
    """Combine the verdicts of a rule's conditions: the strongest for `any`, the weakest for `all`.

    One Ok decides an `all` and one Breach decides an `any`, even if other conditions are Unknown.
    """
    for verdict in (BREACH, PENDING, UNKNOWN) if rule.any_of else (OK, UNKNOWN, PENDING):
        if verdict in verdicts:
            return verdict
    return OK if rule.any_of else BREACH


def verdict_of(rule: Rule, results: Sequence[ConditionResult]) -> Verdict:
    """Return the verdict of a rule."""
    if len(results) == 1:
        return results[0].timer.verdict
    return combine(rule, [r.timer.verdict for r in results])


def breach_since(
    before: float | None, verdict: Verdict, results: Sequence[ConditionResult], now: float
) -> float | None:
    """Return since when the rule is in breach. A short Unknown keeps the time, so that `after` continues."""
    if verdict is BREACH:
        return now if before is None else min(before, now)
    if verdict is UNKNOWN and any(r.timer.crossed is not None for r in results):
        return before
    return None
