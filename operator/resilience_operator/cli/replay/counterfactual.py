"""The recorded target without the operator's own actions, so that the replayed policy decides independently.

Scaling by the operator is removed: the target keeps its size, and signals that pods share are converted to that size.
Actions on a release cannot be removed, since the metrics of the bad pods were not recorded after them. They are delayed
by `GRACE` intervals: until then the target and the measurements stay as before the action. A replay evaluates at other
times than the operator did, and may be that late.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from resilience_operator.cli.replay.target_history import TargetHistory
from resilience_operator.decision.model.target import MANAGER, TargetState

GRACE = 2
"""Intervals by which the operator's release actions are delayed."""


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """For each number: the target that the policy sees, and the number of its measurements."""

    states: list[TargetState]
    sources: list[int]


def without_operator(history: TargetHistory, step: float, interval: float) -> Counterfactual:
    """Remove the operator's own actions from a target history."""
    states = list(history.states)
    sources = list(range(len(states)))
    _remove_scaling(history, states)
    grace = ceil(GRACE * interval / step) + 1
    for number, before, now in history.changes():
        if _own_on_release(before, now):
            source = sources[number - 1]
            for later in range(number, min(number + grace, history.end)):
                sources[later] = source
    return Counterfactual([states[source] for source in sources], sources)


def _own_on_release(before: TargetState, now: TargetState) -> bool:
    """Whether the operator paused, resumed or rolled back between these states."""
    if now.revision != before.revision and now.template_by == MANAGER:
        return True
    return now.paused != before.paused and MANAGER in (now.paused_by, before.paused_by)


def _remove_scaling(history: TargetHistory, states: list[TargetState]) -> None:
    """Set the replicas that the target would have had."""
    if not states:
        return
    size, by = states[history.first].replicas, ""
    made: tuple[TargetState, int] | None = None
    for number in range(history.first, history.end):
        really = history.states[number]
        if (
            number > history.first
            and really.replicas != history.states[number - 1].replicas
            and really.scaled_by != MANAGER
        ):
            size, by = really.replicas, really.scaled_by
        if size == really.replicas:
            continue
        if made is not None and made[0] is really and made[1] == size:
            states[number] = states[number - 1]
            continue
        made = really, size
        ready = min(size, max(0, really.ready + size - really.replicas))
        states[number] = replace(really, replicas=size, ready=ready, scaled_by=by)
