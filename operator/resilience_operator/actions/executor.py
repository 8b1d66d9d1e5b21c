"""Executes commands, or only records them in a dry run, depending on the policy's mode."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from resilience_operator.actions import rollout
from resilience_operator.actions.protocol import ActionHandler
from resilience_operator.actions.scale import adopt_minimum, scale
from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.mutations import Change
from resilience_operator.resilience import CallError, Clock, Conflict, Deadline, NotFound

REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

FORBIDDEN_GRACE = 10.0
"""Seconds for which a refusal may come from a starting API server: it refuses everything until its accounts and roles
are loaded."""

FORBIDDEN_RESET = 900.0
"""Seconds after which a refusal counts as a new one: more than the longest interval."""

VERBS: Mapping[Verb, ActionHandler] = {
    Verb.SCALE_UP: scale,
    Verb.SCALE_DOWN: scale,
    Verb.ADOPT_MINIMUM: adopt_minimum,
    Verb.PAUSE: rollout.pause,
    Verb.RESUME: rollout.resume,
    Verb.ROLLBACK: rollout.rollback,
    Verb.FREEZE: rollout.pause,
    Verb.UNFREEZE: rollout.resume,
    Verb.DENY_ROLLBACK: rollout.deny,
    Verb.KEEP_CONFIGURATION: rollout.keep,
    Verb.LIFT_HOLD: rollout.lift_hold,
}


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """Outcomes in the order of the commands. changes: the writes to the cluster."""

    outcomes: tuple[Outcome, ...]
    changes: tuple[Change, ...] = ()


class Executor(Protocol):
    """Executes the commands of one decision, in order."""

    @property
    def changes_cluster(self) -> bool:
        """Whether it changes the cluster, so that an intent must be stored first."""
        ...

    async def execute(self, target: TargetState, commands: Sequence[Command], deadline: Deadline) -> ExecutionResult:
        """Return one outcome per command. Raises nothing but cancellation."""
        ...


class LiveExecutor:
    """Changes the cluster."""

    changes_cluster = True

    def __init__(self, kube: KubeClient, *, clock: Clock = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._refusals: dict[tuple[str, Verb], tuple[float, float]] = {}

    async def execute(self, target: TargetState, commands: Sequence[Command], deadline: Deadline) -> ExecutionResult:
        """Execute each command, even if others fail: a rollback does not depend on a scale-up."""
        outcomes: list[Outcome] = []
        changes: list[Change] = []
        for command in commands:
            key = (target.uid, command.verb)
            try:
                change = await VERBS[command.verb](self._kube, target, command, deadline=deadline)
            except (Conflict, NotFound) as error:
                outcomes.append(Outcome(command, Result.SUPERSEDED, str(error)))
            except CallError as error:
                passing = error.status in REFUSED and self._may_pass(key)
                result = Result.POSTPONED if passing else Result.FAILED
                outcomes.append(Outcome(command, result, str(error), error.status == HTTPStatus.FORBIDDEN))
            else:
                self._refusals.pop(key, None)
                outcomes.append(Outcome(command, Result.DONE))
                if change is not None:
                    changes.append(change)
        return ExecutionResult(tuple(outcomes), tuple(changes))

    def _may_pass(self, key: tuple[str, Verb]) -> bool:
        """Return whether the refusals of an action began recently. Records the first and last refusal."""
        now = self._clock()
        self._refusals = {
            k: (first, last) for k, (first, last) in self._refusals.items() if now - last < FORBIDDEN_RESET
        }
        first, _ = self._refusals.get(key, (now, now))
        self._refusals[key] = (first, now)
        return now - first < FORBIDDEN_GRACE


class DryRunExecutor:
    """Changes nothing and reports every command as a dry run."""

    changes_cluster = False

    async def execute(self, target: TargetState, commands: Sequence[Command], deadline: Deadline) -> ExecutionResult:
        """Record every command as a dry run."""
        del target, deadline
        return ExecutionResult(tuple(Outcome(command, Result.DRY_RUN) for command in commands))
