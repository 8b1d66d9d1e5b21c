"""Adds the content to a rollback, and continues a rollback of template and content that was interrupted."""

from __future__ import annotations

from collections.abc import Mapping

from resilience_operator.decision.configuration.content import NOTHING
from resilience_operator.decision.configuration.names import content_of
from resilience_operator.decision.configuration.revisions import is_known
from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.memory import Memory, ReleaseMemory
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState

UNKNOWN = "ConfigurationUnknown"


def unfinished_rollback(memory: Memory, release: ReleaseMemory, target: TargetState) -> Command | None:
    """Return the interrupted rollback that must be continued.

    None if there is none, if another release replaced it, or if the content is not known any more.
    """
    command = memory.unfinished
    if command is None or target.configuration is None or release.revision != command.from_:
        return None
    return command if target.revision in (None, command.from_) and is_known(target, str(command.to)) else None


def with_content(command: Command, policy: Policy, target: TargetState, now: float) -> Command:
    """Return a rollback with what it restores besides the template. Other commands are returned unchanged.

    at: marks the restarted pods. restart: an object that pods may have read is changed.
    """
    configuration = target.configuration
    if command.verb is not Verb.ROLLBACK or configuration is None or "content" in command.arguments:
        return command
    content, before = content_of(str(command.to)), configuration.objects
    after: Mapping[str, str] = configuration.objects_of(content) or {}
    if content == configuration.digest:
        after = before
    arguments: dict[str, object] = {
        "content": content,
        "policy": policy.name,
        "uid": policy.uid,
        "from": dict(before),
        "to": dict(after),
        "restart": any(before.get(key) and before[key] != digest for key, digest in after.items()),
        "at": int(now),
    }
    changed = sorted(key for key, digest in after.items() if before.get(key) != digest)
    if not changed or content == NOTHING:
        return replace(command, arguments=arguments)
    message = f"{command.message}, with the configuration that it was judged with: {', '.join(changed)}"
    owners = sorted(
        {f"{configuration.delivered[key]} applies {key}" for key in changed if key in configuration.delivered}
    )
    if owners:
        message += f". {'; '.join(owners)}: revert it at its source"
        if not policy.release.hold_delivery:
            message += ", or it is applied again"
    return replace(command, arguments=arguments, message=message)
