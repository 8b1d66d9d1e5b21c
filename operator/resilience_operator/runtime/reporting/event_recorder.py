"""Records Events on the policy and its target, for actions and notices.

An Event that could not be written is retried at the policy's next evaluation under the same name, so it is never
duplicated. No action depends on Events. While the API server accepts none, a circuit breaker lets one evaluation try
every few seconds.

The Events of one policy are rate limited (`event_limit`). The next Event that is written says how many were suppressed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Literal

from resilience_operator.api.pause import Pause
from resilience_operator.api.text import cut
from resilience_operator.api.v1alpha1 import API_VERSION, KIND
from resilience_operator.decision.model.commands import Command, Outcome, Result, Verb
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.client import delivery_events, events
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.resilience import Breaker, BreakerSettings, CallError, Deadline, GiveUp, Unprocessable
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.runtime.reporting.event_limit import EventLimit
from resilience_operator.runtime.reporting.publication import Publication
from resilience_operator.runtime.telemetry.metrics import EVENTS_SUPPRESSED

MAX_PENDING = 20
"""Maximum pending Events of one policy. Beyond it the oldest is dropped, notices before changes."""

_ONE_FAILURE_OPENS = BreakerSettings(
    failure_rate=0, minimum_calls=1, window_calls=1, slow_call=events.TIMEOUT, open_for=5.0, half_open_calls=1
)
"""Each Event was already retried several times when it counts as failed."""

_EVENT_REASONS = {
    Verb.SCALE_UP: "ScaledUp",
    Verb.SCALE_DOWN: "ScaledDown",
    Verb.ADOPT_MINIMUM: "MinimumChanged",
    Verb.PAUSE: "RolloutPaused",
    Verb.RESUME: "RolloutResumed",
    Verb.ROLLBACK: "RolledBack",
    Verb.PLUGIN: "PluginRun",
    Verb.FREEZE: "RolloutFrozen",
    Verb.UNFREEZE: "RolloutResumed",
    Verb.DENY_ROLLBACK: "RollbackDenied",
    Verb.KEEP_CONFIGURATION: "ConfigurationKept",
    Verb.LIFT_HOLD: "ReconciliationResumed",
}
WARNING_VERBS = (Verb.PAUSE, Verb.ROLLBACK)
"""Verbs whose Events are Warnings, even when they succeed."""
_CHANGES = tuple(verb for verb in Verb if verb not in (Verb.PLUGIN, Verb.DENY_ROLLBACK, Verb.KEEP_CONFIGURATION))


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An Event to be recorded on the policy and on its target. The same key results in the same two Events.

    notice: key of the lasting notice that it reports, which counts as announced when both Events exist; or empty.
    trace_id: of the evaluation that decided it; or empty.
    change: it reports a change of the workload, including a failed or dry-run one.
    delivery: what it says on the object that applies the target from git; empty: nothing.
    """

    key: str
    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    message: str
    target: TargetState
    notice: str = ""
    trace_id: str = ""
    change: bool = False
    delivery: str = ""

    @property
    def dedup_key(self) -> str:
        """Deduplication key: an undelivered notice may be decided again and must not be queued twice."""
        return self.notice or self.key


class EventRecorder:
    """Writes Events, and keeps those that could not be written."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        self._pending: dict[str, dict[str, PendingEvent]] = {}
        self._limits: dict[str, EventLimit] = {}
        self._breaker = Breaker(_ONE_FAILURE_OPENS)

    def forget(self, uid: str) -> None:
        """Drop the state of a deleted policy."""
        self._pending.pop(uid, None)
        self._limits.pop(uid, None)

    def has_pending(self, uid: str) -> bool:
        """Return True if Events of a policy are pending."""
        return uid in self._pending

    def undelivered(self, uid: str) -> frozenset[str]:
        """Return the keys of a policy's notices that are not delivered yet."""
        return frozenset(a.notice for a in self._pending.get(uid, {}).values() if a.notice)

    async def record(self, entry: PolicyEntry, publication: Publication, deadline: Deadline) -> None:
        """Record Events for outcomes and new notices, and retry pending ones."""
        tells = entry.policy is not None and entry.policy.release.notify_delivery
        outcomes = _of_outcomes(publication, entry.name, tells=tells)
        await self._enqueue(entry, (*outcomes, *_of_notices(publication)), deadline)

    async def record_pause(
        self, entry: PolicyEntry, target: TargetState, pause: Pause | None, at: float, deadline: Deadline
    ) -> None:
        """Record the start of a manual pause (`pause` is set) or its end (None)."""
        end = "it was lifted" if entry.pause is None else "it has run out"
        event = PendingEvent(
            key=f"{'paused' if pause else 'unpaused'}@{at:.0f}",
            type="Normal",
            reason="PolicyPaused" if pause else "PolicyResumed",
            action="Paused" if pause else "Resumed",
            message=f"policy {entry.name} is {pause}" if pause else f"policy {entry.name} goes on after a pause: {end}",
            target=target,
        )
        await self._enqueue(entry, [event], deadline)

    async def _enqueue(self, entry: PolicyEntry, new_events: Iterable[PendingEvent], deadline: Deadline) -> None:
        pending = self._pending.get(entry.uid, {})
        for event in new_events:
            if event.dedup_key not in pending and (admitted := self._admit(entry.uid, event)):
                pending[event.dedup_key] = admitted
        if len(pending) > MAX_PENDING:
            notices_first = sorted(pending, key=lambda key: pending[key].change)
            for key in notices_first[: len(pending) - MAX_PENDING]:
                del pending[key]
        if not pending or entry.deleted:
            return
        self._pending[entry.uid] = pending
        if deadline.expired or not self._breaker.acquire():
            return
        started = asyncio.get_running_loop().time()
        try:
            unavailable = await self._write(entry, pending, deadline)
        except BaseException:
            self._breaker.cancel()
            raise
        self._breaker.record(asyncio.get_running_loop().time() - started, ok=not unavailable)
        if not pending:
            self._pending.pop(entry.uid, None)

    def _admit(self, uid: str, event: PendingEvent) -> PendingEvent | None:
        """Return the Event to write; None if the policy exceeded its rate limit."""
        limit = self._limits.setdefault(uid, EventLimit())
        if not limit.admit(change=event.change):
            EVENTS_SUPPRESSED.inc()
            return None
        if not limit.suppressed:
            return event
        count, limit.suppressed = limit.suppressed, 0
        more = f" ({count} earlier events of this policy were suppressed: too many in a short time)"
        return replace(event, message=cut(event.message, events.MAX_NOTE - len(more)) + more)

    async def _write(self, entry: PolicyEntry, pending: dict[str, PendingEvent], deadline: Deadline) -> bool:
        """Write all Events concurrently, and keep those to retry. Returns True if the API server is unavailable."""
        found = await asyncio.gather(*(self._record(entry, a, deadline) for a in list(pending.values())))
        for key, errors in zip(list(pending), found, strict=True):
            if not any(_may_pass(error) for error in errors):
                del pending[key]
        return any(not isinstance(error, GiveUp) for errors in found for error in errors)

    async def _record(self, entry: PolicyEntry, event: PendingEvent, deadline: Deadline) -> list[CallError]:
        """Record the Event on its objects. Returns the errors."""
        target = event.target
        policy = events.ObjectRef(API_VERSION, KIND, entry.namespace, entry.name, entry.uid)
        workload = events.ObjectRef(target.api_version, target.kind, target.namespace, target.name, target.uid)
        subjects = [(policy, workload, event.message), (workload, policy, event.message)]
        failed: list[CallError] = []
        if event.delivery and target.delivered_by is not None:
            try:
                owner = await delivery_events.find(self._kube, target.delivered_by, deadline=deadline)
            except CallError as error:
                failed.append(error)
            else:
                subjects += [] if owner is None else [(owner, workload, event.delivery)]
        errors = await asyncio.gather(
            *(
                events.record(
                    self._kube,
                    subject,
                    key=f"{entry.uid}/{event.key}",
                    type=event.type,
                    reason=event.reason,
                    action=event.action,
                    message=message,
                    related=related,
                    trace_id=event.trace_id,
                    deadline=deadline,
                )
                for subject, related, message in subjects
            )
        )
        # An Event on another tool's object is optional: one that is refused is not tried again.
        failed += [error for error in errors[2:] if error is not None and not isinstance(error, GiveUp)]
        return [*failed, *(error for error in errors[:2] if error is not None)]


def _may_pass(error: CallError) -> bool:
    """Return True if the write may succeed later: not if the API server rejected the Event as invalid."""
    return not (isinstance(error, Unprocessable) or error.status == HTTPStatus.BAD_REQUEST)


def _of_outcomes(publication: Publication, policy: str, *, tells: bool) -> Iterator[PendingEvent]:
    for outcome in publication.outcomes:
        command = outcome.command
        if outcome.retryable:
            continue
        failed = outcome.result is Result.FAILED
        dry_run = outcome.result is Result.DRY_RUN
        message = outcome.description
        yield PendingEvent(
            key=_key(outcome, publication.at),
            type="Warning" if failed or command.verb in WARNING_VERBS else "Normal",
            reason="ActionFailed" if failed else _EVENT_REASONS.get(command.verb, "Done"),
            action=f"{command.verb[0].upper()}{command.verb[1:]}",
            message=f"[dry run] {message}" if dry_run else message,
            target=publication.target,
            trace_id=publication.trace_id,
            change=command.verb in _CHANGES,
            delivery=_for_delivery(publication.target, command, policy) if tells and not (failed or dry_run) else "",
        )


def _for_delivery(target: TargetState, command: Command, policy: str) -> str:
    """Return what to say on the object that applies the target from git: empty if it does not concern it."""
    if target.delivered_by is None or command.verb not in WARNING_VERBS:
        return ""
    what = f"{target.kind} {target.namespace}/{target.name}: {command.message}"
    if command.verb is Verb.PAUSE:
        return f"{what} (ResiliencePolicy {policy})"
    what = f"{what} (ResiliencePolicy {policy}). The source still has revision {command.from_}: revert it there"
    if command.arguments.get("hold"):
        return f"{what}. The operator lets the new version of the source be applied"
    return f"{what}. If it is applied again, it is rolled back again, and then held paused"


def _of_notices(publication: Publication) -> Iterator[PendingEvent]:
    for notice in publication.notices:
        yield PendingEvent(
            key=f"{notice.key}@{publication.at:.0f}",
            type="Warning" if notice.warning else "Normal",
            reason=notice.reason,
            action="Told",
            message=f"[dry run] {notice.message}" if publication.dry_run else notice.message,
            target=publication.target,
            notice="" if notice.transient else notice.key,
            trace_id=publication.trace_id,
        )


def _key(outcome: Outcome, at: float) -> str:
    """Return a key that is the same when the same outcome is reported again."""
    command = outcome.command
    if command.verb is Verb.PLUGIN:
        return f"{command.verb}/{command.arguments['key']}"
    # A failing action is retried at every interval, but reported once per hour.
    return f"{command.verb}/failed/{at // 3600:.0f}" if outcome.result is Result.FAILED else f"{command.verb}/{at:.3f}"
