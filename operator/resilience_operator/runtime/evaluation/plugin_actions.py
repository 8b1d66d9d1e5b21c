"""Runs action plugins in the background: an evaluation starts a call and does not wait for it.

A call starts after the status was written. The status holds the breach and so the call's idempotency key: after a
crash, the next process repeats the call with the same key. The policy's next evaluation records the outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from resilience_operator.decision.model.commands import Command, Outcome, Result
from resilience_operator.decision.model.target import TargetState
from resilience_operator.plugins.actions import RUN_SECONDS, Actions
from resilience_operator.plugins.failures import PluginFailed
from resilience_operator.plugins.protocols import ActionCall
from resilience_operator.resilience import CallError, Deadline
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.containment import Stage, contain


class PluginActionRunner:
    """All plugin calls of a process. on_result: called with the policy as soon as an outcome is available."""

    def __init__(self, actions: Actions, on_result: Callable[[PolicyEntry], None]) -> None:
        self._actions = actions
        self._on_result = on_result
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._outcomes: dict[str, list[Outcome]] = {}

    def problem(self, name: str, namespace: str) -> str:
        """Return why a policy in this namespace may not use this plugin; empty if it may."""
        return self._actions.problem(name, namespace)

    def start(self, entry: PolicyEntry, target: TargetState, command: Command) -> None:
        """Start a call, unless it is running or its outcome is pending."""
        key = str(command.arguments["key"])
        pending = any(outcome.command.arguments["key"] == key for outcome in self._outcomes.get(entry.uid, ()))
        problem = self.problem(str(command.arguments["plugin"]), entry.namespace)
        if pending or key in self._under_way or problem:
            return
        task = asyncio.create_task(self._run(entry, target, command), name=f"plugin {command.arguments['plugin']}")
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key, None))

    def has_results(self, uid: str) -> bool:
        """Return True if a policy has pending outcomes."""
        return uid in self._outcomes

    def drain_results(self, entry: PolicyEntry) -> tuple[Outcome, ...]:
        """Return the pending outcomes and clear them."""
        return tuple(self._outcomes.pop(entry.uid, ()))

    def forget(self, uid: str) -> None:
        """Drop the outcomes of a deleted policy."""
        self._outcomes.pop(uid, None)

    async def shutdown(self) -> None:
        """Cancel running calls; the next process repeats them."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._actions.close()

    async def _run(self, entry: PolicyEntry, target: TargetState, command: Command) -> None:
        try:
            message = await self._actions.run(str(command.arguments["plugin"]), _call(entry, target, command))
        except (PluginFailed, CallError) as failure:
            outcome = Outcome(command, Result.FAILED, failure.message)
        except Exception as error:  # without an outcome, the call would be repeated forever
            contain(Stage.PLUGIN, *entry.key, error)
            outcome = Outcome(command, Result.FAILED, f"it failed with {type(error).__name__}")
        else:
            outcome = Outcome(command, Result.DONE, message)
        if not entry.deleted:
            self._outcomes.setdefault(entry.uid, []).append(outcome)
            try:
                self._on_result(entry)
            except Exception as error:  # the next evaluation collects the outcome in any case
                contain(Stage.PLUGIN, *entry.key, error)


def _call(entry: PolicyEntry, target: TargetState, command: Command) -> ActionCall:
    arguments: Any = command.arguments
    return ActionCall(
        key=arguments["key"],
        namespace=entry.namespace,
        policy=entry.name,
        rule=command.rule,
        kind=target.kind,
        target=target.name,
        since=arguments["breach"],
        message=command.message,
        deadline=Deadline.after(RUN_SECONDS),
        arguments=arguments["with"],
    )
