"""The compiled policy: parsed, with defaults, in base units (seconds, ratios, pods)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from resilience_operator.api.cron import Cron
from resilience_operator.api.orders import NO_ORDERS, Orders
from resilience_operator.api.spec import Mode

__all__ = [
    "POD_HEALTH",
    "Approval",
    "Condition",
    "Fallback",
    "FreezeWindow",
    "Mode",
    "Plugin",
    "Policy",
    "Release",
    "Rollback",
    "Rule",
    "ScaleDown",
    "ScaleUp",
    "Signal",
]

POD_HEALTH = "pod-health"
"""Name under which failing pods are recorded. It stands where a rule's name does."""


DEFAULT_QUARANTINE = 86400.0
"""Seconds of a quarantine: a day, in which a team has seen the rollback."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal that a rule reads.

    window: the look-back of its query, seconds. written: the window in the policy if it was rounded up; else None.
    min_samples: minimum requests within the window to be conclusive; 0 if samples are not counted.
    unit: `ratio`, `seconds` or `number`, for formatting.
    total: its value is for all pods together; it is divided by the pods before it is compared.
    metered: it comes from a metric source; otherwise from the API server.
    quantile: which quantile of latencies it is (0.99 for `latency-p99`), or None.
    leaves_out_young: its value leaves out pods that have just started, as that of the preset `cpu` does.
    counts_requests: its samples are the requests of the target, as those of the presets for errors and latency are.
    """

    name: str
    window: float = 120.0
    min_samples: float = 0.0
    unit: str = "number"
    metered: bool = True
    written: float | None = None
    total: bool = False
    quantile: float | None = None
    leaves_out_young: bool = False
    counts_requests: bool = False

    @property
    def required_samples(self) -> float:
        """Minimum samples to be conclusive, if samples are counted: at least one."""
        return max(self.min_samples, 1.0)

    def max_age(self, patience: float) -> float:
        """Return the maximum age of a measurement in seconds, at least `patience`."""
        return max(self.window, patience)


@dataclass(frozen=True, slots=True)
class Condition:
    """`signal` has been above (or below) `threshold` for `hold` seconds.

    worse_by: compare the new revision with its baseline instead: it is worse by more than this ratio (0.2 = 20%). The
        threshold is then infinite, so that no value crosses it.
    """

    signal: str
    threshold: float
    above: bool = True
    hold: float = 0.0
    worse_by: float | None = None

    @property
    def sign(self) -> str:
        """The comparison, as part of a rule's signature: `>0.7`, `<10` or `>baseline+0.2`."""
        if self.worse_by is not None:
            return f">baseline+{self.worse_by:g}"
        return f"{'>' if self.above else '<'}{self.threshold:g}"


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """Request more pods. Exactly one of pods, percent, to_target is set. cooldown: seconds until the next request."""

    pods: int | None = None
    percent: float | None = None
    to_target: bool = False
    cooldown: float = 60.0


@dataclass(frozen=True, slots=True)
class Approval:
    """A rollback waits `within` seconds for a person's approval. act: without an answer it is executed."""

    within: float = 300.0
    act: bool = True


@dataclass(frozen=True, slots=True)
class Rollback:
    """Roll back a failing release `after` seconds of breach; a reapplied one at most `limit` more times.

    max_revisions: how many revisions it may go back; None for any number. approval: None: it needs none.
    """

    after: float = 30.0
    limit: int = 1
    max_revisions: int | None = None
    approval: Approval | None = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """An action of a plugin."""

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions and actions. any_of: one condition is sufficient; otherwise all must hold.

    signature: identifies the conditions of its timers, like `cpu>0.7&latency-p99>1`. Changing only `for` keeps them.
    follows_load: it scales ahead of the load: `toTarget` without `for`. guards_release: a breach of this rule counts
    against a release.
    """

    name: str
    conditions: tuple[Condition, ...]
    any_of: bool = False
    scale_up: ScaleUp | None = None
    alert: bool = False
    pause: bool = False
    rollback: Rollback | None = None
    plugins: tuple[Plugin, ...] = ()
    signature: str = field(init=False, repr=False, compare=False, default="")
    follows_load: bool = field(init=False, repr=False, compare=False, default=False)
    guards_release: bool = field(init=False, repr=False, compare=False, default=False)

    def __post_init__(self) -> None:
        parts = (f"{c.signal}{c.sign}" for c in self.conditions)
        object.__setattr__(self, "signature", ("|" if self.any_of else "&").join(parts))
        follows = self.scale_up is not None and self.scale_up.to_target and not self.conditions[0].hold
        object.__setattr__(self, "follows_load", follows)
        object.__setattr__(self, "guards_release", self.pause or self.rollback is not None)


@dataclass(frozen=True, slots=True)
class ScaleDown:
    """Scale down to the highest need of the last `after` seconds; at most by `pods` or `percent` in that time."""

    enabled: bool = True
    after: float = 300.0
    pods: int | None = None
    percent: float | None = None


@dataclass(frozen=True, slots=True)
class FreezeWindow:
    """A recurring freeze: it begins at each occurrence of `cron` in `zone` and lasts `duration` seconds."""

    cron: Cron
    zone: tzinfo
    duration: float


@dataclass(frozen=True, slots=True)
class IncludedConfiguration:
    """Configuration belongs to the revision. secrets: Secrets too."""

    secrets: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """How a release is analysed.

    bake: seconds of analysis after its last pod is ready. until_proven: the bake ends early once it is proven that no
        signal is worse by this ratio; None: it does not.
    progress_deadline: of kinds that have none; None for the default.
    quarantine: seconds after which a revision that was rolled back may be released again.
    act_on_pods: failing pods of the new revision count like a breach. Otherwise they are only reported.
    false_alarms: probability that an equal revision is held for worse, over a whole release. warm_up: seconds for
    which the latency of a new pod does not count; None: as learned from the target's start-ups.
    freezes: times in which no new release begins. notify_delivery: pauses and rollbacks are reported to what applies
    the target from git. configuration: None if it does not belong to the revision.
    hold_delivery: it does not apply a target that was rolled back until its source changes.
    """

    bake: float = 600.0
    until_proven: float | None = None
    act_on_pods: bool = True
    progress_deadline: float | None = None
    fail_on_progress_deadline: bool = False
    false_alarms: float = 0.001
    warm_up: float | None = None
    resume: bool = True
    quarantine: float = DEFAULT_QUARANTINE
    freezes: tuple[FreezeWindow, ...] = ()
    notify_delivery: bool = True
    configuration: IncludedConfiguration | None = None
    hold_delivery: bool = False


@dataclass(frozen=True, slots=True)
class Fallback:
    """The fallback after `after` seconds without metrics: at least `replicas` pods, or none."""

    after: float = 180.0
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that the target calls. It is in trouble while its condition is true."""

    name: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Policy:
    """One ResiliencePolicy. min_replicas: None for the replicas at the first evaluation.

    dependencies: what the target calls, named when scaling does not help.

    orders: those of people in its annotations.

    window: the longest look-back of the signals that its rules read, seconds.
    pod_rule: the rule that failing pods of a release count as: it pauses and rolls back as the others do. Or None.
    """

    uid: str
    namespace: str
    name: str
    generation: int
    rules: tuple[Rule, ...]
    signals: Mapping[str, Signal]
    mode: Mode = Mode.ENFORCE
    interval: float = 15.0
    min_replicas: int | None = None
    max_replicas: int | None = None
    scale_down: ScaleDown = ScaleDown()
    release: Release = Release()
    fallback: Fallback = Fallback()
    orders: Orders = NO_ORDERS
    dependencies: tuple[Dependency, ...] = ()
    window: float = field(init=False, repr=False, compare=False, default=0.0)
    pod_rule: Rule | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        signals = self.signals
        if self.dependencies:
            read = {c.signal for rule in self.rules for c in rule.conditions}
            signals = {name: signal for name, signal in signals.items() if name in read}
        object.__setattr__(self, "window", max((s.window for s in signals.values()), default=0.0))
        object.__setattr__(self, "pod_rule", _pod_rule(self.rules) if self.release.act_on_pods else None)


def _pod_rule(rules: tuple[Rule, ...]) -> Rule | None:
    rollbacks = [r.rollback for r in rules if r.rollback is not None]
    pause = any(r.pause for r in rules)
    rollback = None
    if rollbacks:
        rollback = Rollback(min(r.after for r in rollbacks), max(r.limit for r in rollbacks))
    return Rule(POD_HEALTH, (), pause=pause, rollback=rollback) if pause or rollbacks else None
