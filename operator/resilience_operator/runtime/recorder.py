"""Recording: the policy's status. Nothing is written that did not change.

What changed in essence is written at once. Values that are only shown change all the time: they are refreshed in turn,
within a budget that all policies share.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import orjson

from resilience_operator.api.status import PolicyStatus
from resilience_operator.kube.client import Kube
from resilience_operator.kube.policies import patch_status, replace_status
from resilience_operator.resilience import Deadline
from resilience_operator.runtime.budget import Budget
from resilience_operator.runtime.entry import Entry, headline, packed
from resilience_operator.runtime.metrics import STATUS_WRITES
from resilience_operator.runtime.pace import Pace
from resilience_operator.status.render import Rendered, significant_of

VERDICT_WRITES = 20
"""Writes at once of one policy's status on account of verdicts alone, without a decision."""

VERDICT_SECONDS = 15.0
"""After that, one in so many seconds: a policy that flaps is written less often than it is evaluated."""


class Recorder:
    """Writes what evaluations come to.

    refresh: the least seconds between two writes of a policy's values that are only shown. writes_per_second: of such
    writes, by all policies together. 0 of either: never. pace: is told of each write.
    """

    def __init__(self, kube: Kube, *, refresh: float, writes_per_second: float, pace: Pace) -> None:
        self._kube = kube
        self._pace = pace
        self._refresh = refresh
        self._budget = Budget(writes_per_second if refresh else 0.0, time.monotonic)
        self._written: dict[str, float] = {}
        self._verdicts: dict[str, Budget] = {}

    def forget(self, uid: str) -> None:
        """A policy is gone."""
        self._written.pop(uid, None)
        self._verdicts.pop(uid, None)

    def verdict_due(self, entry: Entry) -> bool:
        """Whether a status that changed in verdicts alone may be written now."""
        budget = self._verdicts.get(entry.uid)
        return budget is None or budget.left()

    def refresh_due(self, entry: Entry) -> bool:
        """Whether values that are only shown may be written now, if they changed."""
        written = self._written.get(entry.uid)
        return written is not None and time.monotonic() - written >= self._turn and self._budget.left()

    @property
    def _turn(self) -> float:
        """Seconds from a policy's refresh to its next one: with many policies, as long as the budget lasts for all."""
        rate = self._budget.rate
        return max(self._refresh, len(self._written) / rate) if rate else float("inf")

    async def write_status(self, entry: Entry, rendered: Rendered, deadline: Deadline, *, why: str) -> bool:
        """Write the status if it changed in essence, or if only shown values changed and it is time to.

        False: it changed in verdicts alone, and this policy was written too often for that: to be tried again.
        Raises ReadAgain when the policy is no longer the one that was evaluated.
        """
        if entry.deleted:
            return True
        essence = _digest(rendered.significant)
        if entry.rewrite:
            await self._rewrite(entry, rendered, essence, deadline, why)
            return True
        known: dict[str, Any] = orjson.loads(entry.raw_status)
        now = time.monotonic()
        if entry.essence is None and essence == _digest(significant_of(known)):
            # As an earlier process left it.
            self._is_written(entry, rendered, essence, self._own_turn(entry, now))
            return True
        if essence == entry.essence:
            if not self.refresh_due(entry):
                return True
            if rendered.body == known:
                self._written[entry.uid] = now
                return True
            self._budget.take()
            why = "refresh"
        elif why == "verdict" and not self._take_verdict(entry):
            return False
        patch = merge_patch(known, rendered.body)
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
            self._pace.written()
            entry.resource_version = str(written["metadata"]["resourceVersion"])
            entry.raw_status = packed(written.get("status") or {})
        self._is_written(entry, rendered, essence, now if why == "refresh" else self._own_turn(entry, now))
        return True

    def _take_verdict(self, entry: Entry) -> bool:
        budget = self._verdicts.get(entry.uid)
        if budget is None:
            saved = VERDICT_WRITES * VERDICT_SECONDS
            budget = self._verdicts[entry.uid] = Budget(1 / VERDICT_SECONDS, time.monotonic, saved=saved, full=True)
        return budget.take()

    async def _rewrite(self, entry: Entry, rendered: Rendered, essence: bytes, deadline: Deadline, why: str) -> None:
        """Replace a status that could not be read."""
        written = await replace_status(
            self._kube,
            entry.namespace,
            entry.name,
            rendered.body,
            deadline=deadline,
            uid=entry.uid,
            resource_version=entry.resource_version,
        )
        STATUS_WRITES.labels(why).inc()
        self._pace.written()
        entry.rewrite = False
        entry.resource_version = str(written["metadata"]["resourceVersion"])
        entry.raw_status = packed(written.get("status") or {})
        self._is_written(entry, rendered, essence, self._own_turn(entry, time.monotonic()))

    def _is_written(self, entry: Entry, rendered: Rendered, essence: bytes, at: float) -> None:
        entry.status = headline(PolicyStatus.model_validate(rendered.body))
        entry.essence = essence
        self._written[entry.uid] = at

    def _own_turn(self, entry: Entry, now: float) -> float:
        """Of those that began together, each has its own turn."""
        return now - entry.phase * min(self._turn, now)


def _digest(value: object) -> bytes:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


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
