"""The memory of a policy: the state kept from one evaluation to the next.

It is stored in the policy's status, so a restarted operator or a new leader continues where the last one stopped. It
contains times (seconds since the epoch) and no running counters: without events it does not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer

from resilience_operator.api.status import Phase
from resilience_operator.api.status import VerdictName as Verdict
from resilience_operator.decision.model import score as evidence
from resilience_operator.decision.model.commands import Command
from resilience_operator.decision.model.record import record, replace
from resilience_operator.decision.model.score import Score

__all__ = [
    "ConfigurationChange",
    "DryRunOverlay",
    "FreezeMemory",
    "GoodCounts",
    "HealthMemory",
    "HoldMemory",
    "Intent",
    "LoadMean",
    "LoadMemory",
    "LoadSample",
    "Memory",
    "Phase",
    "Quarantine",
    "ReleaseMemory",
    "RequestCounts",
    "Revert",
    "RollbackRequest",
    "RollbackResult",
    "RuleMemory",
    "ScalingMemory",
    "ServedRevision",
    "Timer",
    "Verdict",
]


def stored_as(key: str) -> dict[str, str]:
    """Return the metadata of a field whose JSON key is `key`: its original stored name.

    The key is used for reading and writing, so newer and older versions of the operator read each other's memories.
    """
    return {"alias": key}


def _split_names(stored: object) -> object:
    if not isinstance(stored, str):
        return stored
    return tuple(stored.split(", ")) if stored else ()


Live = Annotated[evidence.LiveEvidence | None, Field(exclude=True), BeforeValidator(lambda _: None)]
"""Evidence of this process. Never stored, and never read from a status."""

Needs = Annotated[tuple[tuple[float, int], ...], Field(exclude=True), BeforeValidator(lambda _: ())]
"""Pods by time. Never stored, and never read from a status."""

RuleNames = Annotated[tuple[str, ...], BeforeValidator(_split_names), PlainSerializer(", ".join)]
"""Names of rules; in JSON one string, joined by `, `. Rule names contain no comma."""


@record(frozen=True, slots=True)
class Timer:
    """The timer of one condition.

    since: when `verdict` began. crossed: the first crossing of the current excursion, or None.
    unknown: since when the condition is Unknown, or None.
    last: while there is no measurement, the verdict before that; otherwise Unknown.
    """

    verdict: Verdict = Verdict.UNKNOWN
    since: float = 0.0
    crossed: float | None = None
    unknown: float | None = None
    last: Verdict = Verdict.UNKNOWN


@record(frozen=True, slots=True)
class RuleMemory:
    """The memory of one rule.

    timers: one per condition, for the whole target. breach: since when the rule is in breach.
    release_timers: the same for what counts against the release. release_breach_since: since when the release fails.
    scaled: when this rule last scaled the target up; its cooldown starts then.
    signature: the conditions that the timers belong to (`Rule.signature`); timers of other conditions are dropped.
    called, called_in_dry_run: by plugin, the start of the breach for which it was called.
    base_replicas: replicas at the start of the breach, if the signal provides a replica factor.
    scaled_value: the value at the last scale-up in this breach, for a signal that is not proportional to load.
    ineffective: scale-ups in this breach after which that value was not lower.
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
    scaled_value: float | None = None
    ineffective: int = 0


class LoadSample(NamedTuple):
    """The load at a time (seconds since the epoch) and its forecast, both in pods at the threshold."""

    at: float
    load: float
    forecast: float


class LoadMean(NamedTuple):
    """The means over the window of the load signal at a time: its value, and requests/s (None if not counted)."""

    at: float
    value: float
    rate: float | None


@record(frozen=True, slots=True)
class LoadMemory:
    """What the process has learned about the load of a target. Not stored, but for `margin`, `start_up` and `cost`.

    samples: oldest first. forecast: pods at the threshold. margin: share by which forecasts were too low.
    start_up: seconds from a scale-up until its pods are ready, or None. replicas: at the last evaluation. changed: when
    they last changed. starting: since when pods of a scale-up are not ready. saturated: when pods were last doubled
    because they were at their limit. served: when the pods of the last scale-up became ready. ready: at the last
    evaluation. sizes: the ready pods until a time, oldest first. means: of the load signal, oldest first. limited: when
    pods were last at their limit. cost: pods in use per request/s, of the revision `cost_of`.
    hasty: a step up undid the last step down within a stabilization period.
    """

    margin: float = 0.0
    start_up: float | None = None
    samples: tuple[LoadSample, ...] = ()
    forecast: float = 0.0
    replicas: int | None = None
    changed: float | None = None
    starting: float | None = None
    saturated: float | None = None
    served: float | None = None
    ready: int | None = None
    sizes: tuple[tuple[float, int], ...] = ()
    means: tuple[LoadMean, ...] = ()
    limited: float | None = None
    cost: float | None = None
    cost_of: str | None = None
    hasty: bool = False


@record(frozen=True, slots=True)
class ScalingMemory:
    """The memory of scaling. baseline: replicas at the first evaluation of the target.

    last_replicas: replicas at the last evaluation, or as commanded since. A different number means manual scaling.
    manual_floor: replicas set manually. The operator does not scale below this number until it is changed again.
    stable_since: since when fewer pods are sufficient, or when the last step down was made.
    required_at_scale_up: pods that the load needed at the last scale-up.
    changed_from: the replicas before `last_replicas`, if the operator made that change and nobody has scaled since.
    reset_from, reset_at: the operator's size that a manifest reset to fewer replicas, and when; None once restored.
    scaled_down: when the operator last scaled down. regressed, regressed_size: when a signal that is not
        proportional to load came back after that, and the size at which it did.
    needs: the pods needed by time, newest last; not stored.
    load: not compared, because it changes at every evaluation: it is stored with the next event.
    min_written, min_changed_from: the HPA's `minReplicas` as the operator wrote it, and what it was before.
    """

    baseline: int | None = None
    last_replicas: int | None = field(default=None, metadata=stored_as("seen"))
    manual_floor: int | None = field(default=None, metadata=stored_as("held"))
    stable_since: float | None = field(default=None, compare=False, metadata=stored_as("calm"))
    required_at_scale_up: float | None = field(default=None, metadata=stored_as("need"))
    changed_from: int | None = None
    min_written: int | None = None
    min_changed_from: int | None = None
    reset_from: int | None = None
    reset_at: float | None = None
    scaled_down: float | None = None
    regressed: float | None = None
    regressed_size: int | None = None
    needs: Needs = field(default=(), compare=False, metadata={"transient": True})
    load: LoadMemory = field(default=LoadMemory(), compare=False, metadata={"transient": True})

    def stable(self, since: float | None, needs: tuple[tuple[float, int], ...]) -> ScalingMemory:
        """Return the memory with another stable period. Written out because it changes at most evaluations."""
        return ScalingMemory(
            self.baseline,
            self.last_replicas,
            self.manual_floor,
            since,
            self.required_at_scale_up,
            self.changed_from,
            self.min_written,
            self.min_changed_from,
            self.reset_from,
            self.reset_at,
            self.scaled_down,
            self.regressed,
            self.regressed_size,
            needs,
            self.load,
        )


@record(frozen=True, slots=True)
class RequestCounts:
    """Request counts of one signal of the whole target: `events` of `samples` requests were bad."""

    samples: float
    events: float


@record(frozen=True, slots=True)
class GoodCounts:
    """Request counts of one test in the last good state, counted in the look-back window that ended `at`."""

    at: float
    samples: float
    events: float


@record(frozen=True, slots=True)
class HealthMemory:
    """What the pods of the release showed.

    stuck_since: since when pods of it do not serve. pausing_since, failing_since: since when that counts against it,
        for a pause and for a rollback. ok_since: since when none fails.
    outage_since, outage_ended: since when no pod serves, or when the last such time ended.
    old_restarts, old_seconds: restarts of the old revision's pods in that many pod-seconds, at the release's start.
    """

    stuck_since: float | None = None
    pausing_since: float | None = None
    failing_since: float | None = None
    ok_since: float | None = None
    outage_since: float | None = None
    outage_ended: float | None = None
    old_restarts: int = 0
    old_seconds: float = 0.0


class RollbackResult(StrEnum):
    """What a rollback changed. OPEN: not known yet, or there was none."""

    OPEN = ""
    HELPED = "Helped"
    DID_NOT_HELP = "DidNotHelp"


@record(frozen=True, slots=True)
class ServedRevision:
    """A revision that may be restored. template: the digest of its template as it ran."""

    revision: str
    template: str


@record(frozen=True, slots=True)
class ConfigurationChange:
    """A change of configuration without a change of the template. since: when it was seen.

    at_start: containers read what changed only when they start.
    """

    since: float
    at_start: bool = False


@record(frozen=True, slots=True)
class ReleaseMemory:
    """The memory of the release.

    since: when `phase` began. good: the last known good revision.
    template, good_template: digests of the templates of `revision` and `good`, as they ran. Empty in the memory of an
        older version (`release.lifecycle.with_templates`).
    bake_started: shifted by the time that does not count. unmeasured: since when it does not count, or None.
    observed_at: when the bake was last looked at, in steps of `release.bake.observation_step`.
    ok_before: rules that were Ok before the release, or that it breached and the old revision did not. Only their
        breaches count against it.
    baseline: request counts before the release. canary_measured_since: since when the new revision is measured.
    shared_breaches: rules that the old revision breached too and that have not been Ok since.
    paused: when this operator paused it. paused_rules: the rules that required the pause.
    manual_override: a person overrode the operator on this revision. It is analysed but not changed any longer.
    rollback_limit_reached: rolled back as often as allowed; it stays paused until a person decides.
    rolled_from: the revision that was rolled back or is being rolled back.
    health: what the pods of `revision` showed; None if nothing out of the ordinary.
    scores: the sequential tests of the release as last stored, by `increments.test_key`. live: in this process.
    scores: the sequential tests of the release as last stored, by `trials.test_key`. live: the same in this process.
    pause_marked: the operator's pause was seen with its annotation.
    lifted_rules: the rules of a pause that a machine lifted; the release is on trial for them until they are Ok.
    resumes: how often the operator resumed this release after it recovered.
    held_unmeasured: a quarantined revision was applied again without measurements; it is judged anew once there are.
    unproven: revisions before this one that were replaced before they were known to be good. Never a baseline.
    charged: revisions that failed a rule or whose pods failed, since the last good one. Never a baseline or a goal.
    served: revisions that served a whole bake with all pods ready and without a charge, the newest last.
    ready_since: since when all pods of `revision` are ready without a break, in its bake.
    rollback_result: what the last rollback changed; empty while that is open.
    failing_from: when the breach began that led to the last rollback.
    configuration: the release is a change of configuration alone; None for a template.
    kept_content: the content for which a copy was made that is not listed yet.
    """

    phase: Phase
    since: float
    revision: str | None
    good: str | None = None
    bake_started: float | None = field(default=None, metadata=stored_as("ready"))
    unmeasured: float | None = None
    observed_at: float | None = None
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
    health: HealthMemory | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    live: Live = field(default=None, repr=False, compare=False, metadata={"transient": True})
    pause_marked: bool = False
    lifted_rules: RuleNames = ()
    resumes: int = 0
    held_unmeasured: bool = False
    unproven: tuple[str, ...] = ()
    charged: tuple[str, ...] = ()
    served: tuple[ServedRevision, ...] = ()
    ready_since: float | None = None
    rollback_result: RollbackResult = RollbackResult.OPEN
    failing_from: float | None = None
    configuration: ConfigurationChange | None = None
    kept_content: str = ""

    def score(self, key: str) -> Score | None:
        """Return the newest score of a test, or None."""
        if self.live is not None and key in self.live.scores:
            return self.live.scores[key].score
        return self.scores.get(key)

    def continues(self, before: ReleaseMemory) -> bool:
        """Return whether this is the same revision as in `before`."""
        return self.revision == before.revision and before.template in ("", self.template)


@record(frozen=True, slots=True)
class Quarantine:
    """A revision that was rolled back, with cause and count. dry_run: only simulated so far."""

    revision: str
    at: float
    rules: RuleNames = field(metadata=stored_as("rule"))
    message: str
    rollbacks: int = 1
    dry_run: bool = field(default=False, metadata=stored_as("rehearsed"))


@record(frozen=True, slots=True)
class DryRunOverlay:
    """The simulated changes of a dry run, and the real values at that time.

    A real change of the same value (replicas, an HPA's minimum, revision) ends that part of the overlay. None: not
    simulated.
    """

    replicas: int | None = None
    real_replicas: int | None = None
    minimum: int | None = None
    real_minimum: int | None = None
    paused: bool | None = None
    revision: str | None = None
    real_revision: str | None = None


@record(frozen=True, slots=True)
class Revert:
    """How often another writer reverted the operator's change of one field.

    field: like `spec.replicas`. by: its field manager. at: the last time. generation: of the policy then.
    """

    field: str
    by: str
    count: int
    at: float
    generation: int


@record(frozen=True, slots=True)
class FreezeMemory:
    """What a freeze did to the target.

    held_since: since when the operator has paused the rollout for it. marked: that pause was seen with its annotation.
    lifted_at: when a person ended the freeze for this target. arrived: a template arrived in the freeze before the
    rollout was paused.
    """

    held_since: float | None = None
    marked: bool = False
    lifted_at: float | None = None
    arrived: bool = False

    def not_held(self) -> FreezeMemory:
        """Return the memory once the pause is lifted, or belongs to the release."""
        return replace(self, held_since=None, marked=False)


@record(frozen=True, slots=True)
class RollbackRequest:
    """A rollback that waits for a person's approval.

    revision, to: the revision to roll back, and the one to restore. asked_at: when. denied: a person denied it.
    approved: a person approved it before it was due. by: who answered.
    """

    revision: str
    to: str
    asked_at: float
    denied: bool = False
    by: str = ""
    approved: bool = False

    @property
    def id(self) -> str:
        """What an answer refers to."""
        return f"{self.revision}@{self.asked_at:.0f}"


@record(frozen=True, slots=True)
class HoldMemory:
    """The suspended reconciliation of the target by the tool that applies it from git.

    revision: the one that was rolled back. owner: the object that applies the target. since: None if it is lifted.
    source: the version of the source that it holds for (`SourceState.identity`). uncertain: it is not known whether
    that version has the template of `revision`, because the rollback came while the owner was applying.
    """

    revision: str
    owner: str
    source: str
    uncertain: bool = False
    since: float | None = None


@record(frozen=True, slots=True)
class Intent:
    """Commands about to be executed, stored before the first of them.

    at: when they were decided. After a crash, `recover_intent` determines from the target which were applied.
    """

    at: float
    commands: tuple[Command, ...]
    trace_id: str = ""


@record(frozen=True, slots=True)
class Memory:
    """The whole memory of one policy. announced: keys of the active notices that were already sent.

    startup_seconds: how long the target's pods take from creation to readiness (90th percentile), or None.
    freeze: None if no freeze is in effect. request: the rollback that waits for approval, or was denied.
    unfinished: a rollback of template and configuration that was interrupted.
    hold: kept after it is lifted, while its revision is quarantined.
    good_counts: request counts of the last good state, by `increments.test_key`. Not compared: stored with the next
        event, such as the start of a metrics gap.
    warm_up_seconds: how long the latency of the target's new pods is higher, or None if nothing is known.
    """

    target_uid: str = ""
    rules: Mapping[str, RuleMemory] = field(default_factory=dict)
    scaling: ScalingMemory = ScalingMemory()
    release: ReleaseMemory | None = None
    quarantined: tuple[Quarantine, ...] = ()
    overlay: DryRunOverlay | None = field(default=None, metadata=stored_as("shadow"))
    intent: Intent | None = None
    reverts: tuple[Revert, ...] = ()
    announced: frozenset[str] = field(default=frozenset(), metadata=stored_as("told"))
    metrics_missing_since: float | None = field(default=None, metadata=stored_as("metricsGone"))
    startup_seconds: float | None = None
    freeze: FreezeMemory | None = None
    request: RollbackRequest | None = None
    unfinished: Command | None = None
    hold: HoldMemory | None = None
    good_counts: Mapping[str, GoodCounts] = field(default_factory=dict, compare=False)
    warm_up_seconds: float | None = None
