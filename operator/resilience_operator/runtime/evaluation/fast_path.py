"""Skips the decision for policies in steady state: nothing changed, and nothing is to be reported."""

from __future__ import annotations

from resilience_operator.decision.model.target import TargetState
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.evaluation.context import EvaluationContext
from resilience_operator.runtime.evaluation.plugin_actions import PluginActionRunner
from resilience_operator.runtime.evaluation.signal_reader import SignalReader
from resilience_operator.runtime.reporting.pending import Unchanged
from resilience_operator.runtime.reporting.reporter import Reporter
from resilience_operator.runtime.telemetry.history import Values
from resilience_operator.signals.results import SignalResults


class FastPath:
    """Recognizes and records evaluations that would repeat the last decision (`decision.fast_path`)."""

    def __init__(
        self,
        context: EvaluationContext,
        signals: SignalReader,
        reporter: Reporter,
        plugin_actions: PluginActionRunner,
    ) -> None:
        self._clock = context.clock
        self._signals = signals
        self._reporter = reporter
        self._plugin_actions = plugin_actions

    def values(self, entry: PolicyEntry, target: TargetState, results: SignalResults) -> Values | None:
        """Return the measured values if the steady state still holds and nothing is pending; else None."""
        steady, policy = entry.reported.steady_state, entry.compiled.policy
        if (
            steady is None
            or policy is None
            or self._plugin_actions.has_results(entry.uid)
            or self._reporter.report_due(entry)
        ):
            return None
        now = self._clock()
        if steady.bounds is not None:
            numbers = results.scalars()
            if numbers is not None and steady.still_valid_for(policy, numbers, target, entry.memory, now):
                return numbers
        observations = self._signals.observations(entry, results)
        if steady.still_valid(policy, observations, target, entry.memory, now):
            return {name: o.measured for name, o in observations.items() if o.measured is not None}
        return None

    def record(self, entry: PolicyEntry, target: TargetState, results: SignalResults, values: Values) -> float | None:
        """Record an evaluation, and queue the status if it is still due.

        Returns the seconds until a timer is due, which may be infinite; None if the policy changed since.
        """
        steady = entry.reported.steady_state
        if entry.deleted or steady is None:
            return None
        now = self._clock()
        if entry.evaluation_history is not None:
            entry.evaluation_history.add_unchanged(now, values)
        if entry.reported.fingerprint is None:
            self._reporter.defer(entry, Unchanged(target, self._signals.observations(entry, results)))
        return steady.until - now
