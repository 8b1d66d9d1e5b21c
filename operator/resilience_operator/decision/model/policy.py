"""A policy as the decision sees it: parsed, defaulted, in base units (seconds, ratios, pods)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from resilience_operator.api.spec import Mode

__all__ = [
    "Condition",
    "Fallback",
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


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal that some rule reads.

    window: the look-back of its query, seconds. written: as the policy has it, where that was rounded up; else None.
    min_samples: fewer requests than this within the window prove nothing; 0 where samples are not counted.
    unit: `ratio`, `seconds` or `number`; how to write its values for people.
    metered: it comes from the metric source; else the API server tells it.
    """

    name: str
    window: float = 120.0
    min_samples: float = 0.0
    unit: str = "number"
    metered: bool = True
    written: float | None = None

    @property
    def required_samples(self) -> float:
        """Fewer than these prove nothing, where samples are counted: at least one."""
        return max(self.min_samples, 1.0)

    def max_age(self, patience: float) -> float:
        """Seconds from which a measurement is too old. patience: an age that never is."""
        return max(self.window, patience)


@dataclass(frozen=True, slots=True)
class Condition:
    """`signal` is above (or below) `threshold`, and has been for `hold` seconds."""

    signal: str
    threshold: float
    above: bool = True
    hold: float = 0.0


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """Ask for more pods. Exactly one of pods, percent, to_target is set. cooldown: seconds until it may ask again."""

    pods: int | None = None
    percent: float | None = None
    to_target: bool = False
    cooldown: float = 60.0


@dataclass(frozen=True, slots=True)
class Rollback:
    """Roll a failing release back `after` seconds of breach; a re-applied one again at most `limit` times."""

    after: float = 30.0
    limit: int = 1


@dataclass(frozen=True, slots=True)
class Plugin:
    """An action that a plugin carries out."""

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """When → then. `any_of` tells whether one of the conditions is enough, or all are needed.

    signature: what its timers are about, like `cpu>0.7&latency-p99>1`. A change of `for` alone keeps them.
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

    def __post_init__(self) -> None:
        parts = (f"{c.signal}{'>' if c.above else '<'}{c.threshold:g}" for c in self.conditions)
        object.__setattr__(self, "signature", ("|" if self.any_of else "&").join(parts))

    @property
    def guards_release(self) -> bool:
        """Whether a breach of this rule counts against a release."""
        return self.pause or self.rollback is not None


@dataclass(frozen=True, slots=True)
class ScaleDown:
    """Give pods back, one step for every `after` seconds of calm."""

    enabled: bool = True
    after: float = 300.0
    pods: int | None = 1
    percent: float | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """How a release is watched. bake: seconds watched after its last pod is ready."""

    bake: float = 600.0
    fail_on_progress_deadline: bool = False
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Fallback:
    """What holds when the metrics are gone for `after` seconds: nothing, or at least `replicas` pods."""

    after: float = 180.0
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One ResiliencePolicy. min_replicas is None where the author left it to the replicas first found.

    window: the longest look-back of its signals, seconds.
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
    window: float = field(init=False, repr=False, compare=False, default=0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", max((s.window for s in self.signals.values()), default=0.0))
