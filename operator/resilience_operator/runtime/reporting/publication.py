"""What is published of one evaluation: the outcomes of commands, and notices."""

from __future__ import annotations

from dataclasses import dataclass

from resilience_operator.decision.model.commands import Notice, Outcome
from resilience_operator.decision.model.target import TargetState


@dataclass(frozen=True, slots=True)
class Publication:
    """Outcomes and notices of a policy.

    target: the real one, without the dry-run overlay. at: when they were decided, in seconds since the epoch.
    dry_run: the notices are of a policy in dry run. trace_id: of the evaluation, or empty.
    """

    target: TargetState
    at: float
    outcomes: tuple[Outcome, ...] = ()
    notices: tuple[Notice, ...] = ()
    dry_run: bool = False
    trace_id: str = ""
