"""Calls of action plugins under way. Nobody waits for them: a policy's evaluation begins a call and goes on.

A call begins after the status was written, which holds the breach and with it the call's key: after a crash the next
process calls again under the same key. The outcome is handed in at the policy's next evaluation, which records it.
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
    """All calls of a process. `arrived` is told of a policy as soon as an outcome of its own is there."""

    def __init__(self, actions: Actions, arrived: Callable[[PolicyEntry], None]) -> None:
        self._actions = actions
        self._arrived = arrived
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._outcomes: dict[str, list[Outcome]] = {}

    def problem(self, name: str, namespace: str) -> str:
        """Why a rule of a policy in this namespace may not name this plugin; empty when it may."""
        return self._actions.problem(name, namespace)

    def start(self, entry: PolicyEntry, target: TargetState, command: Command) -> None:
        """Begin a call, unless it is under way or its outcome waits to be taken."""
        key = str(command.arguments["key"])
        waits = any(outcome.command.arguments["key"] == key for outcome in self._outcomes.get(entry.uid, ()))
        problem = self.problem(str(command.arguments["plugin"]), entry.namespace)
        if waits or key in self._under_way or problem:
            return
        task = asyncio.create_task(self._run(entry, target, command), name=f"plugin {command.arguments['plugin']}")
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key, None))

    def has_results(self, uid: str) -> bool:
        """Whether outcomes of a policy wait to be taken."""
        return uid in self._outcomes

    def drain_results(self, entry: PolicyEntry) -> tuple[Outcome, ...]:
        """The outcomes since the last time, each once."""
        return tuple(self._outcomes.pop(entry.uid, ()))

    def forget(self, uid: str) -> None:
        """A policy is gone."""
        self._outcomes.pop(uid, None)

    async def shutdown(self) -> None:
        """Call off what is under way; it is called again by whoever takes over."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._actions.close()

    async def _run(self, entry: PolicyEntry, target: TargetState, command: Command) -> None:
        try:
            said = await self._actions.run(str(command.arguments["plugin"]), _call(entry, target, command))
        except (PluginFailed, CallError) as failure:
            outcome = Outcome(command, Result.FAILED, failure.message)
        except Exception as error:  # without an outcome it would be called for ever
            contain(Stage.PLUGIN, *entry.key, error)
            outcome = Outcome(command, Result.FAILED, f"it went wrong with {type(error).__name__}")
        else:
            outcome = Outcome(command, Result.DONE, said)
        if not entry.deleted:
            self._outcomes.setdefault(entry.uid, []).append(outcome)
            try:
                self._arrived(entry)
            except Exception as error:  # it is taken up at the next evaluation all the same
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
