"""Builds the notifications of outcomes and notices."""

from __future__ import annotations

from collections.abc import Iterator

from resilience_operator.decision.model.commands import Notice, Outcome, Result
from resilience_operator.plugins.protocols import Notification
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.reporting.event_recorder import WARNING_VERBS
from resilience_operator.runtime.reporting.publication import Publication


def notifications_of(entry: PolicyEntry, publication: Publication) -> Iterator[Notification]:
    """Yield done, failed and dry-run outcomes, and notices. A repeated failure keeps its key for an hour."""
    for outcome in publication.outcomes:
        if not outcome.retryable:
            yield _of_outcome(entry, publication, outcome)
    for notice in publication.notices:
        yield _of_notice(entry, publication, notice)


def _of_outcome(entry: PolicyEntry, publication: Publication, outcome: Outcome) -> Notification:
    command, at, target = outcome.command, publication.at, publication.target
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
        trace_id=publication.trace_id,
    )


def _of_notice(entry: PolicyEntry, publication: Publication, notice: Notice) -> Notification:
    return Notification(
        key=f"{entry.uid}/{notice.key}@{publication.at:.0f}",
        kind="notice",
        at=publication.at,
        namespace=entry.namespace,
        policy=entry.name,
        target_kind=publication.target.kind,
        target=publication.target.name,
        reason=notice.reason,
        message=notice.message,
        warning=notice.warning,
        dry_run=publication.dry_run,
        trace_id=publication.trace_id,
    )
