"""`pause` and `resume` of several policies at once: the emergency brake. One that fails stops no other."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resilience_operator.api.pause import read_pause
from resilience_operator.cli.common.cluster import Access, deadline, with_kube
from resilience_operator.cli.common.console import EXIT_FAILED, CommandError, columns, print_note, show
from resilience_operator.cli.common.policies import read_selected
from resilience_operator.cli.common.selection import Selection
from resilience_operator.cli.output.formats import ObjectOutput
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.policies import annotate_policy
from resilience_operator.resilience import CallError, NotFound

AT_ONCE = 16
"""Concurrent writes."""

PROGRESS_EVERY = 1.0
"""Seconds between two lines of progress on a terminal."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A selected policy. paused: it has a pause that can be read or not. error: why it could not be read or changed."""

    namespace: str
    name: str
    paused: bool = False
    error: str = ""


def annotate_selected(
    chosen: Selection,
    access: Access,
    values: Callable[[KubeClient], Awaitable[Mapping[str, str | None]]],
    *,
    wanted: Callable[[Policy], bool],
) -> list[Policy]:
    """Annotate the selected policies that are `wanted`. Returns them all, those that failed with their error.

    values: coroutine function that returns the annotations to set. Raises CommandError if nothing is selected.
    """

    async def work(kube: KubeClient) -> list[Policy]:
        found = await _select(kube, chosen)
        if not found:
            raise CommandError(f"no policy found {chosen}")
        ready = [policy for policy in found if not policy.error and wanted(policy)]
        changed = await _annotate(kube, ready, await values(kube)) if ready else []
        return [*(policy for policy in found if policy.error), *changed]

    return with_kube(access, work)


def report(verb: str, done: Sequence[Policy], output: ObjectOutput) -> None:
    """Print what was changed, the failures last. Raises CommandError if any failed."""
    failed = [policy for policy in done if policy.error]
    if output.for_people:
        rows = [
            [p.namespace, p.name, p.error or verb] for p in sorted(done, key=lambda p: (bool(p.error), p.namespace))
        ]
        if rows:
            show(columns(["NAMESPACE", "NAME", "RESULT"], rows))
    else:
        documents = [{"namespace": p.namespace, "name": p.name, "result": p.error or verb} for p in done]
        output.print(documents, [p.name for p in done if not p.error])
    if failed:
        raise CommandError(f"{len(failed)} of {len(done)} policies could not be {verb}", EXIT_FAILED)
    print_note(f"{len(done)} {'policy' if len(done) == 1 else 'policies'} {verb}")


async def _select(kube: KubeClient, chosen: Selection) -> list[Policy]:
    found = await read_selected(kube, chosen, contained=True)
    policies = [_policy(body["metadata"]) for body in found.bodies]
    for failure in found.failures:
        if not failure.undecoded:
            policies.append(Policy(failure.namespace, failure.name, error=failure.reason))
        elif failure.name and not chosen.targets:
            # One that cannot be decoded can be paused all the same. Whether it targets a workload is unknown.
            policies.append(Policy(failure.namespace, failure.name))
    return policies


def _policy(metadata: Mapping[str, Any]) -> Policy:
    return Policy(metadata["namespace"], metadata["name"], read_pause(metadata.get("annotations")) is not None)


async def _annotate(kube: KubeClient, policies: Sequence[Policy], values: Mapping[str, str | None]) -> list[Policy]:
    """Annotate all, `AT_ONCE` at a time. A deleted policy counts as changed."""
    places = asyncio.Semaphore(AT_ONCE)
    done, shown = 0, time.monotonic()

    async def one(policy: Policy) -> Policy:
        nonlocal done, shown
        async with places:
            try:
                await annotate_policy(kube, policy.namespace, policy.name, values, deadline=deadline())
            except NotFound:
                pass
            except CallError as error:
                policy = Policy(policy.namespace, policy.name, policy.paused, error.message)
        done += 1
        if sys.stderr.isatty() and time.monotonic() - shown > PROGRESS_EVERY:
            shown = time.monotonic()
            print_note(f"{done} of {len(policies)}")
        return policy

    return list(await asyncio.gather(*(one(policy) for policy in policies)))
