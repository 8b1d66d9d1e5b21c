"""Runs a policy over recorded data or a simulated workload, with the `decide` and `apply_outcomes` of the operator.

`replay` shows what the policy would have done. Recorded data does not react, so it is a dry run: each command goes into
the overlay of `decision.dry_run`. `simulate` closes the loop: a simulated workload executes the commands, and what is
measured next depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from resilience_operator.api.spec import Mode
from resilience_operator.decision.decide import Decision, decide
from resilience_operator.decision.model.commands import Outcome, Result
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.outcomes import apply_outcomes
from resilience_operator.simulation.workload import Workload


@dataclass(frozen=True, slots=True)
class Sample:
    """What was recorded at one time: observations by signal, and the target. at: seconds since the epoch."""

    at: float
    observations: Mapping[str, Observation]
    target: TargetState


@dataclass(frozen=True, slots=True)
class EvaluationStep:
    """One evaluation: the decision, what became of its commands, and what is remembered after them.

    target: the real one, without a dry-run overlay.
    """

    target: TargetState
    decision: Decision
    outcomes: tuple[Outcome, ...]
    memory: Memory

    @property
    def at(self) -> float:
        """Seconds since the epoch."""
        return self.decision.at

    @property
    def quiet(self) -> bool:
        """Whether nothing was done and nothing told."""
        return not self.outcomes and not self.decision.notices


Environment = Callable[[float, Workload], tuple[Workload, Mapping[str, Observation]]]
"""What happens at a time: given the workload, the workload after what people and pipelines do to it, and what is
measured of it."""


def replay(policy: Policy, samples: Iterable[Sample], memory: Memory | None = None) -> Iterator[EvaluationStep]:
    """What `policy` would have done at each of `samples`, which are in order of time."""
    policy = replace(policy, mode=Mode.DRY_RUN)
    memory = memory or Memory()
    for sample in samples:
        step = evaluate(policy, sample.observations, sample.target, memory, sample.at, Result.DRY_RUN)
        memory = step.memory
        yield step


def simulate(
    policy: Policy, workload: Workload, scene: Environment, start: float, end: float, memory: Memory | None = None
) -> Iterator[tuple[Workload, EvaluationStep]]:
    """The workload that was judged and the evaluation, from `start` until before `end`.

    Evaluations are an interval apart, and earlier where a decision asks to be woken. With `mode: DryRun` the workload
    only obeys the scene.
    """
    memory, now = memory or Memory(), start
    result = Result.DRY_RUN if policy.mode is Mode.DRY_RUN else Result.DONE
    while now < end:
        workload, observations = scene(now, workload.advance(now))
        step = evaluate(policy, observations, workload.state(now), memory, now, result)
        yield workload, step
        if result is Result.DONE:
            for command in step.decision.commands:
                workload = workload.apply(command, now)
        memory, wake = step.memory, step.decision.wake
        now = now + policy.interval if wake is None else min(now + policy.interval, wake)


def evaluate(
    policy: Policy,
    observations: Mapping[str, Observation],
    target: TargetState,
    memory: Memory,
    now: float,
    result: Result,
) -> EvaluationStep:
    """One evaluation. result: of all its commands."""
    decision = decide(policy, observations, target, memory, now)
    outcomes = tuple(Outcome(command, result) for command in decision.commands)
    return EvaluationStep(target, decision, outcomes, apply_outcomes(decision.memory, outcomes, target, now))
