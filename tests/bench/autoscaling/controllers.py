"""The autoscalers that the product is compared with.

The HorizontalPodAutoscaler follows its documentation (kubernetes.io, Horizontal Pod Autoscaling, algorithm details and
default behavior): tolerance 0.1, a sync every 15 s, up by at most the larger of 100% and four pods in 15 s, down to
the highest recommendation of the last 300 s, and pods that are not ready count as idle on the way up.
"""

from __future__ import annotations

from math import ceil
from typing import Protocol

from tests.bench.autoscaling.loads import STEP, Array
from tests.bench.autoscaling.service import CAPACITY, MAX_PODS, MIN_PODS, START_UP, Service

TOLERANCE = 0.1
SYNC = 15
STABILIZATION = 300


class Controller(Protocol):
    """Sets the number of pods once per step."""

    def step(self, service: Service) -> None:
        """Look at the service, and scale it."""
        ...


class HPA:
    """An HPA on CPU. target: utilisation. phase: the step of its first sync."""

    def __init__(self, target: float, phase: int = 0) -> None:
        self.target = target
        self.phase = phase % (SYNC // STEP)
        self.recommended: list[tuple[int, int]] = []

    def step(self, service: Service) -> None:
        """Sync, every third step."""
        if service.now % (SYNC // STEP) != self.phase or service.now < 6:
            return
        desired = self._desired(service)
        current = service.replicas
        self.recommended.append((service.now, desired))
        since = service.now - STABILIZATION // STEP
        while self.recommended[0][0] <= since:
            self.recommended.pop(0)
        if desired < current:
            desired = min(current, max(n for _, n in self.recommended))
        elif desired > current:
            desired = min(desired, max(2 * current, current + 4))
        if desired != current:
            service.scale(desired)

    def _desired(self, service: Service) -> int:
        ready, current = service.ready, service.replicas
        ratio = service.recent_usage() / self.target
        starting = current - ready
        if starting and ratio > 1:
            balanced = ratio * ready / current
            if balanced <= 1 + TOLERANCE:
                return current
            return ceil(round(balanced * current, 6))
        if abs(ratio - 1) <= TOLERANCE:
            return current
        return ceil(round(ratio * ready, 6))


class KEDA(HPA):
    """KEDA's Prometheus trigger: answered requests/s over a window, as an external metric with an average value."""

    def __init__(self, window: int = 120, per_pod: float = 70.0, phase: int = 0) -> None:
        super().__init__(per_pod / CAPACITY, phase)
        self.window, self.per_pod = window, per_pod

    def _desired(self, service: Service) -> int:
        total = service.increase(self.window) / self.window
        if abs(total / (self.per_pod * service.replicas) - 1) <= TOLERANCE:
            return service.replicas
        return ceil(round(total / self.per_pod, 6))


class Oracle:
    """Knows the load: at each step, the pods that the next start-up time needs at 90%."""

    def __init__(self, offered: Array) -> None:
        pods = [ceil(x / (0.9 * CAPACITY)) for x in offered]
        ahead = START_UP // STEP + 1
        self.pods = [min(max(*pods[i : i + ahead + 1], MIN_PODS), MAX_PODS) for i in range(len(pods))]

    def step(self, service: Service) -> None:
        """Scale to what is needed."""
        want = self.pods[min(service.now, len(self.pods) - 1)]
        if want != service.replicas:
            service.scale(want)


class Reactive:
    """Knows the load of ten seconds ago without noise, and holds the highest need of five minutes.

    No autoscaler that only reacts can do better at its utilisation.
    """

    def __init__(self, load: Array, utilisation: float) -> None:
        self.pods = [min(max(ceil(x / (utilisation * CAPACITY)), MIN_PODS), MAX_PODS) for x in load]

    def step(self, service: Service) -> None:
        """Scale to what was needed."""
        seen = service.now - 10 // STEP
        if seen < 0:
            return
        want = max(self.pods[max(0, seen - STABILIZATION // STEP) : seen + 1])
        if want != service.replicas:
            service.scale(want)
