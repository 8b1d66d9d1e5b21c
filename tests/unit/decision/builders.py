"""What the tables of the decision's tests are made of: policies, targets and observations in few words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from resilience_operator.decision.decide import Decision, decide
from resilience_operator.decision.model.commands import Outcome, Result, Verb
from resilience_operator.decision.model.memory import Memory, ReleaseMemory, Verdict
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import (
    Condition,
    Mode,
    Policy,
    Rollback,
    Rule,
    ScaleDown,
    ScaleUp,
    Signal,
)
from resilience_operator.decision.model.target import MANAGER, Revision, TargetState
from resilience_operator.decision.outcomes import apply_outcomes

T0 = 1_000_000_000.0
DAY = 86400.0
MINUTE = 60.0

SIGNALS = {
    "cpu": Signal("cpu", window=60.0, unit="ratio"),
    "latency-p99": Signal("latency-p99", window=60.0, min_samples=100.0, unit="seconds"),
    "error-rate": Signal("error-rate", window=60.0, min_samples=20.0, unit="ratio"),
}
CPU = Rule("cpu-saturation", (Condition("cpu", 0.7, hold=120.0),), scale_up=ScaleUp(pods=2))
SLOW = Rule("slow-requests", (Condition("latency-p99", 1.0),), alert=True, scale_up=ScaleUp(percent=50))
FAILING = Rule("failing-release", (Condition("error-rate", 0.01),), pause=True, rollback=Rollback(after=30.0))


def policy(*rules: Rule, **fields: Any) -> Policy:
    """The sample policy of the design, or one with other rules and fields."""
    given: dict[str, Any] = {
        "uid": "uid",
        "namespace": "shop",
        "name": "checkout",
        "generation": 1,
        "rules": rules or (CPU, SLOW, FAILING),
        "signals": SIGNALS,
        "min_replicas": 3,
        "max_replicas": 20,
        "scale_down": ScaleDown(after=300.0),
    }
    return Policy(**{**given, **fields})


def revision(name: str, number: int = 1, *, age: float = DAY, replicas: int = 4, ready: int | None = None) -> Revision:
    """A revision that is `age` seconds old at T0."""
    return Revision(name, f"checkout-{name}", number, T0 - age, replicas, replicas if ready is None else ready)


def target(**fields: Any) -> TargetState:
    """Four ready pods of revision `a`, a day old."""
    given: dict[str, Any] = {
        "kind": "Deployment",
        "namespace": "shop",
        "name": "checkout",
        "uid": "target-uid",
        "resource_version": "1",
        "replicas": 4,
        "ready": 4,
        "rolled_out": True,
        "revision": "a",
        "revisions": (revision("a"),),
    }
    return TargetState(**{**given, **fields})


def releasing(new: str = "b", old: str = "a", **fields: Any) -> TargetState:
    """A rollout from `old` to `new`, half way."""
    given: dict[str, Any] = {
        "replicas": 4,
        "ready": 4,
        "rolled_out": False,
        "revision": new,
        "revisions": (revision(old, 1, replicas=2), revision(new, 2, age=0.0, replicas=2)),
    }
    return target(**{**given, **fields})


def rolled_out(name: str = "b", old: str = "a", **fields: Any) -> TargetState:
    """All pods run `name`; `old` is kept without pods."""
    revisions = (revision(old, 1, replicas=0), revision(name, 2, age=0.0, replicas=4))
    return target(**{"replicas": 4, "ready": 4, "revision": name, "revisions": revisions, **fields})


def ratio(bad: float, total: float) -> Measured:
    """A counted ratio."""
    return Measured(bad / total, total, bad)


def split(at: float = T0, **parts: Measured) -> Observation:
    """A signal by revision; the whole is all parts together."""
    values = list(parts.values())
    if all(p.events is not None for p in values):
        samples, events = sum(p.samples or 0 for p in values), sum(p.events or 0 for p in values)
        whole = ratio(events, samples) if samples else values[0]
    else:
        counts = [p.samples for p in values if p.samples is not None]
        whole = Measured(max(p.value for p in values), sum(counts) if counts else None)
    return Observation(at, whole, by_revision=parts, splittable=True)


def whole(measured: Measured, at: float = T0) -> Observation:
    """A signal that cannot be split."""
    return Observation(at, measured)


def unknown(at: float = T0, reason: str = "NoData") -> Observation:
    """No measurement."""
    return Observation.unknown(at, reason, f"no measurement ({reason})")


HEALTHY: Mapping[str, Observation] = {
    "cpu": whole(Measured(0.4)),
    "latency-p99": whole(Measured(0.2, 6000.0)),
    "error-rate": split(a=ratio(6, 6000)),
}


def seen(**signals: Observation) -> dict[str, Observation]:
    """A healthy target but for what is named: `latency_p99=…`."""
    return {**HEALTHY, **{name.replace("_", "-"): found for name, found in signals.items()}}


@dataclass
class Run:
    """A policy and its memory, moved on look by look against targets and observations that the test sets."""

    policy: Policy
    target: TargetState = field(default_factory=target)
    memory: Memory = field(default_factory=Memory)
    now: float = T0
    result: Result = Result.DONE

    def look(
        self, observations: Mapping[str, Observation] = HEALTHY, *, after: float | None = None, **changes: Any
    ) -> Decision:
        """One evaluation, `after` seconds (an interval) after the last, of the target with `changes`."""
        self.now += self.policy.interval if after is None else after
        self.target = replace(self.target, **changes)
        fresh = {name: found._replace(at=self.now) for name, found in observations.items()}
        decision = decide(self.policy, fresh, self.target, self.memory, self.now)
        result = Result.DRY_RUN if self.policy.mode is Mode.DRY_RUN else self.result
        outcomes = tuple(Outcome(c, result) for c in decision.commands)
        self.memory = apply_outcomes(decision.memory, outcomes, self.target, self.now)
        if result is Result.DONE:
            for command in decision.commands:
                self._obey(command.verb, command.to)
        return decision

    def bake(self, observations: Mapping[str, Observation] = HEALTHY) -> list[Decision]:
        """Evaluations at each interval for the length of a bake, and one more."""
        looks = int(self.policy.release.bake // self.policy.interval) + 2
        return [self.look(observations) for _ in range(looks)]

    def _obey(self, verb: Verb, to: int | str | None) -> None:
        """The target as it is at once after a command: no new pod is ready yet."""
        match verb:
            case Verb.SCALE_UP | Verb.SCALE_DOWN if self.target.hpa is not None:
                hpa = self.target.hpa
                original = hpa.min_replicas if hpa.raised_from is None else hpa.raised_from
                hpa = replace(hpa, min_replicas=int(to or 0), original_min=original, min_by=MANAGER)
                self.target = replace(self.target, hpa=hpa)
            case Verb.ADOPT_MINIMUM if self.target.hpa is not None:
                self.target = replace(self.target, hpa=replace(self.target.hpa, original_min=None))
            case Verb.SCALE_UP | Verb.SCALE_DOWN:
                replicas = int(to or 0)
                ready = min(self.target.ready, replicas)
                self.target = replace(self.target, replicas=replicas, ready=ready, scaled_by=MANAGER)
            case Verb.PAUSE:
                self.target = replace(self.target, paused=True, paused_by="resilience-operator", pause_marked=True)
            case Verb.RESUME:
                self.target = replace(self.target, paused=False, paused_by="", pause_marked=False)
            case Verb.ROLLBACK:
                self.target = replace(
                    self.target,
                    revision=str(to),
                    paused=False,
                    paused_by="",
                    pause_marked=False,
                    rolled_out=False,
                    template_by="resilience-operator",
                )
            case _:
                pass

    @property
    def release(self) -> ReleaseMemory:
        """What is remembered of the release."""
        assert self.memory.release is not None
        return self.memory.release


def verbs(decision: Decision) -> list[str]:
    """What is done."""
    return [str(c.verb) for c in decision.commands]


def reasons(decision: Decision) -> list[str]:
    """What is told."""
    return [n.reason for n in decision.notices]


def verdict(decision: Decision, rule: str) -> Verdict:
    """A rule's verdict."""
    return next(r.verdict for r in decision.rules if r.rule.name == rule)


def note(decision: Decision, rule: str) -> str:
    """Why a rule did not act."""
    return next(r.note for r in decision.rules if r.rule.name == rule)


BAD_B = split(a=ratio(3, 3000), b=ratio(600, 3000))
"""20% errors on the new revision alone."""
GOOD_B = split(a=ratio(3, 3000), b=ratio(3, 3000))
BOTH_BAD = split(a=ratio(150, 3000), b=ratio(150, 3000))
ALL_B_BAD = split(b=ratio(1200, 6000))
ALL_B_GOOD = split(b=ratio(6, 6000))
