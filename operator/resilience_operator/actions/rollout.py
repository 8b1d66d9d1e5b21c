"""pauseRollout, resumeRollout, rollback, and the verbs of freezes and approvals."""

from __future__ import annotations

from resilience_operator.decision.model.commands import Command
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes import configuration, configuration_delivery, mutations
from resilience_operator.resilience import Deadline


async def pause(
    kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline
) -> mutations.Change | None:
    """Pause the rollout of `command.from_`, or for a freeze, before a template arrives."""
    del command
    return await mutations.pause(kube, target, deadline=deadline)


async def resume(
    kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline
) -> mutations.Change | None:
    """Lift the operator's own pause, of a failing release or for a freeze."""
    del command
    return await mutations.resume(kube, target, deadline=deadline)


async def rollback(
    kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline
) -> mutations.Change | None:
    """Restore the configuration of the revision `command.to`; then its template, and unpause, in one patch."""
    restart_at: int | None = None
    if "content" in command.arguments:
        await configuration.restore(kube, target, command, deadline=deadline)
        restart_at = int(str(command.arguments["at"])) if command.arguments.get("restart") else None
    held = configuration_delivery.held_by(command) if command.arguments.get("hold") else None
    return await mutations.rollback(kube, target, str(command.to), deadline=deadline, restart_at=restart_at, held=held)


async def keep(
    kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline
) -> mutations.Change | None:
    """Keep what the revision `command.to` reads, for a rollback."""
    return await configuration.keep(kube, target, command, deadline=deadline)


async def lift_hold(
    kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline
) -> mutations.Change | None:
    """Let the tool that applies the target from git reconcile it again, with its configuration."""
    del command
    await configuration_delivery.lift_holds(kube, target, deadline=deadline)
    return await mutations.lift_hold(kube, target, deadline=deadline)


async def deny(
    kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline
) -> mutations.Change | None:
    """Change nothing: a denied rollback is only recorded."""
    del kube, target, command, deadline
    return None
