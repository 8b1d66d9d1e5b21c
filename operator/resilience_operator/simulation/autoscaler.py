"""The controller of a HorizontalPodAutoscaler on CPU, as Kubernetes documents it, with its default behaviour.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

SYNC = 15.0
"""Seconds between evaluations."""
TOLERANCE = 0.1
STABILIZATION = 300.0
"""Seconds whose highest recommendation limits a scale-down."""
POLICY_PERIOD = 15.0
"""Seconds within which the replicas may grow by the larger of 100% and 4 pods."""
MOST_PODS_UP = 4


class PodUsage(NamedTuple):
    """CPU usage of a pod, as a share of its request. None: there is no metric of it yet."""

    ready: bool
    usage: float | None


@dataclass(slots=True)
class Autoscaler:
    """The controller's memory. target: average CPU usage of the pods, as a share of their requests."""

    target: float
    _recommended: list[tuple[float, int]] = field(default_factory=list)
    _grown: list[tuple[float, int]] = field(default_factory=list)

    def replicas(self, now: float, current: int, low: int, high: int, pods: Sequence[PodUsage]) -> int:
        """The replicas that it sets at `now`. low, high: minReplicas and maxReplicas."""
        if current == 0:
            return 0
        if not low <= current <= high:
            return max(low, min(high, current))
        wanted = self._desired(current, pods)
        self._recommended = [(at, n) for at, n in self._recommended if at > now - STABILIZATION] + [(now, wanted)]
        if wanted < current:
            wanted = min(current, max(n for _, n in self._recommended))
        elif wanted > current:
            self._grown = [(at, n) for at, n in self._grown if at > now - POLICY_PERIOD]
            before = current - sum(n for _, n in self._grown)
            wanted = min(wanted, max(2 * before, before + MOST_PODS_UP))
        found = max(low, min(high, wanted))
        if found > current:
            self._grown.append((now, found - current))
        return found

    def _desired(self, current: int, pods: Sequence[PodUsage]) -> int:
        measured = [p.usage for p in pods if p.ready and p.usage is not None]
        if not measured:
            return current
        ratio = sum(measured) / len(measured) / self.target
        missing = sum(p.ready and p.usage is None for p in pods)
        unready = sum(not p.ready for p in pods)
        if not missing and not unready:
            return current if abs(ratio - 1) <= TOLERANCE else ceil(ratio * len(measured) - 1e-9)
        # What is not known counts against a change: as idle when growing, as busy when shrinking.
        total = sum(measured)
        count = len(measured) + missing
        if ratio > 1:
            count += unready
        else:
            total += missing * self.target
        new = total / count / self.target
        if abs(new - 1) <= TOLERANCE or (ratio > 1) != (new > 1):
            return current
        wanted = ceil(new * count - 1e-9)
        return max(current, wanted) if new > 1 else min(current, wanted)
