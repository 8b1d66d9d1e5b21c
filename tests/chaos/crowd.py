"""The targets: many Deployments with a policy each, calm at first, and the life they lead."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from dataclasses import dataclass, field

from tests.support.waiting import eventually
from tests.support.world import World

MIN, MAX = 2, 6
LABEL = "resilience-chaos"
POLICY = {
    "interval": "5s",
    "replicas": {"min": MIN, "max": MAX},
    "release": {"bake": "5s"},
    "scaleDown": {"after": "10s", "pods": 2},
    "signals": [
        {"name": "cpu", "preset": "cpu", "window": "10s"},
        {"name": "error-rate", "preset": "error-rate", "window": "10s", "minSamples": 20},
    ],
    "rules": [
        {
            "name": "busy",
            "when": {"signal": "cpu", "above": "70%", "for": "5s"},
            "then": [{"scaleUp": {"pods": 1, "cooldown": "10s"}}],
        },
        {
            "name": "failing",
            "when": {"signal": "error-rate", "above": "1%"},
            "then": [{"pauseRollout": {}}, {"rollback": {"after": "5s"}}],
        },
    ],
}
CALM, BUSY = 0.06, 0.35
"""Cores of load in all, where a pod asks for 0.1: 30% of two pods, and more than 70% of four."""


@dataclass
class Target:
    """One Deployment. good: tags that answer well; bad: tags that were declared to fail, before they were released."""

    world: World
    name: str
    good: set[str] = field(default_factory=lambda: {"1"})
    bad: set[str] = field(default_factory=set)
    tags: itertools.count[int] = field(default_factory=lambda: itertools.count(2))

    @property
    def key(self) -> tuple[str, str]:
        """namespace, name."""
        return self.world.namespace, self.name

    def create(self) -> None:
        """The Deployment, under a calm load."""
        template = self.world.template(self.name, "1")
        body = {
            "metadata": {"name": self.name, "labels": {LABEL: "true"}},
            "spec": {"replicas": MIN, "selector": {"matchLabels": {"app": self.name}}, "template": template},
        }
        self.world.apps.create_namespaced_deployment(self.world.namespace, body, field_manager="chaos")
        self.calm()

    def guard(self) -> None:
        """Its policy."""
        self.world.policy(self.name, targetRef={"name": self.name}, **POLICY)

    def calm(self) -> None:
        self.world.load.workload(self.world.namespace, self.name, rps=60, cpu_total_cores=CALM)

    def busy(self) -> None:
        self.world.load.workload(self.world.namespace, self.name, rps=60, cpu_total_cores=BUSY)

    def release(self, *, bad: bool) -> None:
        """Another version. What is bad is declared so before anybody can run it."""
        tag = str(next(self.tags))
        if bad:
            self.world.load.image(self.world.image(tag, self.name), error_ratio=0.3)
            self.bad.add(tag)
        else:
            self.good.add(tag)
        self.world.release(tag, self.name)


class Crowd:
    """All targets, over a few namespaces."""

    def __init__(self, worlds: list[World], policies: int) -> None:
        self.targets = [Target(worlds[n % len(worlds)], f"app-{n}") for n in range(policies)]
        self.moves: Counter[str] = Counter()
        self.by_key = {target.key: target for target in self.targets}

    def create(self) -> None:
        """Make them, and wait until each has a revision that is known to be good."""
        for target in self.targets:
            target.create()
        for target in self.targets:
            target.world.rolled_out(target.name)
            target.guard()
        for target in self.targets:
            eventually(lambda t=target: settled(t), f"{target.name} is settled", patience=180)  # type: ignore[misc]

    def live(self, chance: random.Random, every: float, stop: threading.Event) -> None:
        """One move each `every` seconds until `stop`. A move that the API server could not take did not happen."""
        while not stop.wait(every * chance.uniform(0.5, 1.5)):
            target = chance.choice(self.targets)
            move = chance.choices(("busy", "calm", "good release", "bad release"), (3, 3, 1, 2))[0]
            try:
                match move:
                    case "busy":
                        target.busy()
                    case "calm":
                        target.calm()
                    case _:
                        target.release(bad=move == "bad release")
            except Exception:  # the API server is away, as it is meant to be now and then
                move = f"{move} (refused)"
            self.moves[move] += 1

    def rest(self) -> None:
        """No more load than two pods bear."""
        for target in self.targets:
            target.calm()


def settled(target: Target) -> bool:
    """Whether its release is watched through and found good, and its signals are known."""
    status = target.world.status(target.name)
    return status.get("target", {}).get("phase") == "Stable" and all(s["verdict"] == "Ok" for s in status["signals"])
