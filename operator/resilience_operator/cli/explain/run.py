"""Reads policies and their targets, and prints the explanations."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from resilience_operator.api.v1alpha1 import InvalidPolicy
from resilience_operator.cli.common.cluster import Access, with_kube
from resilience_operator.cli.common.console import CommandError, print_note, show
from resilience_operator.cli.common.last_seen import stopped_operator
from resilience_operator.cli.common.policies import Selected, read_selected
from resilience_operator.cli.common.selection import Selection
from resilience_operator.cli.common.target import read_target_of
from resilience_operator.cli.explain.view import explain, to_document
from resilience_operator.cli.output.formats import ObjectOutput
from resilience_operator.decision.model.target import TargetState
from resilience_operator.explain.explain import document as explained
from resilience_operator.kube.client.client import KubeClient

AT_ONCE = 8
"""Targets that are read concurrently."""


def show_explanations(chosen: Selection, access: Access, output: ObjectOutput) -> None:
    """Run `explain`. Raises CommandError if a policy is missing, or none is found."""

    async def read(kube: KubeClient) -> tuple[Selected, list[TargetState | str], str]:
        found, stopped = await asyncio.gather(read_selected(kube, chosen), stopped_operator(kube, time.time()))
        places = asyncio.Semaphore(AT_ONCE)

        async def target(body: dict[str, Any]) -> TargetState | str:
            async with places:
                return await read_target_of(kube, body)

        return found, list(await asyncio.gather(*map(target, found.bodies))), stopped

    found, targets, stopped = with_kube(access, read)
    now, explanations = time.time(), []
    for body, target in zip(found.bodies, targets, strict=True):
        try:
            explanations.append(explain(body, target, now))
        except InvalidPolicy as error:
            if chosen.only:
                raise
            found.problems.append(f"policy {body['metadata']['name']} is invalid: {error}")
    if output.for_people:
        for number, explanation in enumerate(explanations):
            if number:
                show("")
            show(to_document(explanation))
    else:
        documents = [explained(one) for one in explanations]
        if documents or not chosen.only:
            names = [one.name.partition("/")[2] for one in explanations]
            output.print(documents[0] if chosen.only else documents, names)
    if stopped and explanations:
        print_note(stopped)
    found.raise_problems()
    if not found.bodies:
        raise CommandError(f"no policies found {chosen}")
