"""The state of the target's dependencies, which may be the cause when more pods do not help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from resilience_operator.api.quantities import format_value
from resilience_operator.decision.model.observation import SignalView
from resilience_operator.decision.model.policy import Dependency
from resilience_operator.decision.report import format_condition


class DependencyState(NamedTuple):
    """One dependency. in_trouble: None if its signal is Unknown. message: the value, or why it is Unknown."""

    name: str
    in_trouble: bool | None
    message: str


def dependency_states(
    dependencies: Sequence[Dependency], views: Mapping[str, SignalView]
) -> tuple[DependencyState, ...]:
    """Return the state of each dependency by the newest value of its signal."""
    return tuple([_state(dependency, views[dependency.condition.signal]) for dependency in dependencies])


def _state(dependency: Dependency, view: SignalView) -> DependencyState:
    condition, (signal, observation) = dependency.condition, view
    if observation.measured is None:
        return DependencyState(dependency.name, None, observation.message or f"{signal.name} is unknown")
    value = observation.measured.value
    crossed = value > condition.threshold if condition.above else value < condition.threshold
    bound = format_condition(condition, signal.unit)
    message = f"{signal.name} is {format_value(value, signal.unit)} ({bound if crossed else f'not {bound}'})"
    return DependencyState(dependency.name, crossed, message)


def suspects(states: Sequence[DependencyState]) -> str:
    """Describe where the cause may be: the dependencies in trouble, or that none of them is."""
    if not states:
        return "Look for the cause outside the pods: a dependency, a lock or a quota"
    bad = [state for state in states if state.in_trouble]
    unknown = [state.name for state in states if state.in_trouble is None]
    if bad:
        found = "; ".join(f"{state.name}: {state.message}" for state in bad)
        return f"At the same time a dependency is in trouble: {found}"
    names = ", ".join(state.name for state in states)
    missing = f" (not measured: {', '.join(unknown)})" if unknown else ""
    return f"No dependency of the policy ({names}) is known to be in trouble{missing}: look for a lock or a quota"
