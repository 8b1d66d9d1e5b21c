"""Sends outcomes and notices to notifiers, after their Events were recorded."""

from __future__ import annotations

from collections.abc import Sequence

from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.commands import Notice, Outcome, Result
from resilience_operator.decision.model.policy import Mode
from resilience_operator.decision.model.target import TargetState
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.plugins.protocols import Notification
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.reporting.event_recorder import WARNING_VERBS


def notify_outcomes(
    notifiers: Notifiers, entry: PolicyEntry, target: TargetState, outcomes: Sequence[Outcome], at: float, trace_id: str
) -> None:
    """Send done, failed and dry-run outcomes. A repeated failure keeps its key for an hour."""
    for outcome in outcomes:
        if not outcome.retryable:
            notifiers.enqueue(_decision(entry, target, outcome, at, trace_id))


def notify_notices(notifiers: Notifiers, entry: PolicyEntry, decision: Decision, trace_id: str) -> None:
    """Send the notices of a decision: alerts and announcements."""
    for notice in decision.notices:
        notifiers.enqueue(_notice(entry, decision, notice, trace_id))


def _decision(entry: PolicyEntry, target: TargetState, outcome: Outcome, at: float, trace_id: str) -> Notification:
    command = outcome.command
    failed = outcome.result is Result.FAILED
    moment = f"failed/{at // 3600:.0f}" if failed else f"{at:.3f}"
    key = command.arguments.get("key") or f"{entry.uid}/{command.verb}/{moment}"
    return Notification(
        key=str(key),
        kind="decision",
        at=at,
        namespace=entry.namespace,
        policy=entry.name,
        target_kind=target.kind,
        target=target.name,
        reason="ActionFailed" if failed else command.reason,
        message=outcome.description,
        warning=failed or command.verb in WARNING_VERBS,
        dry_run=outcome.result is Result.DRY_RUN,
        action=command.verb.value,
        result=outcome.result.value,
        rule=command.rule,
        before="" if command.from_ is None else str(command.from_),
        after="" if command.to is None else str(command.to),
        trace_id=trace_id,
    )


def _notice(entry: PolicyEntry, decision: Decision, notice: Notice, trace_id: str) -> Notification:
    return Notification(
        key=f"{entry.uid}/{notice.key}@{decision.at:.0f}",
        kind="notice",
        at=decision.at,
        namespace=entry.namespace,
        policy=entry.name,
        target_kind=decision.target.kind,
        target=decision.target.name,
        reason=notice.reason,
        message=notice.message,
        warning=notice.warning,
        dry_run=decision.policy.mode is Mode.DRY_RUN,
        trace_id=trace_id,
    )
