"""Takes in what happened to a policy since its last evaluation: the end of a pause, an interrupted action, a plugin."""

from __future__ import annotations

from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.outcomes import apply_outcomes, recover_intent
from resilience_operator.resilience import Deadline
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.evaluation.context import EvaluationContext
from resilience_operator.runtime.evaluation.plugin_actions import PluginActionRunner
from resilience_operator.runtime.reporting.publication import Publication
from resilience_operator.runtime.reporting.reporter import Reporter
from resilience_operator.runtime.reporting.skip import was_paused


class Recovery:
    """Updates the memory with what happened, and publishes it."""

    def __init__(self, context: EvaluationContext, reporter: Reporter, plugin_actions: PluginActionRunner) -> None:
        self._context = context
        self._reporter = reporter
        self._plugin_actions = plugin_actions

    def is_due(self, entry: PolicyEntry) -> bool:
        """Return True if there is something to take in."""
        return was_paused(entry) or entry.memory.intent is not None or self._plugin_actions.has_results(entry.uid)

    async def recover(self, entry: PolicyEntry, target: TargetState, now: float, deadline: Deadline) -> Memory:
        """Return the memory with everything that happened."""
        if was_paused(entry):
            await self._reporter.publish_pause(entry, target, None, now, deadline)
        await self._recover_intent(entry, target, deadline)
        await self._collect_plugin_results(entry, target, now, deadline)
        return entry.memory

    async def _recover_intent(self, entry: PolicyEntry, target: TargetState, deadline: Deadline) -> None:
        """Resolve the intent of an earlier process, or of an action whose response was lost."""
        intent = entry.memory.intent
        if intent is None:
            return
        memory, done = recover_intent(entry.memory, target)
        publication = Publication(target, intent.at, done, trace_id=intent.trace_id)
        await self._reporter.publish(entry, publication, deadline)
        entry.memory = memory

    async def _collect_plugin_results(
        self, entry: PolicyEntry, target: TargetState, now: float, deadline: Deadline
    ) -> None:
        outcomes = self._plugin_actions.drain_results(entry)
        if outcomes:
            entry.memory = apply_outcomes(entry.memory, outcomes, target, now)
            publication = Publication(target, now, outcomes, trace_id=self._context.tracing.trace_id())
            await self._reporter.publish(entry, publication, deadline)
