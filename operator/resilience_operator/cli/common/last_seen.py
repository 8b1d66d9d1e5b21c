"""When the operator was last seen: the renewTime of its Lease. A status alone does not show that it has stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from resilience_operator.cli.common.time_args import age
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import LEASES
from resilience_operator.resilience import CallError, Deadline

LEASE_NAME = "leader.resilience-operator.io"
STALE_AFTER = 60.0
"""Seconds without a renewal after which the operator counts as stopped. It renews every few seconds."""
TIMEOUT = 3.0


async def stopped_operator(kube: KubeClient, now: float) -> str:
    """A sentence if the operator has stopped; empty if it runs, has no Lease, or the Lease may not be read."""
    try:
        found = await kube.list(
            LEASES.collection(),
            deadline=Deadline.after(TIMEOUT),
            params={"fieldSelector": f"metadata.name={LEASE_NAME}"},
        )
    except CallError:
        return ""
    return describe(found.items, now)


def describe(leases: Iterable[Mapping[str, Any]], now: float) -> str:
    """Describe the newest Lease if nothing has renewed it for `STALE_AFTER`, or if its holder has released it."""
    seen = [(at, lease) for lease in leases if (at := _renewed_at(lease)) is not None]
    if not seen:
        return ""
    at, lease = max(seen, key=lambda one: one[0])
    ago = max(0.0, now - at)
    if ago < STALE_AFTER:
        return ""
    place = f"Lease {lease['metadata']['namespace']}/{lease['metadata']['name']}"
    return f"the operator was last seen {age(ago)} ago ({place}): it does not act, and states and values are as of then"


def _renewed_at(lease: Mapping[str, Any]) -> float | None:
    text = (lease.get("spec") or {}).get("renewTime")
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
