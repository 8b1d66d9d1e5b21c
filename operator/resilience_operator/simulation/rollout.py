"""What the controllers of Deployments, StatefulSets and DaemonSets do to the pods of a simulated workload. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy and
https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#update-strategies
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor

from resilience_operator.simulation.pods import Pod

Fresh = Callable[[str, int], tuple[Pod, ...]]
"""Makes new pods of a revision."""

SHARE = 0.25
"""The default of maxSurge and maxUnavailable."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """The update strategy. max_surge, max_unavailable: an integer is pods, a float is a share of the replicas.

    recreate: all old pods are deleted first. min_ready: seconds for which a pod must be ready to count as available.
    partition: pods of a StatefulSet with a lower ordinal keep their revision.
    """

    recreate: bool = False
    max_surge: int | float = SHARE
    max_unavailable: int | float = SHARE
    min_ready: float = 0.0
    partition: int = 0

    def surge(self, replicas: int) -> int:
        """Pods that may exist in addition."""
        return self.max_surge if isinstance(self.max_surge, int) else ceil(self.max_surge * replicas)

    def unavailable(self, replicas: int) -> int:
        """Pods that may be missing. At least one, if no surge is allowed."""
        written = self.max_unavailable
        found = written if isinstance(written, int) else floor(written * replicas)
        return found if found or self.surge(replicas) else 1


DEFAULT = Strategy()


def resized(
    pods: tuple[Pod, ...], replicas: int, newest: str, now: float, fresh: Fresh, surge: int = 0
) -> tuple[Pod, ...]:
    """A paused rollout only changes its size: the larger revision grows, the youngest pods go first.

    newest: the revision that grows if there are no pods. surge: pods of a rollout that stay in addition.
    """
    if replicas <= len(pods) <= replicas + (surge if replicas else 0):
        return pods
    kept = tuple(sorted(pods, key=lambda p: (not p.ready(now), p.ready_at))[:replicas])
    if len(kept) == replicas:
        return kept
    names = [p.revision for p in pods]
    grows = max(names, key=names.count) if names else newest
    return kept + fresh(grows, replicas - len(kept))


def rolled(
    pods: tuple[Pod, ...], replicas: int, template: str, strategy: Strategy, now: float, fresh: Fresh
) -> tuple[Pod, ...]:
    """One step of a Deployment's rollout."""
    new = tuple(p for p in pods if p.revision == template)
    old = tuple(p for p in pods if p.revision != template)
    if not old:
        return resized(pods, replicas, template, now, fresh)
    if strategy.recreate:
        return fresh(template, replicas)
    room = replicas + strategy.surge(replicas) - len(pods)
    started = fresh(template, max(0, min(replicas - len(new), room)))
    least = replicas - strategy.unavailable(replicas)
    spare = sum(_available(p, strategy, now) for p in pods) - least
    remaining: list[Pod] = []
    for pod in old:
        if not pod.ready(now):
            continue
        if spare > 0:
            spare -= 1
        else:
            remaining.append(pod)
    return (*remaining, *new, *started)


def ordered(
    pods: tuple[Pod, ...],
    replicas: int,
    template: str,
    now: float,
    fresh: Callable[[str, int], Pod],
    partition: int = 0,
) -> tuple[Pod, ...]:
    """One step of a StatefulSet: one pod at a time, and none while another is not ready.

    A broken pod therefore also blocks its own replacement. fresh: makes the pod with an ordinal. partition: the lowest
    ordinal that gets the newest revision.
    """
    kept = pods[:replicas]
    if any(not p.ready(now) for p in kept):
        return kept
    if len(kept) < replicas:
        # Below the partition it is that of the first pod, which no rollout has reached.
        revision = template if len(kept) >= partition or not kept else kept[0].revision
        return (*kept, fresh(revision, len(kept)))
    for ordinal in reversed(range(partition, replicas)):
        if kept[ordinal].revision != template:
            return (*kept[:ordinal], fresh(template, ordinal), *kept[ordinal + 1 :])
    return kept


def on_nodes(
    pods: tuple[Pod, ...], nodes: int, template: str, strategy: Strategy, now: float, fresh: Fresh
) -> tuple[Pod, ...]:
    """One step of a DaemonSet: at most maxUnavailable pods at a time are replaced, those that are not ready first."""
    most = 1 if strategy is DEFAULT else max(1, strategy.unavailable(nodes))
    missing = sum(not p.ready(now) for p in pods)
    found: list[Pod] = []
    for pod in sorted(pods, key=lambda p: p.ready(now)):
        if pod.revision != template and (not pod.ready(now) or missing < most):
            missing += pod.ready(now)
            found += fresh(template, 1)
        else:
            found.append(pod)
    if all(p.revision == template or p in found for p in pods) and len(pods) == nodes:
        return pods
    return tuple(found[:nodes]) + fresh(template, max(0, nodes - len(found)))


def _available(pod: Pod, strategy: Strategy, now: float) -> bool:
    return pod.ready(now) and pod.ready_at + strategy.min_ready <= now
