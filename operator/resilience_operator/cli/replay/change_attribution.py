"""Attributes recorded changes to the operator, by the policy's history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resilience_operator.api.base import to_epoch
from resilience_operator.api.status import HISTORY_LENGTH, DecisionStatus
from resilience_operator.decision.model.commands import Verb
from resilience_operator.decision.model.policy import Mode, Policy
from resilience_operator.decision.model.target import MANAGER

_LAG = 90.0
"""Maximum seconds from a decision to its recorded change, due to scrapes and the controller."""
_LEAD = 15.0
"""Maximum seconds by which a recorded change may precede it, due to clock differences."""


@dataclass(frozen=True, slots=True)
class RecordedDecisions:
    """Decisions that changed the target, newest first.

    reaches: start of the history, seconds since the epoch; 0 if it is complete. Earlier changes are attributed to the
    operator.
    """

    entries: Sequence[DecisionStatus] = ()
    reaches: float = 0.0

    @classmethod
    def of(cls, policy: Policy, history: Sequence[DecisionStatus]) -> RecordedDecisions:
        """The decisions in a policy's history. A policy in DryRun has changed nothing."""
        done = [entry for entry in history if not entry.dry_run]
        cut = len(history) >= HISTORY_LENGTH and policy.mode is Mode.ENFORCE and bool(done)
        return cls(done, to_epoch(done[-1].at) if cut else 0.0)

    def field_manager(self, at: float, verbs: tuple[Verb, ...], to: str | None = None) -> str:
        """The operator's field manager if the history has such an action shortly before; otherwise empty."""
        for entry in self.entries:
            fits = entry.action in verbs and (to is None or entry.to == to)
            if fits and -_LEAD <= at - to_epoch(entry.at) <= _LAG:
                return MANAGER
        return MANAGER if at < self.reaches and Verb.ROLLBACK not in verbs else ""


NO_DECISIONS = RecordedDecisions()
"""For a policy that has never acted."""
