"""Writes policy statuses. Unchanged statuses are not written.

Significant changes are written at once. Displayed values change all the time: their refreshes are staggered, within a
budget that all policies share.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import orjson

from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.policies import patch_status, replace_status
from resilience_operator.resilience import Deadline
from resilience_operator.runtime.cache.packed_status import pack, unpack
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, status_summary
from resilience_operator.runtime.scheduling.rate_limit import AdaptiveRateLimiter
from resilience_operator.runtime.scheduling.token_bucket import TokenBucket
from resilience_operator.runtime.telemetry.metrics import STATUS_WRITES
from resilience_operator.status.render import Rendered, significant_of

VERDICT_WRITES = 20
"""Burst of status writes of one policy for verdict changes alone, without a decision."""

VERDICT_SECONDS = 15.0
"""Seconds per further write: a flapping policy is written less often than it is evaluated."""


class StatusWriter:
    """Writes the status of evaluations.

    refresh: minimum seconds between two refreshes of a policy's displayed values. writes_per_second: budget for such
    refreshes of all policies. 0 of either disables them. rate_limiter: records each write.
    """

    def __init__(
        self, kube: KubeClient, *, refresh: float, writes_per_second: float, rate_limiter: AdaptiveRateLimiter
    ) -> None:
        self._kube = kube
        self._rate_limiter = rate_limiter
        self._refresh = refresh
        self._budget = TokenBucket(writes_per_second if refresh else 0.0, time.monotonic)
        self._written: dict[str, float] = {}
        self._verdicts: dict[str, TokenBucket] = {}

    def forget(self, uid: str) -> None:
        """Drop the state of a deleted policy."""
        self._written.pop(uid, None)
        self._verdicts.pop(uid, None)

    def refresh_due(self, entry: PolicyEntry) -> bool:
        """Return True if displayed values may be refreshed now."""
        written = self._written.get(entry.uid)
        return written is not None and time.monotonic() - written >= self._refresh_period and self._budget.available()

    @property
    def _refresh_period(self) -> float:
        """Seconds between two refreshes of a policy: as long as the shared budget needs for all policies."""
        rate = self._budget.rate
        return max(self._refresh, len(self._written) / rate) if rate else float("inf")

    async def write_status(
        self, entry: PolicyEntry, render: Callable[[], Rendered], deadline: Deadline, *, why: str
    ) -> bool:
        """Write the status if it changed significantly, or if only displayed values changed and a refresh is due.

        render: builds the status. Returns False if only verdicts changed and this policy exceeded its write limit: try
        again later. Raises Conflict if the policy has changed since it was evaluated.
        """
        if why == "verdict" and (budget := self._verdicts.get(entry.uid)) is not None and not budget.available():
            return False
        rendered = render()
        if entry.deleted:
            return True
        digest = _fingerprint(rendered.significant)
        if entry.reported.rewrite:
            await self._rewrite(entry, rendered, digest, deadline, why)
            return True
        stored = unpack(entry.packed_status)
        now = time.monotonic()
        if entry.reported.digest is None and digest == _fingerprint(significant_of(stored)):
            # Unchanged since an earlier process wrote it.
            self._mark_written(entry, rendered, digest, self._staggered(entry, now))
            return True
        if digest == entry.reported.digest:
            if not self.refresh_due(entry):
                return True
            if rendered.body == stored:
                self._written[entry.uid] = now
                return True
            self._budget.take()
            why = "refresh"
        elif why == "verdict" and not self._take_verdict(entry):
            return False
        patch = merge_patch(stored, rendered.body)
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
            self._rate_limiter.record()
            entry.resource_version = str(written["metadata"]["resourceVersion"])
            entry.packed_status = pack(written.get("status") or {})
        self._mark_written(entry, rendered, digest, now if why == "refresh" else self._staggered(entry, now))
        return True

    def _take_verdict(self, entry: PolicyEntry) -> bool:
        budget = self._verdicts.get(entry.uid)
        if budget is None:
            burst_seconds = VERDICT_WRITES * VERDICT_SECONDS
            budget = self._verdicts[entry.uid] = TokenBucket(
                1 / VERDICT_SECONDS, time.monotonic, burst_seconds=burst_seconds, full=True
            )
        return budget.take()

    async def _rewrite(
        self, entry: PolicyEntry, rendered: Rendered, digest: bytes, deadline: Deadline, why: str
    ) -> None:
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
        self._rate_limiter.record()
        entry.reported.rewrite = False
        entry.resource_version = str(written["metadata"]["resourceVersion"])
        entry.packed_status = pack(written.get("status") or {})
        self._mark_written(entry, rendered, digest, self._staggered(entry, time.monotonic()))

    def _mark_written(self, entry: PolicyEntry, rendered: Rendered, digest: bytes, at: float) -> None:
        entry.status = status_summary(rendered.status)
        entry.reported.digest = digest
        self._written[entry.uid] = at

    def _staggered(self, entry: PolicyEntry, now: float) -> float:
        """Spread the refreshes of policies that started together."""
        return now - entry.phase_offset * min(self._refresh_period, now)


def _fingerprint(value: object) -> bytes:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) from `before` to `after`; empty when they are equal."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := merge_patch(old, value):
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch
