"""Reads the signals of policies: those of the metric sources through the collector, and those of the nodes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from resilience_operator.api.spec import SHARED_INTERVAL
from resilience_operator.decision.model.memory import Phase
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.target import TargetState
from resilience_operator.resilience import Deadline
from resilience_operator.runtime.cache.nodes import ZoneMonitor
from resilience_operator.runtime.cache.policy_entry import CompiledPolicy, PolicyEntry
from resilience_operator.runtime.cache.targets import TargetCache
from resilience_operator.runtime.evaluation.context import EvaluationContext
from resilience_operator.runtime.scheduling.work_queue import Trigger
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.results import SignalResults

COLLECT_AT_LEAST = 5.0
"""Minimum seconds to answer, even with a shorter interval: a late answer is better than none."""


class Resolved(NamedTuple):
    """A policy to collect signals for. compiled, target: those that its requests were made from."""

    entry: PolicyEntry
    target: TargetState
    compiled: CompiledPolicy


_NONE: Mapping[str, str] = MappingProxyType({})


class SignalReader:
    """Reads the signals of batches of policies."""

    def __init__(
        self, context: EvaluationContext, collector: SignalCollector, zones: ZoneMonitor, targets: TargetCache
    ) -> None:
        self._context = context
        self._collector = collector
        self._zones = zones
        self._targets = targets

    def register(self, entry: PolicyEntry) -> None:
        """Register the queries of a policy, so that shared queries cover it from its first evaluation."""
        self._collector.expect(_requests(entry, {}))

    def collect(
        self, batch: Sequence[Resolved], deadline: Deadline, trigger: Trigger
    ) -> AsyncGenerator[Iterator[tuple[int, SignalResults]], None]:
        """Yield the results of policies, by index in `batch`, as queries complete."""
        for one in batch:
            _prepare(one.entry, one.target)
        within = min(one.entry.interval for one in batch)
        return self._collector.collect(
            [one.entry.requests for one in batch],
            now=self._context.clock(),
            deadline=deadline.within(max(within, COLLECT_AT_LEAST)),
            # Events concern the target or the spec; for metrics, the last regular result is recent enough.
            max_age=min(1.0, within / 10)
            if trigger is Trigger.TIMER
            else min(within, max(within / 2, SHARED_INTERVAL)),
            # Policies with custom queries are due at any time: they reuse recent results of shared queries.
            shared_age=0.0 if batch[0].compiled.shared_queries_only else min(within / 3, SHARED_INTERVAL),
        )

    def observations(self, entry: PolicyEntry, results: SignalResults) -> Mapping[str, Observation]:
        """Return the observations of all signals of a policy."""
        compiled = entry.compiled
        found = dict(zip((signal.name for signal in compiled.signals), results.observations(), strict=True))
        if compiled.zone_signals:
            lost = self._zones.observe(self._targets.placement(compiled.target), self._context.clock())
            found |= dict.fromkeys(compiled.zone_signals, lost)
        return found


def _prepare(entry: PolicyEntry, target: TargetState) -> None:
    """Make the requests of a policy, unless they are valid for this target."""
    watched = _has_release(entry, target)
    if entry.requests_for is not target.revisions or entry.requests_watched is not watched:
        owners = {r.owner: r.name for r in target.revisions if r.replicas > 0}
        if target.pod_owners:
            owners = dict.fromkeys(target.pod_owners, "")
        replaced = _replaced(entry, target)
        entry.requests = _requests(entry, owners, replaced, watched=watched)
        entry.requests_for = None if replaced else target.revisions
        entry.requests_watched = watched


def _requests(
    entry: PolicyEntry, owners: Mapping[str, str], replaced: Mapping[str, str] = _NONE, *, watched: bool = False
) -> tuple[SignalRequest, ...]:
    """Return the requests of a policy. replaced: further owners, only for the signals by which a release is judged."""
    compiled = entry.compiled
    kind, namespace, name = compiled.target
    judged = _judged(entry) if replaced else ()
    both = {**replaced, **owners}
    return tuple(
        SignalRequest(
            namespace,
            name,
            kind,
            both if signal.name in judged else owners,
            signal,
            compiled.source,
            compiled.preset_family,
            watched,
        )
        for signal in compiled.signals
    )


def _replaced(entry: PolicyEntry, target: TargetState) -> Mapping[str, str]:
    """Return the owner of the revision that a release replaces, at the first evaluation that sees the release.

    Its requests are what the release is compared with. A fast rollout may have ended its last pod by then.
    """
    release = entry.memory.release
    before = target.find(release.revision) if release is not None and release.revision != target.revision else None
    return {before.owner: before.name} if before is not None and before.replicas == 0 else _NONE


def _judged(entry: PolicyEntry) -> frozenset[str]:
    rules = entry.policy.rules if entry.policy is not None else ()
    return frozenset(c.signal for rule in rules if rule.guards_release for c in rule.conditions)


def _has_release(entry: PolicyEntry, target: TargetState) -> bool:
    """Whether a release of the target is analysed, or begins with this evaluation."""
    release = entry.memory.release
    return release is not None and (release.phase is not Phase.STABLE or release.revision != target.revision)
