"""The policies that must miss nothing, and the watch over their evaluations and the operator's readiness."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.cluster import Cluster
from tests.fuzz.objects import Victim
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import World

INTERVAL = 10.0
"""Seconds between two evaluations of a healthy policy."""
NAMESPACES, EACH = 4, 5
RULE = {
    "name": "busy",
    "when": {"signal": "cpu", "above": "70%"},
    "then": [{"scaleUp": {"pods": 1, "cooldown": "1h"}}],
}
OWN = {
    "name": "cpu",
    "query": 'sum(rate(container_cpu_usage_seconds_total{namespace="{{namespace}}", pod=~"{{pods}}"}[{{window}}])) / '
    'sum(kube_pod_container_resource_requests{namespace="{{namespace}}", pod=~"{{pods}}", resource="cpu"})',
    "unit": "ratio",
    "window": "15s",
}
PRESET = {"name": "cpu", "preset": "cpu", "window": "15s"}


@dataclass(frozen=True)
class Healthy:
    """The healthy policies, each on a Deployment of its own name."""

    worlds: Sequence[World]

    @classmethod
    def create(cls, cluster: Cluster, prefix: str) -> Healthy:
        """Half of them ask presets only, half have a query of their own."""
        found = cls([World(cluster, f"{prefix}-{number}").create() for number in range(NAMESPACES)])
        with ThreadPoolExecutor(2) as at_once:
            list(at_once.map(lambda one: found._create(*one), found.all()))
        return found

    def all(self) -> list[tuple[World, str]]:
        """Every policy: its world and its name."""
        return [(world, f"app-{number}") for world in self.worlds for number in range(EACH)]

    def victims(self) -> list[Victim]:
        """Their Deployments."""
        return [Victim(w.namespace, name, w.get(name)["metadata"]["uid"]) for w, name in self.all()]

    def _create(self, world: World, name: str) -> None:
        world.deployment(name, replicas=1)
        world.load.workload(world.namespace, name, cpu_utilisation=0.3)
        world.policy(
            name,
            targetRef={"name": name},
            interval=f"{INTERVAL:g}s",
            replicas={"min": 1, "max": 3},
            signals=[OWN if int(name[-1]) % 2 else PRESET],
            rules=[RULE],
            scaleDown={"enabled": False},
        )

    def measured(self) -> None:
        """Return when the signal of each is Ok."""
        for world, name in self.all():
            world.until_verdict("cpu", "Ok", name)

    def act(self) -> None:
        """Put load on each, and return when each was scaled once."""
        for world, name in self.all():
            world.load.workload(world.namespace, name, cpu_utilisation=1.5)
        for world, name in self.all():
            world.until(
                lambda w=world, n=name: w.actions(n) == ["scaleUp"], f"{world.namespace}/{name} is scaled", name
            )


@dataclass
class Watch:
    """Looks at the operator all the time, in a thread of its own.

    unready: moments at which /readyz did not answer 200, and what it answered. evaluated: moments (seconds since the
    epoch) of each healthy policy's evaluations.
    """

    operator: Operator
    healthy: Healthy
    unready: list[tuple[float, int, str]] = field(default_factory=list)
    evaluated: dict[tuple[str, str], set[float]] = field(default_factory=dict)
    exited: int | None = None

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._began = self._ended = time.time()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._ready, self._evaluations)]

    def __enter__(self) -> Watch:
        self._began = time.time()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        self._ended = time.time()

    def missed(self) -> dict[tuple[str, str], int]:
        """Policies that missed evaluations: whole intervals in which none began."""
        found = {}
        for world, name in self.healthy.all():
            key = (world.namespace, name)
            moments = [self._began, *sorted(m for m in self.evaluated.get(key, ()) if m > self._began), self._ended]
            gaps = (late - early for early, late in itertools.pairwise(moments))
            if missed := sum(max(0, round(gap / INTERVAL) - 1) for gap in gaps):
                found[key] = missed
        return found

    @property
    def evaluations(self) -> int:
        """Evaluations of healthy policies that were seen."""
        return sum(len(moments) for moments in self.evaluated.values())

    def longest(self) -> float:
        """The longest time between two evaluations of a healthy policy, in seconds."""
        gaps = [0.0]
        for moments in self.evaluated.values():
            ordered = sorted(moments)
            gaps += [late - early for early, late in itertools.pairwise(ordered)]
        return max(gaps)

    def _ready(self) -> None:
        while not self._end.wait(0.5):
            if self.operator.process is not None and (code := self.operator.process.poll()) is not None:
                self.exited = code
                return
            status, text = self.operator.get("/readyz")
            if status != 200:
                self.unready.append((time.time(), status, text[:300]))

    def _evaluations(self) -> None:
        while not self._end.is_set():
            for world, name in self.healthy.all():
                self.evaluated.setdefault((world.namespace, name), set()).update(
                    points(self.operator, world.namespace, name)
                )
            self._end.wait(1.0)


def points(operator: Operator, namespace: str, name: str) -> list[float]:
    """Moments of a policy's last evaluations, as the dashboard shows them."""
    status, text = operator.get(f"/api/policy?namespace={namespace}&name={name}")
    if status != 200:
        return []
    found: dict[str, Any] = json.loads(text).get("track") or {}
    return [float(at) for at in found.get("at", ())]


def evaluated_again(operator: Operator, healthy: Healthy) -> None:
    """Return when a restarted operator has evaluated each healthy policy."""
    for world, name in healthy.all():
        eventually(
            lambda w=world, n=name: points(operator, w.namespace, n),  # type: ignore[misc]
            f"{world.namespace}/{name} is evaluated after the restart",
            last=operator.tail,
        )
