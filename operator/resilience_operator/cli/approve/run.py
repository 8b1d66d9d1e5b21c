"""`approve` and `deny`: set annotations and wait until the operator has observed them."""

from __future__ import annotations

from typing import Any

from resilience_operator.api.orders import ANSWER, ANSWERED_BY, REQUEST, Verdict
from resilience_operator.cli.common.cluster import Access, deadline, read_policy, with_kube
from resilience_operator.cli.common.confirmation import NOT_CONFIRMED, await_observed, current_user
from resilience_operator.cli.common.console import CommandError, print_note, show
from resilience_operator.cli.common.selection import policy_name
from resilience_operator.cli.output.formats import ObjectOutput
from resilience_operator.cli.status.view import read_status
from resilience_operator.decision.model.memory import RollbackRequest
from resilience_operator.decision.model.memory_codec import UnreadableMemory, load_memory
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.policies import annotate_policy

_DONE = {"approve": "approved", "deny": "denied"}


def answer(name: str, namespace: str, access: Access, output: ObjectOutput, *, verdict: Verdict) -> None:
    """Run `approve` or `deny`. Raises CommandError if the policy asks for nothing."""
    name = policy_name(name)

    async def work(kube: KubeClient) -> tuple[RollbackRequest, str, bool]:
        body = await read_policy(kube, namespace, name)
        request = request_in(body)
        if request is None:
            raise CommandError(f"policy {name} asks for no approval: there is nothing to {verdict}")
        by = await current_user(kube)
        answered = {ANSWER: verdict, REQUEST: request.id, ANSWERED_BY: by}
        await annotate_policy(kube, namespace, name, answered, deadline=deadline())

        def observed(now: dict[str, Any]) -> bool:
            left = request_in(now)
            if left is None or left.id != request.id:
                return True
            return left.by == by and (left.denied if verdict == "deny" else left.approved)

        return request, by, await await_observed(kube, namespace, name, observed)

    request, by, noted = with_kube(access, work)
    if output.for_people:
        show(f"{by} {_DONE[verdict]} the rollback of revision {request.revision} to {request.to}")
    else:
        document = {
            "namespace": namespace,
            "name": name,
            "answer": verdict,
            "revision": request.revision,
            "to": request.to,
            "by": by,
            "noted": noted,
        }
        output.print(document, [name])
    if not noted:
        print_note(NOT_CONFIRMED)


def request_in(body: dict[str, Any]) -> RollbackRequest | None:
    """Return the rollback that waits for approval, or was denied; None if there is none."""
    status = read_status(body)
    if status is None or status.memory is None:
        return None
    try:
        return load_memory(status.memory).request
    except UnreadableMemory:
        return None
