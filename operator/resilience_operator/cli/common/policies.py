"""Reads the selected policies. One that is missing stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.cli.common.cluster import NO_CRD, deadline
from resilience_operator.cli.common.errors import CommandError
from resilience_operator.cli.common.selection import Selection, Workload
from resilience_operator.cli.common.target import BUILT_IN, read_target
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.policies import get_policy, policy_pages
from resilience_operator.resilience import CallError, Deadline, NotFound

LISTING = 120.0
"""Seconds for listing all policies; ten thousand take a few seconds."""


@dataclass(slots=True)
class Selected:
    """The selected policies. problems: one line for each that is missing or cannot be read."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def raise_problems(self) -> None:
        """Raise CommandError with the problems, if there are any."""
        if self.problems:
            raise CommandError("\n".join(self.problems))


async def read_selected(kube: KubeClient, chosen: Selection) -> Selected:
    """Read the selected policies, in the order of the arguments. Raises CommandError if the cluster has no CRD."""
    found = Selected()
    if not chosen.names and not chosen.targets:
        await _list(kube, chosen, found)
        return found
    assert chosen.namespace is not None, "a name is in one namespace"
    await asyncio.gather(*(_get(kube, chosen.namespace, name, found) for name in chosen.names))
    order = {name: number for number, name in enumerate(chosen.names)}
    found.bodies.sort(key=lambda body: order[body["metadata"]["name"]])
    if chosen.targets:
        listed = Selected()
        await _list(kube, Selection(chosen.namespace), listed)
        found.problems += listed.problems
        known = set(chosen.names)
        for workload in chosen.targets:
            matching = [body for body in listed.bodies if workload.is_target_of(body)]
            if not matching:
                found.problems.append(await _untargeted(kube, chosen.namespace, workload, listed.bodies))
            for body in matching:
                if body["metadata"]["name"] not in known:
                    known.add(body["metadata"]["name"])
                    found.bodies.append(body)
    return found


async def _list(kube: KubeClient, chosen: Selection, found: Selected) -> None:
    try:
        pages = policy_pages(kube, chosen.namespace, selector=chosen.selector, deadline=Deadline.after(LISTING))
        async for page in pages:
            found.bodies += page.items
            found.problems += [f"policy {one.namespace}/{one.name} cannot be decoded" for one in page.unreadable]
    except NotFound:
        raise CommandError(NO_CRD) from None


async def _get(kube: KubeClient, namespace: str, name: str, found: Selected) -> None:
    try:
        found.bodies.append(await get_policy(kube, namespace, name, deadline=deadline()))
    except NotFound as error:
        if "could not find the requested resource" in error.message:
            raise CommandError(NO_CRD) from None
        found.problems.append(f"policy {name} not found in namespace {namespace}")


async def _untargeted(kube: KubeClient, namespace: str, workload: Workload, policies: Iterable[dict[str, Any]]) -> str:
    """Why no policy was found for a workload, and what to do."""
    same = [
        f"policy {body['metadata']['name']} targets {reference.get('kind')} {workload.name}"
        for body in policies
        if (reference := (body.get("spec") or {}).get("targetRef") or {}).get("name") == workload.name
    ]
    text = f"no policy targets {workload} in namespace {namespace}"
    if same:
        return f"{text}; {'; '.join(sorted(same))}"
    if not workload.built_in:
        return text
    try:
        target = await read_target(kube, namespace, BUILT_IN[workload.kind].api_version, workload.kind, workload.name)
    except NotFound:
        return f"{text}, and there is no such {workload.kind}"
    except CallError:
        return text
    command = f"kubectl resilience init {workload.kind.lower()}/{workload.name} -n {namespace}"
    return f"{text}{_scaled(target)}; `{command}` proposes one"


def _scaled(target: TargetState) -> str:
    """What scales a workload without a policy."""
    hpa = target.hpa
    if hpa is None:
        return ""
    return f"; HorizontalPodAutoscaler {hpa.name} scales it from {hpa.min_replicas} to {hpa.max_replicas} pods"
