"""`release`: sets the annotation, and waits until the operator has followed it."""

from __future__ import annotations

import time
from typing import Any

from resilience_operator.api.base import to_epoch
from resilience_operator.api.lifts import RELEASED, Lift, lifts_text, read_lifts
from resilience_operator.api.status import QuarantinedRevision
from resilience_operator.cli.common.cluster import Access, deadline, read_policy, with_kube
from resilience_operator.cli.common.confirmation import NOT_CONFIRMED, await_observed, current_user
from resilience_operator.cli.common.console import CommandError, print_note, show
from resilience_operator.cli.common.selection import policy_name
from resilience_operator.cli.output.formats import ObjectOutput
from resilience_operator.cli.status.view import read_status
from resilience_operator.explain.overview import without_none
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.policies import annotate_policy
from resilience_operator.resilience import Conflict

TRIES = 10
"""Attempts to write the annotation while others change the policy, its operator for example."""


def release(name: str, revision: str, namespace: str, access: Access, output: ObjectOutput) -> None:
    """Run `release`. Raises CommandError if the revision is not quarantined."""
    name = policy_name(name)

    async def work(kube: KubeClient) -> tuple[QuarantinedRevision, str, bool]:
        by = await current_user(kube)
        found = await _write(kube, namespace, name, revision, by)
        noted = await await_observed(kube, namespace, name, lambda body: _find(body, revision) is None)
        return found, by, noted

    found, by, noted = with_kube(access, work)
    if output.for_people:
        times = "once" if found.rollbacks == 1 else f"{found.rollbacks} times"
        show(
            f"revision {revision} is no longer quarantined by policy {name}; it was rolled back {times}"
            + (f" by rule {found.rule}" if found.rule else "")
        )
    else:
        document = {
            "namespace": namespace,
            "name": name,
            "revision": revision,
            "released": True,
            "by": by,
            "rollbacks": found.rollbacks,
            "rule": found.rule,
            "noted": noted,
        }
        output.print(without_none(document), [name])
    if not noted:
        print_note(NOT_CONFIRMED)


async def _write(kube: KubeClient, namespace: str, name: str, revision: str, by: str) -> QuarantinedRevision:
    """Add the order to those in the annotation. Two people who do so at once lose no order."""
    for attempt in range(TRIES):
        body = await read_policy(kube, namespace, name)
        found = _find(body, revision)
        if found is None:
            raise CommandError(_not_quarantined(body, name, revision))
        metadata = body["metadata"]
        # The clock here may be behind the operator's.
        began = to_epoch(found.at) if found.at is not None else 0.0
        lift = Lift(revision, max(time.time(), began + 1.0), by)
        others = [x for x in read_lifts(metadata.get("annotations"))[0] if x.revision != revision]
        values = {RELEASED: lifts_text([*others, lift])}
        try:
            await annotate_policy(
                kube, namespace, name, values, deadline=deadline(), resource_version=metadata["resourceVersion"]
            )
        except Conflict:
            if attempt == TRIES - 1:
                raise
        else:
            return found
    raise AssertionError("the last attempt returns or raises")


def _find(body: dict[str, Any], revision: str) -> QuarantinedRevision | None:
    return next((q for q in _quarantined(body) if q.revision == revision), None)


def _quarantined(body: dict[str, Any]) -> tuple[QuarantinedRevision, ...]:
    status = read_status(body)
    return status.quarantined if status is not None else ()


def _not_quarantined(body: dict[str, Any], name: str, revision: str) -> str:
    known = ", ".join(q.revision for q in _quarantined(body))
    others = f"quarantined are: {known}" if known else "no revision is quarantined"
    return f"policy {name} does not quarantine revision {revision}; {others}"
