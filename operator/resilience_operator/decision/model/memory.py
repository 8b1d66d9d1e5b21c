"""The memory of a policy: what it keeps from one evaluation to the next.

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
    release_timers: the same over what counts against the release. release_breach_since: since when the release fails.
    scaled: when this rule last scaled the target up (its cooldown starts there).
    signature: the conditions that the timers belong to (`Rule.signature`); those of other conditions are dropped.
    called, called_in_dry_run: by plugin, the breach (its start) for which it was called.
    base_replicas: replicas when the breach began, for a rule whose signal gives a factor of them.
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

    last_replicas: replicas at the last evaluation, or as commanded since. Another number: somebody else scaled.
    manual_floor: what somebody else scaled to. The operator never goes below it until they change it again.
    stable_since: since when fewer pods would do, or when the last step down was made.
    required_at_scale_up: pods that the load needed when the operator last added some.
    """

    baseline: int | None = None
    last_replicas: int | None = field(default=None, metadata=stored_as("seen"))
    manual_floor: int | None = field(default=None, metadata=stored_as("held"))
    stable_since: float | None = field(default=None, metadata=stored_as("calm"))
    required_at_scale_up: float | None = field(default=None, metadata=stored_as("need"))


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """The counts of one signal of the whole target at one time: `events` of `samples` requests were bad."""

    samples: float
    events: float


@dataclass(frozen=True, slots=True)
class ReleaseMemory:
    """The past of the release.

    since: when `phase` began. good: the revision that is last known good.
    template, good_template: the digests of the templates of `revision` and `good`, as they were seen to run. Empty in
        the memory of an older version (`release.lifecycle.with_templates`).
    bake_started: moved on by the time in which nothing could be measured. unmeasured: since when that is so.
    ok_before: rules that were Ok before the release, or that it breached while the old revision did not. Only a breach
        of those counts against it.
    baseline: the counted signals before the release. canary_measured_since: since when the new revision is measured.
    shared_breaches: rules that the old revision breached as well, and that were not Ok since.
    paused: when this operator paused it. paused_rules: the rules that asked for it.
    manual_override: a person acted against the operator on this revision. It is analysed, and no longer touched.
    rollback_limit_reached: rolled back as often as allowed; it stays paused until a person decides.
    rolled_from: the revision that was rolled back, or is being rolled back.
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
    """A revision that was rolled back: why and how often. dry_run: only in dry runs so far."""

    revision: str
    at: float
    rules: RuleNames = field(metadata=stored_as("rule"))
    message: str
    rollbacks: int = 1
    dry_run: bool = field(default=False, metadata=stored_as("rehearsed"))


@dataclass(frozen=True, slots=True)
class DryRunOverlay:
    """What the commands of a dry run would have changed, and what the target really was then.

    A real change of the same thing (replicas, an HPA's minimum, revision) ends its part of the overlay. None: that
    thing is as it really is.
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
    """Commands about to be executed, stored before the first of them.

    at: when they were decided. After a crash, `recover_intent` finds out from the target which of them
    were applied.
    """

    at: float
    commands: tuple[Command, ...]
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything remembered of one policy. announced: keys of the notices that hold and were announced."""

    target_uid: str = ""
    rules: Mapping[str, RuleMemory] = field(default_factory=dict)
    scaling: ScalingMemory = ScalingMemory()
    release: ReleaseMemory | None = None
    quarantined: tuple[Quarantine, ...] = ()
    overlay: DryRunOverlay | None = field(default=None, metadata=stored_as("shadow"))
    intent: Intent | None = None
    announced: frozenset[str] = field(default=frozenset(), metadata=stored_as("told"))
    metrics_missing_since: float | None = field(default=None, metadata=stored_as("metricsGone"))
