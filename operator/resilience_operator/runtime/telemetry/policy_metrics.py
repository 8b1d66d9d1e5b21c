"""Collector for per-policy metrics: policy counts by condition and phase, and one series for each unhealthy condition.

Computed at each scrape from the caches, so that metrics never drift from the state. Includes only policies that this
replica acts on: two replicas never report the same policy. 10,000 policies cost a few dozen series for the counts.
Series about single policies are limited by `MAX_SERIES`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from resilience_operator.api.base import to_epoch
from resilience_operator.api.conditions import ConditionType
from resilience_operator.decision.model.commands import Verb
from resilience_operator.decision.model.policy import Mode
from resilience_operator.decision.scaling.need import need_of
from resilience_operator.runtime.cache.policy_entry import PolicyEntry

MAX_SERIES = 500
"""Maximum series about single policies. Beyond it, the conditions that have been unhealthy longest are listed."""

RECENT_SECONDS = 3600.0
"""Seconds for which a rollback is listed."""

_CAPACITY = (
    ("resilience_policy_load_pods", "Load of a target, in pods at the threshold of its leading signal.", 0),
    ("resilience_policy_needed_pods", "Pods that the load needs, with the margin and before bounds.", 1),
    ("resilience_policy_ready_pods", "Pods of the target that serve.", 2),
    ("resilience_policy_start_up_seconds", "Time from the request of a pod until it is ready.", 3),
)
"""Metrics of policies that scale on a signal that follows the load: limited to MAX_SERIES policies."""

_DRY_RUN = (ConditionType.RELEASE_HEALTHY, ConditionType.SCALING)
"""In DryRun, these conditions describe actions that did not happen."""


class UnhealthyCondition(NamedTuple):
    """A condition of a policy that is not True. since: seconds since the epoch."""

    since: float
    namespace: str
    policy: str
    condition: str
    reason: str


class PolicyMetricsCollector(Collector):
    """Reads the policies at each scrape."""

    def __init__(
        self,
        policies: Iterable[PolicyEntry],
        owns: Callable[[str], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policies, self._owns, self._clock = policies, owns, clock

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Return nothing: registration must not run a collection."""
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the current metrics."""
        mine = [entry for entry in self._policies if self._owns(entry.namespace)]
        conditions = Counter((c.type, c.status, c.reason) for entry in mine for c in entry.status.conditions)
        phases = Counter(
            entry.status.target.phase for entry in mine if entry.status.target and entry.status.target.phase
        )
        held = sum(e.memory.hold is not None and e.memory.hold.since is not None for e in mine)
        listed = sorted(found for entry in mine for found in unhealthy_conditions(entry))
        yield _gauge(
            "resilience_policies_by_condition",
            "Policies by condition, status and reason.",
            ("condition", "status", "reason"),
            conditions.items(),
        )
        yield _gauge(
            "resilience_policies_by_phase",
            "Policies by the release phase of their target.",
            ("phase",),
            (((str(phase),), count) for phase, count in phases.items()),
        )
        yield _gauge(
            "resilience_gitops_holds",
            "Targets that their GitOps tool does not reconcile until its source changes, after a rollback.",
            (),
            (((), held),),
        )
        yield _gauge(
            "resilience_policy_unwell_since_timestamp_seconds",
            "Time since which a condition of a policy is not True. Limited to those that have been so longest.",
            ("namespace", "policy", "condition", "reason"),
            (((u.namespace, u.policy, u.condition, u.reason), u.since) for u in listed[:MAX_SERIES]),
        )
        yield _gauge(
            "resilience_policies_unwell_unlisted",
            "Conditions that are not True and exceed the limit of listed series.",
            (),
            (((), max(0, len(listed) - MAX_SERIES)),),
        )
        needs = list(_needs(mine))
        for name, about, index in _CAPACITY:
            yield _gauge(name, about, ("namespace", "policy"), ((key, values[index]) for key, values in needs))
        now = self._clock()
        rollbacks = sorted(
            ((at, entry.key) for entry in mine if (at := rolled_back(entry)) > now - RECENT_SECONDS), reverse=True
        )
        yield _gauge(
            "resilience_policy_rolled_back_timestamp_seconds",
            "Time of a policy's last rollback, exported for an hour.",
            ("namespace", "policy"),
            ((key, at) for at, key in rollbacks[:MAX_SERIES]),
        )


def _needs(entries: Iterable[PolicyEntry]) -> Iterator[tuple[tuple[str, str], tuple[float, ...]]]:
    """Yield load, need, ready pods and start-up time of policies that scale, by the values of the last evaluation."""
    found = 0
    for entry in entries:
        history, policy = entry.evaluation_history, entry.policy
        point = history.last() if history is not None and policy is not None else None
        if history is None or policy is None or point is None:
            continue
        values = {n: v for n, v in zip(history.names, point.values, strict=True) if v is not None}
        need = need_of(policy, entry.memory, values, point.replicas)
        if need is not None:
            yield entry.key, (need.load, float(need.pods), float(point.ready), need.start_up)
            found += 1
            if found >= MAX_SERIES:
                return


def unhealthy_conditions(entry: PolicyEntry) -> Iterator[UnhealthyCondition]:
    """Yield the conditions of a policy that are not True, except for those that describe dry-run actions."""
    dry_run = entry.policy is not None and entry.policy.mode is Mode.DRY_RUN
    for c in entry.status.conditions:
        if c.status != "True" and not (dry_run and c.type in _DRY_RUN):
            yield UnhealthyCondition(to_epoch(c.last_transition_time), entry.namespace, entry.name, c.type, c.reason)


def rolled_back(entry: PolicyEntry) -> float:
    """Return the time of the last rollback in seconds since the epoch; 0 if the history has none."""
    done = (to_epoch(d.at) for d in entry.history.entries if d.action == Verb.ROLLBACK and not d.dry_run)
    return next(done, 0.0)


def _gauge(
    name: str, about: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family
