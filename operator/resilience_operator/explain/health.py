"""The health of a policy in one word: the worst state in its status, used to sort lists."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from resilience_operator.api.conditions import ConditionType, find_condition
from resilience_operator.api.pause import IN_FORCE
from resilience_operator.api.status import Condition, PolicyStatus, VerdictName


class Level(StrEnum):
    """Severity of a state, for display."""

    BAD = "bad"
    WARNING = "warning"
    NOTE = "note"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class PolicyHealth:
    """A stable word, a sentence, and a weight: the severity from 0 to 100."""

    word: str
    why: str
    weight: int

    @property
    def level(self) -> Level:
        """The severity in four levels."""
        if self.weight >= 70:
            return Level.BAD
        return Level.WARNING if self.weight >= 30 else Level.NOTE if self.weight > 0 else Level.GOOD


_RELEASE = {
    "HeldPaused": 95, "RollbackDidNotHelp": 94, "GuardBreached": 93, "ReleaseFailing": 92,
    "ChangeReverted": 91, "HeldUnmeasured": 89,
    "NoKnownGoodRevision": 91, "Paused": 90, "RollingBack": 85,
    "RolledBack": 50, "NotMeasured": 65, "ManualPause": 40, "Progressing": 20, "Baking": 15,
}  # fmt: skip
"""Weights of the reasons of ReleaseHealthy; NoRelease has none."""


def health_of(status: PolicyStatus, generation: int = 0) -> PolicyHealth:
    """Return the worst state in the status. generation: of the policy, to detect an outdated status."""
    ready = find_condition(status.conditions, ConditionType.READY)
    if ready is None:
        return PolicyHealth("NotSeen", "no operator has evaluated it yet", 75)
    if ready.status != "True":
        return PolicyHealth(ready.reason, ready.message, 100)
    if ready.reason == IN_FORCE:
        return PolicyHealth(IN_FORCE, ready.message, 55)
    if generation and (status.observed_generation or 0) < generation:
        return PolicyHealth("Changed", "it was changed and has not been evaluated since", 60)
    if ready.reason == "Suspended":
        return PolicyHealth("Suspended", ready.message, 5)
    found = [s for s in _candidates(status) if s is not None]
    return max(found, key=lambda s: s.weight, default=PolicyHealth("Ok", _message_when_ok(status), 0))


def _candidates(status: PolicyStatus) -> list[PolicyHealth | None]:
    release = find_condition(status.conditions, ConditionType.RELEASE_HEALTHY)
    metrics = find_condition(status.conditions, ConditionType.METRICS_AVAILABLE)
    scaling = find_condition(status.conditions, ConditionType.SCALING)
    return [
        _weighed(release, _RELEASE.get(release.reason, 0)) if release else None,
        _weighed(scaling, 82) if scaling and scaling.status == "False" else None,
        _signals(status, VerdictName.BREACH, 80),
        PolicyHealth("Unmeasured", metrics.message, 70) if metrics and metrics.status != "True" else None,
        _signals(status, VerdictName.UNKNOWN, 45),
        _signals(status, VerdictName.PENDING, 30),
    ]


def _weighed(condition: Condition, weight: int) -> PolicyHealth | None:
    return PolicyHealth(condition.reason, condition.message, weight) if weight else None


def _signals(status: PolicyStatus, verdict: VerdictName, weight: int) -> PolicyHealth | None:
    found = [s for s in status.signals if s.verdict is verdict]
    if not found:
        return None
    values = ", ".join(f"{s.name} {s.value or s.reason or ''}".strip() for s in found)
    return PolicyHealth(verdict.value, values, weight)


def _message_when_ok(status: PolicyStatus) -> str:
    scaling = find_condition(status.conditions, ConditionType.SCALING)
    return scaling.message if scaling and scaling.reason != "NothingScales" else "all signals are within bounds"
