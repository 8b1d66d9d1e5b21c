"""Recording: the policy's status, and events on the policy and its target. Nothing is written that did not change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from resilience_operator.api.status import PolicyStatus
from resilience_operator.api.v1alpha1 import API_VERSION, KIND
from resilience_operator.decision.commands import Outcome, Result, Verb
from resilience_operator.decision.decide import Decision
from resilience_operator.decision.target import TargetState
from resilience_operator.kube import events
from resilience_operator.kube.client import Kube
from resilience_operator.kube.policies import patch_status
from resilience_operator.resilience import Deadline
from resilience_operator.runtime.entry import Entry
from resilience_operator.runtime.metrics import STATUS_WRITES
from resilience_operator.status.render import Rendered

_EVENT_REASONS = {
    Verb.SCALE_UP: "ScaledUp",
    Verb.SCALE_DOWN: "ScaledDown",
    Verb.PAUSE: "RolloutPaused",
    Verb.RESUME: "RolloutResumed",
    Verb.ROLLBACK: "RolledBack",
    Verb.PLUGIN: "PluginRun",
}
_WARNING_VERBS = (Verb.PAUSE, Verb.ROLLBACK)
EventType = Literal["Normal", "Warning"]


class Recorder:
    """Writes what evaluations come to. refresh: seconds between writes of values that are only shown, 0 for never."""

    def __init__(self, kube: Kube, *, refresh: float) -> None:
        self._kube = kube
        self._refresh = refresh
        self._written: dict[str, float] = {}

    def forget(self, uid: str) -> None:
        """A policy is gone."""
        self._written.pop(uid, None)

    async def write_status(self, entry: Entry, rendered: Rendered, deadline: Deadline, *, why: str) -> None:
        """Write the status if it changed in essence, or if only shown values changed and it is time to.

        Raises ReadAgain when the policy is no longer the one that was evaluated.
        """
        if entry.deleted:
            return
        now = asyncio.get_running_loop().time()
        same = rendered.essence == entry.essence
        if same:
            due = self._refresh and now - self._written.get(entry.uid, now) >= self._refresh
            if not due or rendered.body == entry.raw_status:
                return
            why = "refresh"
        patch = merge_patch(entry.raw_status, rendered.body)
        if patch:
            written = await patch_status(
                self._kube,
                entry.namespace,
                entry.name,
                patch,
                deadline=deadline,
                uid=entry.uid,
                resource_version=entry.resource_version,
            )
            STATUS_WRITES.labels(why).inc()
            entry.resource_version = str(written["metadata"]["resourceVersion"])
            entry.raw_status = dict(written.get("status") or {})
        entry.status = PolicyStatus.model_validate(rendered.body)
        entry.essence = rendered.essence
        self._written[entry.uid] = now

    async def tell(self, entry: Entry, decision: Decision, outcomes: Sequence[Outcome], deadline: Deadline) -> None:
        """Events for what was done, and for notices that are new."""
        await self.tell_outcomes(entry, decision.target, outcomes, decision.at, deadline)
        for notice in decision.notices:
            await self._record(
                entry,
                decision.target,
                key=f"{notice.key}@{decision.at:.0f}",
                type_="Warning" if notice.warning else "Normal",
                reason=notice.reason,
                action="Told",
                message=_prefix(entry, decision) + notice.message,
                deadline=deadline,
            )

    async def tell_outcomes(
        self, entry: Entry, target: TargetState, outcomes: Iterable[Outcome], at: float, deadline: Deadline
    ) -> None:
        """Events for what was done, or failed."""
        for outcome in outcomes:
            command = outcome.command
            if outcome.result is Result.SUPERSEDED:
                continue
            failed = outcome.result is Result.FAILED
            rehearsed = outcome.result is Result.REHEARSED
            message = outcome.sentence
            await self._record(
                entry,
                target,
                key=_key(outcome, at),
                type_="Warning" if failed or command.verb in _WARNING_VERBS else "Normal",
                reason="ActionFailed" if failed else _EVENT_REASONS.get(command.verb, "Done"),
                action=f"{command.verb[0].upper()}{command.verb[1:]}",
                message=f"[dry run] {message}" if rehearsed else message,
                deadline=deadline,
            )

    async def _record(
        self,
        entry: Entry,
        target: TargetState,
        *,
        key: str,
        type_: EventType,
        reason: str,
        action: str,
        message: str,
        deadline: Deadline,
    ) -> None:
        policy = events.Subject(API_VERSION, KIND, entry.namespace, entry.name, entry.uid)
        workload = events.Subject(target.api_version, target.kind, target.namespace, target.name, target.uid)
        await asyncio.gather(
            *(
                events.record(
                    self._kube,
                    subject,
                    key=f"{entry.uid}/{key}",
                    type=type_,
                    reason=reason,
                    action=action,
                    message=message,
                    related=related,
                    deadline=deadline,
                )
                for subject, related in ((policy, workload), (workload, policy))
            )
        )


def _key(outcome: Outcome, at: float) -> str:
    """The same when the same thing is told again."""
    command = outcome.command
    if command.verb is Verb.PLUGIN:
        return f"{command.verb}/{command.arguments['key']}"
    # A failing action is tried again at every interval; it is told once an hour.
    return f"{command.verb}/failed/{at // 3600:.0f}" if outcome.result is Result.FAILED else f"{command.verb}/{at:.3f}"


def _prefix(entry: Entry, decision: Decision) -> str:
    return "[dry run] " if decision.policy.mode == "DryRun" else ""


def merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes `before` into `after`; empty when they are equal."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := merge_patch(old, value):
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch
