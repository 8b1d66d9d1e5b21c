"""The past without what the operator itself did in it, so that the policy decides for itself and finds no answers.

What it scaled is taken out altogether: the target goes on as it was, and signals that pods share are converted to the
pods there would have been. What it did to a release cannot be taken out, since nobody measured how the bad pods would
have fared. It is seen a little later than it happened (`GRACE` looks): until then the target and the measurements
stand as they were right before. A replay looks at other moments than the operator did, and may be that late.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from resilience_operator.cli.replay.target_history import TargetHistory
from resilience_operator.decision.model.target import MANAGER, TargetState

GRACE = 2
"""Intervals."""


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """By number: the target as the policy sees it, and the number whose measurements it sees."""

    states: list[TargetState]
    sources: list[int]


def without_operator(past: TargetHistory, step: float, interval: float) -> Counterfactual:
    """`past` without the operator's own doings."""
    states = list(past.states)
    sources = list(range(len(states)))
    _remove_scaling(past, states)
    grace = ceil(GRACE * interval / step) + 1
    for number, before, now in past.changes():
        if _own_on_release(before, now):
            source = sources[number - 1]
            for later in range(number, min(number + grace, past.end)):
                sources[later] = source
    return Counterfactual([states[source] for source in sources], sources)


def _own_on_release(before: TargetState, now: TargetState) -> bool:
    """Whether the operator paused, resumed or rolled back here."""
    if now.revision != before.revision and now.template_by == MANAGER:
        return True
    return now.paused != before.paused and MANAGER in (now.paused_by, before.paused_by)


def _remove_scaling(past: TargetHistory, states: list[TargetState]) -> None:
    """Give the target the replicas that it would have had."""
    if not states:
        return
    size, by = states[past.first].replicas, ""
    made: tuple[TargetState, int] | None = None
    for number in range(past.first, past.end):
        really = past.states[number]
        if number > past.first and really.replicas != past.states[number - 1].replicas and really.scaled_by != MANAGER:
            size, by = really.replicas, really.scaled_by
        if size == really.replicas:
            continue
        if made is not None and made[0] is really and made[1] == size:
            states[number] = states[number - 1]
            continue
        made = really, size
        ready = min(size, max(0, really.ready + size - really.replicas))
        states[number] = replace(really, replicas=size, ready=ready, scaled_by=by)
