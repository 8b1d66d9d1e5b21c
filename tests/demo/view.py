"""How things are at one moment, read from the API: what is shown, and what acts wait for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.world import World

Obj = dict[str, Any]

NAME = "checkout"
"""The demo's one Deployment, and its policy."""

DONE = ("ScaledUp", "ScaledDown", "RolloutPaused", "RolloutResumed", "RolledBack")
"""Reasons of the events that tell of an action; the journal has these too."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: its value as the operator shows it, its thresholds, the conditions on it, and the verdict."""

    name: str
    value: str
    threshold: str
    condition: str
    verdict: str


@dataclass(frozen=True)
class Snapshot:
    """The policy, its Deployment, the pods by image tag, and the operator's events on the Deployment, oldest first."""

    policy: Obj
    deployment: Obj
    tags: Mapping[str, int]
    events: tuple[Obj, ...]

    @property
    def status(self) -> Obj:
        """The policy's status; empty before the first evaluation."""
        return dict(self.policy.get("status") or {})

    @property
    def target(self) -> Obj:
        """The status' view of the target."""
        return dict(self.status.get("target") or {})

    @property
    def mode(self) -> str:
        """The policy's mode."""
        return str(self.policy["spec"].get("mode", "Enforce"))

    @property
    def phase(self) -> str:
        """The target's phase; empty before it is known."""
        return str(self.target.get("phase", ""))

    @property
    def replicas(self) -> int:
        """`spec.replicas` of the Deployment."""
        return int(self.deployment["spec"]["replicas"])

    @property
    def ready(self) -> int:
        """Pods that are ready."""
        return int(self.deployment.get("status", {}).get("readyReplicas", 0))

    @property
    def paused(self) -> bool:
        """`spec.paused` of the Deployment."""
        return bool(self.deployment["spec"].get("paused"))

    @property
    def tag(self) -> str:
        """The tag of the image in the Deployment's template."""
        image: str = self.deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        return image.rpartition(":")[2]

    @property
    def settled(self) -> bool:
        """Whether every pod runs the template and is ready."""
        return dict(self.tags) == {self.tag: self.replicas} and self.ready == self.replicas

    @property
    def journal(self) -> list[Obj]:
        """The decisions in the history, oldest first."""
        return list(reversed(self.status.get("history", [])))

    @property
    def signals(self) -> list[Signal]:
        """Every signal that a rule uses, in the policy's order."""
        measured = {s["name"]: s for s in self.status.get("signals", ())}
        conditions: dict[str, list[Obj]] = {}
        for when in _conditions(self.policy["spec"]):
            conditions.setdefault(when["signal"], []).append(when)
        return [
            Signal(
                name,
                measured.get(name, {}).get("value", "—"),
                ", ".join(str(when.get("above", when.get("below"))) for when in those),
                ", ".join(map(_in_words, those)),
                measured.get(name, {}).get("verdict", "—"),
            )
            for name, those in conditions.items()
        ]

    def verdict(self, signal: str) -> str:
        """A signal's verdict; a dash when there is none yet."""
        return next((s.verdict for s in self.signals if s.name == signal), "—")

    def told(self, reason: str) -> list[Obj]:
        """The operator's events of one reason on the Deployment."""
        return [e for e in self.events if e["reason"] == reason]


def look(world: World) -> Snapshot:
    """Read it all. Raises what the client raises."""
    return Snapshot(
        policy=world.read_policy(NAME),
        deployment=world.get(NAME),
        tags=Counter(world.tags(NAME)),
        events=tuple(
            e for e in world.events("Deployment", NAME) if e.get("reportingController", "").startswith("resilience-")
        ),
    )


def _conditions(spec: Obj) -> Iterator[Obj]:
    for rule in spec["rules"]:
        when = rule["when"]
        yield from when.get("all") or when.get("any") or [when]


def _in_words(when: Obj) -> str:
    """A condition as people say it: `above 70% for 10s`."""
    side = "above" if "above" in when else "below"
    lasting = f" for {when['for']}" if when.get("for", "0s") != "0s" else ""
    return f"{side} {when[side]}{lasting}"
