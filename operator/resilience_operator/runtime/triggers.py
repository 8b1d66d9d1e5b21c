"""What triggers evaluations: a policy, a target, the nodes, or the namespaces of this replica changed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, TargetKey
from resilience_operator.runtime.containment import Stage, contain, start
from resilience_operator.runtime.coordination import NamespaceFilter, Ownership
from resilience_operator.runtime.evaluation.assembly import Evaluation
from resilience_operator.runtime.evaluation.cleanup import Cleanup
from resilience_operator.runtime.telemetry.metrics import POLICIES

SPREAD = 2.0
"""Seconds over which a replica spreads the first evaluations of policies that it has just acquired."""


class Triggers:
    """Enqueues policies. tasks: cleanups in progress. evaluation, cleanup, ownership: set before the first event."""

    evaluation: Evaluation
    cleanup: Cleanup
    ownership: Ownership

    def __init__(self, store: PolicyCache) -> None:
        self._store = store
        self.tasks: set[asyncio.Task[None]] = set()

    def policy_changed(self, entry: PolicyEntry, target_before: TargetKey | None) -> None:
        """Evaluate a new or changed policy, and the other policies on its target."""
        entry.reported.pending = None
        self.evaluation.scheduler.add(entry)
        try:
            self.evaluation.signals.register(entry)
        except Exception as error:  # costs at most one extra query; the evaluation reports the error
            contain(Stage.COLLECT, *entry.key, error)
        self.target_changed(entry.target)
        if target_before is not None and target_before != entry.target:
            self._unreferenced(target_before)
        POLICIES.set(len(self._store))

    def policy_deleted(self, entry: PolicyEntry) -> None:
        """Forget a policy, and evaluate the next policy on its target, or restore the target."""
        self.evaluation.forget(entry)
        self._unreferenced(entry.target)
        POLICIES.set(len(self._store))

    async def policies_listed(self) -> None:
        """Restore the targets that no policy references any more."""
        self._spawn(self.cleanup.restore_orphans(self.ownership.owns), "sweep")

    def target_changed(self, target: TargetKey) -> None:
        """Evaluate the policies on a target."""
        for entry in self._store.policies_on(target):
            self.evaluation.scheduler.enqueue(entry)

    def zones_changed(self) -> None:
        """Evaluate the policies with signals about the nodes."""
        for entry in self._store:
            if entry.compiled.zone_signals:
                self.evaluation.scheduler.enqueue(entry)

    def namespaces_acquired(self, namespaces: NamespaceFilter, *, listed: bool) -> None:
        """Enqueue every policy in `namespaces`, spread over `SPREAD` seconds to avoid a burst."""
        for entry in self._store:
            if namespaces(entry.namespace):
                # The status holds what another replica did since this one last owned the policy.
                self._store.restore_from_status(entry)
                self.evaluation.plugin_actions.forget(entry.uid)
                self.evaluation.scheduler.enqueue(entry, entry.phase_offset * min(entry.interval, SPREAD))
        if listed:
            self._spawn(self.cleanup.restore_orphans(self.ownership.owns), "sweep")

    def busy(self, namespaces: NamespaceFilter) -> bool:
        """Return True while an evaluation, a status write or a cleanup is in progress in `namespaces`."""
        at_work = (entry.namespace for entry in self.evaluation.work.processing)
        return any(namespaces(namespace) for namespace in (*at_work, *self.cleanup.under_way))

    def _unreferenced(self, target: TargetKey) -> None:
        """Handle a target that a policy no longer references."""
        self.target_changed(target)
        if not self._store.policies_on(target):
            self._spawn(self._restore(target), f"cleanup of {target[0]} {target[1]}/{target[2]}")

    async def _restore(self, target: TargetKey) -> None:
        if self.ownership.owns(target[1]):
            await self.cleanup.restore_target(target)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = start(work, name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
