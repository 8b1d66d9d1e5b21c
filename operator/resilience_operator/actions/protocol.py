"""The handler of a verb: a coroutine that makes one change and returns it."""

from __future__ import annotations

from typing import Protocol

from resilience_operator.decision.model.commands import Command
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.mutations import Change
from resilience_operator.resilience import Deadline


class ActionHandler(Protocol):
    """Makes a command's change; returns None if it is already in effect. Raises `CallError`s."""

    async def __call__(
        self, kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline
    ) -> Change | None:
        """Execute `command` on `target`."""
        ...
