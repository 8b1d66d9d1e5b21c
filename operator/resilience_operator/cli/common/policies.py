"""Reads the selected policies. One that is missing stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.cli.common.cluster import NO_CRD, deadline
from resilience_operator.cli.common.errors import CommandError
from resilience_operator.cli.common.selection import Selection, Workload
from resilience_operator.cli.common.target import read_target
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import WORKLOADS
from resilience_operator.kube.writes.policies import get_policy, policy_pages
from resilience_operator.resilience import CallError, Deadline, NotFound

LISTING = 120.0
"""Seconds for listing all policies; ten thousand take a few seconds."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A policy that is missing or cannot be read. reason: short, beside its name. undecoded: it exists."""

    namespace: str
    name: str
    reason: str
    undecoded: bool = False


@dataclass(slots=True)
class Selected:
    """The selected policies. problems: one line for each that is missing or cannot be read."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def fail(self, failure: Failure, problem: str) -> None:
        """Add one that is missing or cannot be read."""
        self.failures.append(failure)
        self.problems.append(problem)

    def raise_problems(self) -> None:
        """Raise CommandError with the problems, if there are any."""
        if self.problems:
            raise CommandError("\n".join(self.problems))


async def read_selected(kube: KubeClient, chosen: Selection, *, contained: bool = False) -> Selected:
    """Read the selected policies, in the order of the arguments. Raises CommandError if the cluster has no CRD.

    contained: an error of one name is a failure of that policy and no exception, and no target is read to explain one.
    """
    found = Selected()
    if not chosen.names and not chosen.targets:
        await _list(kube, chosen, found)
        return found
    assert chosen.namespace is not None, "a name is in one namespace"
    await asyncio.gather(*(_get(kube, chosen.namespace, name, found, contained) for name in chosen.names))
    order = {name: number for number, name in enumerate(chosen.names)}
    found.bodies.sort(key=lambda body: order[body["metadata"]["name"]])
    if chosen.targets:
        listed = Selected()
        await _list(kube, Selection(chosen.namespace), listed)
        found.problems += listed.problems
        found.failures += listed.failures
        known = set(chosen.names)
        for workload in chosen.targets:
            matching = [body for body in listed.bodies if workload.is_target_of(body)]
            if not matching:
                failure = Failure(chosen.namespace, str(workload), "no policy targets it")
                explained = "" if contained else await _untargeted(kube, chosen.namespace, workload, listed.bodies)
                found.fail(failure, explained or f"{workload}: {failure.reason}")
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
            for one in page.unreadable:
                failure = Failure(one.namespace, one.name, "cannot be decoded", undecoded=True)
                found.fail(failure, f"policy {one.namespace}/{one.name} cannot be decoded")
    except NotFound:
        raise CommandError(NO_CRD) from None


async def _get(kube: KubeClient, namespace: str, name: str, found: Selected, contained: bool) -> None:
    try:
        found.bodies.append(await get_policy(kube, namespace, name, deadline=deadline()))
    except NotFound as error:
        if "could not find the requested resource" in error.message:
            raise CommandError(NO_CRD) from None
        found.fail(Failure(namespace, name, "not found"), f"policy {name} not found in namespace {namespace}")
    except CallError as error:
        if not contained:
            raise
        found.fail(Failure(namespace, name, error.message), f"policy {name}: {error.message}")


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
        target = await read_target(kube, namespace, WORKLOADS[workload.kind].api_version, workload.kind, workload.name)
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
