"""Reads the object that applies a target from git, before a rollback and while the target is held."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from resilience_operator.decision.configuration.revisions import objects_in
from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.policy import Mode, Policy
from resilience_operator.decision.model.target import DeliveredBy, SourceState, TargetState
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.delivery_sources import MISSING, read_source
from resilience_operator.kube.writes.gitops_hold import SWITCHES
from resilience_operator.resilience import CallError, Deadline

log = logging.getLogger(__name__)

READ_TIME = 3.0
"""Maximum seconds of one read. A rollback does not wait longer for it."""


class DeliveryReader:
    """Adds the version of the source to held targets, and the hold to rollbacks."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    async def read(self, target: TargetState) -> TargetState:
        """Return the target with the version of its source, if it is held and that can be read."""
        owner = target.delivered_by
        if not target.hold_marked or owner is None or owner.kind not in SWITCHES:
            return target
        source = await self._read(owner)
        return target if isinstance(source, str) else replace(target, source=source)

    async def with_hold(
        self, policy: Policy, target: TargetState, commands: tuple[Command, ...]
    ) -> tuple[Command, ...]:
        """Return the commands, with the hold for a rollback if the policy wants it; else the same object."""
        owner = target.delivered_by
        if not policy.release.hold_delivery or policy.mode is not Mode.ENFORCE or owner is None:
            return commands
        if not any(_may_hold(c) for c in commands):
            return commands
        arguments, message = await self._hold(target, owner)
        return tuple(_extended(commands, arguments, message, target))

    async def _hold(self, target: TargetState, owner: DeliveredBy) -> tuple[dict[str, object], str]:
        """Return the arguments of the hold, or none, and what to say."""
        if owner.kind not in SWITCHES:
            return {}, f"{owner} is not held: it has no setting for a single object"
        if target.reconcile_disabled and not target.hold_marked:
            return {}, f"{owner} does not reconcile it: somebody disabled that"
        source = await self._read(owner)
        if isinstance(source, str) or source == MISSING:
            return {}, f"{owner} is not held: {source if isinstance(source, str) else 'it does not exist'}"
        arguments = {"hold": str(owner), "source": source.identity, "uncertain": not source.settled}
        return arguments, f"{owner} leaves it as it is until its source changes"

    async def _read(self, owner: DeliveredBy) -> SourceState | str:
        """Return the version of the source, or why it cannot be read."""
        try:
            return await read_source(self._kube, owner, deadline=Deadline.after(READ_TIME))
        except (CallError, ValueError) as error:
            log.info("the source of %s cannot be read: %s", owner, error)
            return str(error)


def _extended(
    commands: Iterable[Command], arguments: dict[str, object], message: str, target: TargetState
) -> Iterable[Command]:
    for command in commands:
        if _may_hold(command):
            held = {"held": list(found)} if "hold" in arguments and (found := _held(command, target)) else {}
            yield replace(
                command, message=f"{command.message}; {message}", arguments={**command.arguments, **arguments, **held}
            )
        else:
            yield command


def _held(command: Command, target: TargetState) -> tuple[str, ...]:
    """Return the restored objects that the target's own owner applies too: it would undo half of the rollback."""
    before, after = objects_in(command, "from"), objects_in(command, "to")
    delivered = target.configuration.delivered if target.configuration is not None else {}
    changed = (key for key, digest in after.items() if digest and before.get(key) and before[key] != digest)
    return tuple(sorted(key for key in changed if delivered.get(key) == str(target.delivered_by)))


def _may_hold(command: Command) -> bool:
    """Return whether it is a rollback; one that was interrupted has its hold already."""
    return command.verb is Verb.ROLLBACK and "hold" not in command.arguments
