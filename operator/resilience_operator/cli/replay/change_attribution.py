"""Whose doing a recorded change was, by the policy's own history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resilience_operator.api.base import to_epoch
from resilience_operator.api.status import HISTORY_LENGTH, DecisionStatus
from resilience_operator.decision.model.commands import Verb
from resilience_operator.decision.model.policy import Mode, Policy
from resilience_operator.decision.model.target import MANAGER

_LAG = 90.0
"""Seconds by which a recorded change may follow the decision that made it: scrapes, and the controller."""
_LEAD = 15.0
"""Seconds by which a recorded change may precede it: two clocks."""


@dataclass(frozen=True, slots=True)
class RecordedDecisions:
    """Decisions that changed the target, the newest first.

    reaches: seconds since the epoch before which the history is cut off, 0 where it is whole. Changes from before it
    are taken for the operator's own.
    """

    entries: Sequence[DecisionStatus] = ()
    reaches: float = 0.0

    @classmethod
    def of(cls, policy: Policy, history: Sequence[DecisionStatus]) -> RecordedDecisions:
        """The journal of a policy. One that only rehearses changed nothing."""
        done = [entry for entry in history if not entry.dry_run]
        cut = len(history) >= HISTORY_LENGTH and policy.mode is Mode.ENFORCE and bool(done)
        return cls(done, to_epoch(done[-1].at) if cut else 0.0)

    def field_manager(self, at: float, verbs: tuple[Verb, ...], to: str | None = None) -> str:
        """The operator's name, if the journal tells of such an action right before; empty where nobody knows."""
        for entry in self.entries:
            fits = entry.action in verbs and (to is None or entry.to == to)
            if fits and -_LEAD <= at - to_epoch(entry.at) <= _LAG:
                return MANAGER
        return MANAGER if at < self.reaches and Verb.ROLLBACK not in verbs else ""


NO_DECISIONS = RecordedDecisions()
"""Of a policy that nobody ever let act."""
