"""A stopped operator is visible: its Lease is no longer renewed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from resilience_operator.cli.common.last_seen import LEASE_NAME, describe

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC).timestamp()


def lease(renewed: str | None, namespace: str = "resilience-system") -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": LEASE_NAME}, "spec": {"renewTime": renewed}}


@pytest.mark.parametrize(
    ("leases", "said"),
    [
        ([], ""),
        ([lease("2026-01-31T11:59:55.000000Z")], ""),
        ([lease("2026-01-31T12:00:30.000000Z")], ""),
        ([lease("2025-03-04T12:00:00.000000Z")], "last seen 333d ago (Lease resilience-system/" + LEASE_NAME),
        ([lease("2026-01-31T11:57:00.000000Z")], "last seen 3m ago"),
        ([lease("2025-03-04T12:00:00Z"), lease("2026-01-31T11:59:55Z", "other")], ""),
        ([lease(None)], ""),
        ([lease("yesterday")], ""),
        ([{"metadata": {}, "spec": None}], ""),
    ],
)
def test_the_newest_renewal_counts(leases: list[dict[str, Any]], said: str) -> None:
    found = describe(leases, NOW)

    assert said in found if said else found == ""
