"""The input of `explain`: the policy, its status, its memory, and the target if it could be read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from resilience_operator.api.conditions import ConditionType, find_condition
from resilience_operator.api.pause import IN_FORCE, UNREADABLE
from resilience_operator.api.quantities import format_duration
from resilience_operator.api.status import PolicyStatus, SignalStatus
from resilience_operator.decision.dry_run import apply_overlay, prune
from resilience_operator.decision.model.memory import Memory, ReleaseMemory, RuleMemory
from resilience_operator.decision.model.policy import Policy, Rule
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release.freeze import without_freeze
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES


@dataclass(frozen=True)
class ExplainContext:
    """The state at `now` (seconds since the epoch). live: the real target, None if it could not be read."""

    policy: Policy
    status: PolicyStatus
    memory: Memory
    live: TargetState | None
    now: float
    target_kind: str = "Deployment"
    target_name: str = ""

    @cached_property
    def target(self) -> TargetState | None:
        """The target with the dry-run overlay and without the pause for a freeze, as in decisions."""
        if self.live is None:
            return None
        target = apply_overlay(self.live, prune(self.memory.overlay, self.live))
        return without_freeze(target, self.memory.freeze, self.memory.release)

    @property
    def paused_by_hand(self) -> bool:
        """Whether the policy is paused manually."""
        ready = find_condition(self.status.conditions, ConditionType.READY)
        return ready is not None and ready.reason in (IN_FORCE, UNREADABLE)

    @property
    def release(self) -> ReleaseMemory | None:
        """The memory of the release."""
        return self.memory.release

    @property
    def watched(self) -> bool:
        """Whether a release is in progress, paused or in its bake."""
        return self.release is not None and self.release.phase in ANALYSED_PHASES

    def rule(self, rule: Rule) -> RuleMemory | None:
        """Return the memory of a rule; None if it belongs to other conditions."""
        found = self.memory.rules.get(rule.name)
        return found if found is not None and found.signature == rule.signature and found.timers else None

    def signal(self, name: str) -> SignalStatus | None:
        """Return the last status of a signal."""
        return next((s for s in self.status.signals if s.name == name), None)

    @property
    def replicas(self) -> int | None:
        """Requested pods."""
        if self.target is not None:
            return self.target.replicas
        return self.status.target.replicas if self.status.target is not None else None

    def ago(self, at: float) -> str:
        """Format the time since `at`: `3m20s`."""
        return format_duration(max(0, round(self.now - at)))

    def until(self, at: float) -> str:
        """Format the time until `at`: `in 40s`, or `at the next evaluation` if it has passed."""
        left = round(at - self.now)
        return f"in {format_duration(left)}" if left > 0 else "at the next evaluation"
