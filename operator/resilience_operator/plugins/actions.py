"""The action plugins that rules may name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from resilience_operator.plugins.bulkhead import PluginRunner
from resilience_operator.plugins.config import NamespacedPluginConfig
from resilience_operator.plugins.discovery import UnavailablePlugin, installed, load
from resilience_operator.plugins.failures import RETRY, FailureReason, Kind, OnFailure, PluginFailed, cut, ignore
from resilience_operator.plugins.protocols import ActionCall
from resilience_operator.resilience import Deadline, Retry
from resilience_operator.signals.namespaces import EVERYWHERE, allows

RUN_SECONDS = 10.0
"""Seconds for one call, including retries."""


def sentence(answer: object) -> str:
    """Return an action's answer as a sentence, empty for None. Raises ValueError for other types."""
    if answer is None:
        return ""
    if not isinstance(answer, str):
        raise ValueError(f"an action must return a string or None, not {type(answer).__name__}")
    return cut(answer)


class Actions:
    """Actions by name: configured ones, and every installed one under its own name without options."""

    def __init__(self, *, retry: Retry | None = None, on_failure: OnFailure = ignore) -> None:
        self._retry = retry or Retry(RETRY)
        self._on_failure = on_failure
        self._actions: dict[str, tuple[object, PluginRunner]] = {}
        self._namespaces: dict[str, tuple[str, ...]] = {}

    async def load(self, configs: Iterable[NamespacedPluginConfig]) -> None:
        """Load all actions concurrently."""
        wanted = {
            name: NamespacedPluginConfig.model_construct(name=name, type=name, options={}, namespaces=EVERYWHERE)
            for name in self.available()
        }
        configured = {config.name: config for config in configs}
        wanted.update(configured)
        await asyncio.gather(*(self._load(config, configured=name in configured) for name, config in wanted.items()))

    @staticmethod
    def available() -> Iterable[str]:
        """Return the names of the installed actions."""
        return installed(Kind.ACTION).keys()

    async def _load(self, config: NamespacedPluginConfig, *, configured: bool) -> None:
        """Load one action. One that is not configured may need options: no failure until a policy names it."""
        cell = PluginRunner(Kind.ACTION, config.name, on_failure=self._on_failure)
        self._namespaces[config.name] = config.namespaces
        loading = cell if configured else PluginRunner(Kind.ACTION, config.name)
        self._actions[config.name] = (await load(loading, config.type, config.options), cell)

    def problem(self, name: str, namespace: str) -> str:
        """Return why policies of a namespace cannot use the action; empty if they can."""
        found = self._actions.get(name) if self._is_for(name, namespace) else None
        if found is None:
            names = ", ".join(
                n
                for n, (plugin, _) in sorted(self._actions.items())
                if self._is_for(n, namespace) and not isinstance(plugin, UnavailablePlugin)
            )
            return f"no action plugin named {name} is installed for namespace {namespace}; available: {names or 'none'}"
        plugin, _ = found
        return plugin.message if isinstance(plugin, UnavailablePlugin) else ""

    def _is_for(self, name: str, namespace: str) -> bool:
        return allows(self._namespaces.get(name, EVERYWHERE), namespace)

    async def run(self, name: str, call: ActionCall) -> str:
        """Call the action and return its sentence. Raises PluginFailed and CallErrors."""
        if problem := self.problem(name, call.namespace):
            raise PluginFailed(FailureReason.NOT_LOADED, problem)
        plugin: Any
        plugin, cell = self._actions[name]
        deadline = call.deadline.within(RUN_SECONDS)
        call = replace(call, deadline=deadline)

        async def attempt() -> str:
            said: str = await cell.call(plugin.run, call, check=sentence, deadline=deadline)
            return said

        # The runner ends at the same time with a better message, so the retry's deadline is slightly later.
        return await self._retry.call(
            attempt, deadline=Deadline(deadline.at + 0.5, deadline.clock), dependency=f"{Kind.ACTION}/{name}"
        )

    def close(self) -> None:
        """Stop the threads of the actions."""
        for _, cell in self._actions.values():
            cell.close()
