"""What a policy remembers from one evaluation to the next.

All of it is kept in the policy's status, so a restart or a new leader goes on where the last one stopped. It holds
moments (seconds since the epoch), never running counters: nothing in it changes while nothing happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from resilience_operator.api.status import Phase
from resilience_operator.api.status import VerdictName as Verdict
from resilience_operator.decision.model.commands import Command

__all__ = [
    "DryRunOverlay",
    "Intent",
    "Memory",
    "Phase",
    "Quarantine",
    "ReleaseMemory",
    "RequestCounts",
    "RuleMemory",
    "ScalingMemory",
    "Timer",
    "Verdict",
]


def stored_as(key: str) -> dict[str, str]:
    """Metadata of a field whose key in the JSON is `key`: the name it had when memories were first stored.

    It is read and written, so a newer and an older version of the operator read each other's memories.
    """
    return {"alias": key}


def _split_names(stored: object) -> object:
    if not isinstance(stored, str):
        return stored
    return tuple(stored.split(", ")) if stored else ()


RuleNames = Annotated[tuple[str, ...], BeforeValidator(_split_names), PlainSerializer(", ".join)]
"""Names of rules; in the JSON they are one string, joined by `, `. The name of a rule holds no comma."""


@dataclass(frozen=True, slots=True)
class Timer:
    """One condition's past.

    since: when `verdict` began. crossed: the first crossing seen of the present excursion, None while not crossed.
    unknown: since when there is no measurement, None while there is one.
    last: while nothing at all is measured, the verdict before that; else Unknown.
    """

    verdict: Verdict = Verdict.UNKNOWN
    since: float = 0.0
    crossed: float | None = None
    unknown: float | None = None
    last: Verdict = Verdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class RuleMemory:
    """One rule's past.

    timers: one for each of its conditions, over the whole target. breach: since when the rule is in breach.
    blame: the same timers over what counts against the release; guilty: since when the release is in breach.
    scaled: when this rule last scaled the target up (its cooldown counts from there).
    of: what the timers are about (`policy.signature`); those of a rule that reads otherwise now mean nothing.
    called, rehearsed: for each of its plugins, the breach (its moment) for which it was called, or only rehearsed.
    base: replicas when the breach began, for a rule whose signal tells how many times as many are needed.
    """

    timers: tuple[Timer, ...] = ()
    breach: float | None = None
    release_timers: tuple[Timer, ...] = field(default=(), metadata=stored_as("blame"))
    release_breach_since: float | None = field(default=None, metadata=stored_as("guilty"))
    scaled: float | None = None
    signature: str = field(default="", metadata=stored_as("of"))
    called: Mapping[str, float] = field(default_factory=dict)
    called_in_dry_run: Mapping[str, float] = field(default_factory=dict, metadata=stored_as("rehearsed"))
    base_replicas: int | None = field(default=None, metadata=stored_as("base"))


@dataclass(frozen=True, slots=True)
class ScalingMemory:
    """baseline: replicas when the policy first saw its target.

    seen: replicas at the last evaluation, or as commanded since: another number means that somebody else scaled.
    held: what somebody else scaled to; nothing below it is given back until they change it again.
    calm: since when a pod could be spared, or when the last step was given back.
    need: pods that the load needed when the operator last added some.
    """

    baseline: int | None = None
    last_replicas: int | None = field(default=None, metadata=stored_as("seen"))
    manual_floor: int | None = field(default=None, metadata=stored_as("held"))
    stable_since: float | None = field(default=None, metadata=stored_as("calm"))
    required_at_scale_up: float | None = field(default=None, metadata=stored_as("need"))


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """A counted signal of the whole target at one time: how many of how many requests were bad."""

    samples: float
    events: float


@dataclass(frozen=True, slots=True)
class ReleaseMemory:
    """The release life cycle's past.

    since: when `phase` began. good: the revision that is last known good.
    template, good_template: the digests of the templates of `revision` and `good`, as they were seen to run. Empty in
        the memory of an older version (`release.lifecycle.with_templates`).
    ready: when the bake began, moved on by the time in which nothing could be measured; unmeasured: since when.
    ok_before: rules that were Ok when this one began, or that it was since found to breach while the old revision did
        not (only those can be turned by it).
    before: the counted signals as they were then. began: when the new revision began to be measured.
    shared: rules that the old revision was found to breach as well, and that were not Ok since.
    paused: when this operator paused it, and `paused_rules` on whose account.
    hands_off: a person overruled the operator on this revision: it is watched and told, no longer touched.
    held: rolled back as often as allowed; it stays paused until a person decides.
    rolled_from: the revision that the rollback under way, or done, left.
    """

    phase: Phase
    since: float
    revision: str | None
    good: str | None = None
    bake_started: float | None = field(default=None, metadata=stored_as("ready"))
    unmeasured: float | None = None
    ok_before: tuple[str, ...] = ()
    baseline: Mapping[str, RequestCounts] = field(default_factory=dict, metadata=stored_as("before"))
    canary_measured_since: float | None = field(default=None, metadata=stored_as("began"))
    shared_breaches: tuple[str, ...] = field(default=(), metadata=stored_as("shared"))
    paused: float | None = None
    paused_rules: RuleNames = field(default=(), metadata=stored_as("pausedRule"))
    manual_override: bool = field(default=False, metadata=stored_as("handsOff"))
    rollback_limit_reached: bool = field(default=False, metadata=stored_as("held"))
    rolled_from: str | None = None
    template: str = ""
    good_template: str = ""

    def continues(self, before: ReleaseMemory) -> bool:
        """Whether this is about the revision that `before` was about."""
        return self.revision == before.revision and before.template in ("", self.template)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A revision that was rolled back: why, and how many times it was. rehearsed: never in earnest, so far."""

    revision: str
    at: float
    rules: RuleNames = field(metadata=stored_as("rule"))
    message: str
    rollbacks: int = 1
    dry_run: bool = field(default=False, metadata=stored_as("rehearsed"))


@dataclass(frozen=True, slots=True)
class DryRunOverlay:
    """What rehearsed commands would have made of the target, and what it really was then.

    A real change of the same thing (replicas, an HPA's minimum, revision) ends the rehearsal of it. None: that thing
    is as it really is.
    """

    replicas: int | None = None
    real_replicas: int | None = None
    minimum: int | None = None
    real_minimum: int | None = None
    paused: bool | None = None
    revision: str | None = None
    real_revision: str | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """Commands about to be carried out, written down before the first of them.

    at: when they were decided. After a crash, `recover_intent` finds out from the target which of them
    were applied.
    """

    at: float
    commands: tuple[Command, ...]
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything remembered of one policy. told: keys of the notices that hold and have been told."""

    target_uid: str = ""
    rules: Mapping[str, RuleMemory] = field(default_factory=dict)
    scaling: ScalingMemory = ScalingMemory()
    release: ReleaseMemory | None = None
    quarantined: tuple[Quarantine, ...] = ()
    overlay: DryRunOverlay | None = field(default=None, metadata=stored_as("shadow"))
    intent: Intent | None = None
    announced: frozenset[str] = field(default=frozenset(), metadata=stored_as("told"))
    metrics_missing_since: float | None = field(default=None, metadata=stored_as("metricsGone"))
