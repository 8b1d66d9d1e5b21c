"""`pause` and `resume` of several policies at once: the emergency brake. One that fails stops no other."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resilience_operator.api.pause import read_pause
from resilience_operator.cli.common.cluster import NO_CRD, Access, deadline, with_kube
from resilience_operator.cli.common.console import EXIT_FAILED, CommandError, columns, print_note, show
from resilience_operator.cli.common.selection import Selection
from resilience_operator.cli.output.formats import ObjectOutput
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.policies import annotate_policy, get_policy, policy_pages
from resilience_operator.resilience import CallError, Deadline, NotFound

AT_ONCE = 16
"""Concurrent writes."""

LISTING = 120.0
"""Seconds for listing all policies; ten thousand take a few seconds."""

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
    if not chosen.names and not chosen.targets:
        return [policy async for policy, _ in _listed(kube, chosen)]
    assert chosen.namespace is not None, "a name is in one namespace"
    named = [await _read(kube, chosen.namespace, name) for name in chosen.names]
    if not chosen.targets:
        return named
    known, found = set(chosen.names), list(named)
    missing = set(chosen.targets)
    async for policy, body in _listed(kube, Selection(chosen.namespace)):
        matching = {target for target in chosen.targets if target.is_target_of(body)}
        missing -= matching
        if matching and policy.name not in known:
            known.add(policy.name)
            found.append(policy)
    return found + [Policy(chosen.namespace, str(one), error="no policy targets it") for one in missing]


async def _listed(kube: KubeClient, chosen: Selection) -> AsyncIterator[tuple[Policy, Mapping[str, Any]]]:
    try:
        async for page in policy_pages(
            kube, chosen.namespace, selector=chosen.selector, deadline=Deadline.after(LISTING)
        ):
            for body in page.items:
                yield _policy(body["metadata"]), body
            # One that cannot be decoded can be paused all the same.
            for one in page.unreadable:
                if one.name:
                    yield Policy(one.namespace, one.name), {}
    except NotFound:
        raise CommandError(NO_CRD) from None


async def _read(kube: KubeClient, namespace: str, name: str) -> Policy:
    try:
        return _policy((await get_policy(kube, namespace, name, deadline=deadline()))["metadata"])
    except CallError as error:
        return Policy(namespace, name, error="not found" if isinstance(error, NotFound) else error.message)


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
