"""The trace of a run: what a scenario's expectations are checked against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from resilience_operator.cli.report.model import TimelineEvent
from resilience_operator.decision.model.memory import Phase, Verdict
from resilience_operator.decision.model.target import TargetState
from resilience_operator.simulation.engine import EvaluationStep
from resilience_operator.status.conditions import conditions_of


class Requests(NamedTuple):
    """Requests since the start of a run: all, and those that failed."""

    total: float = 0.0
    failed: float = 0.0


class SignalState(NamedTuple):
    """A signal as the status shows it."""

    verdict: Verdict
    reason: str
    message: str


class ConditionState(NamedTuple):
    """A condition as the status shows it."""

    status: str
    reason: str
    message: str


class Moment(NamedTuple):
    """One evaluation. at: seconds from the start. pods: the pods that exist. conditions: empty if not recorded."""

    at: float
    target: TargetState
    pods: int
    phase: Phase
    requests: Requests
    signals: Mapping[str, SignalState]
    conditions: Mapping[str, ConditionState]


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole run. events: decisions, notices and external events, in order. start: seconds since the epoch."""

    start: float
    interval: float
    moments: Sequence[Moment]
    events: Sequence[TimelineEvent]

    @property
    def end(self) -> float:
        """The time of the last evaluation, seconds from the start."""
        return self.moments[-1].at


@dataclass(slots=True)
class TraceBuilder:
    """Builds the trace of a run from its evaluations.

    start: seconds since the epoch. with_conditions: record the conditions, which takes time.
    """

    start: float
    with_conditions: bool = False
    moments: list[Moment] = field(default_factory=list)

    def add(self, step: EvaluationStep, at: float, pods: int, requests: Requests) -> None:
        """Add one evaluation. at: seconds since the epoch. pods: those that exist."""
        decision = step.decision
        release = step.memory.release
        assert release is not None
        self.moments.append(
            Moment(
                at - self.start,
                step.target,
                pods,
                release.phase,
                requests,
                {s.name: SignalState(s.verdict, s.reason, s.message) for s in decision.signals},
                _conditions(step) if self.with_conditions else {},
            )
        )

    def trace(self, events: Sequence[TimelineEvent], interval: float) -> Trace:
        """The complete trace."""
        return Trace(self.start, interval, self.moments, events)


def _conditions(step: EvaluationStep) -> Mapping[str, ConditionState]:
    found = conditions_of(step.decision, step.memory, ())
    return {c.type: ConditionState(c.status, c.reason, c.message) for c in found}
