"""`pause` and `resume`: set annotations and wait until the operator has observed them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from resilience_operator.api.conditions import ConditionType, find_condition
from resilience_operator.api.pause import BY, IN_FORCE, REASON, UNREADABLE, UNTIL, Pause, moment_text, read_pause
from resilience_operator.cli.common.cluster import Access, deadline, read_policy, with_kube
from resilience_operator.cli.common.confirmation import NOT_CONFIRMED, await_observed, current_user
from resilience_operator.cli.common.console import CommandError, UsageError, print_note, show
from resilience_operator.cli.common.selection import Selection
from resilience_operator.cli.common.time_args import parse_span
from resilience_operator.cli.output.formats import ObjectOutput
from resilience_operator.cli.pause.several import annotate_selected, report
from resilience_operator.cli.status.view import read_status
from resilience_operator.explain.overview import without_none
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.policies import annotate_policy

Values = Callable[[KubeClient], Awaitable[Mapping[str, str | None]]]
"""The annotations to set; None removes one."""


def pause(chosen: Selection, access: Access, output: ObjectOutput, *, reason: str, span: str | None) -> None:
    """Run `pause`. span: a duration as text; None for no end."""
    if not reason.strip():
        raise UsageError("--reason is empty: state why the policy is paused")
    seconds = None if span is None else parse_span(span)
    if seconds is not None and seconds < 1:
        raise UsageError("--for must be at least 1s")
    until = None if seconds is None else time.time() + seconds

    async def values(kube: KubeClient) -> dict[str, str | None]:
        return {REASON: reason, UNTIL: None if until is None else moment_text(until), BY: await current_user(kube)}

    if (only := chosen.only) is not None:
        _pause_one(*only, access, output, values)
        return
    report("paused", annotate_selected(chosen, access, values, wanted=lambda _: True), output)
    if until is None:
        print_note("these pauses do not expire: `kubectl resilience resume` with the same selection ends them")


def _pause_one(namespace: str, name: str, access: Access, output: ObjectOutput, values: Values) -> None:
    """Pause one policy, and wait until the operator has observed it."""

    async def work(kube: KubeClient) -> tuple[dict[str, Any], bool]:
        await read_policy(kube, namespace, name)
        body = await annotate_policy(kube, namespace, name, await values(kube), deadline=deadline())
        asked = str(read_pause(body["metadata"]["annotations"]))
        return body, await await_observed(kube, namespace, name, lambda body: _paused(body).startswith(asked))

    body, noted = with_kube(access, work)
    found = read_pause(body["metadata"].get("annotations"))
    assert found is not None, "it was written just now"
    _report(f"policy {name} is {found}", namespace, name, found, noted, output)
    if found.until is None:
        print_note(f"this pause does not expire: `{_retry_hint(name, namespace)}` ends it")
    if not noted:
        print_note(NOT_CONFIRMED)


def resume(chosen: Selection, access: Access, output: ObjectOutput) -> None:
    """Run `resume`. Raises CommandError if the only policy is not paused."""
    if (only := chosen.only) is not None:
        _resume_one(*only, access, output)
        return

    async def values(_: KubeClient) -> dict[str, str | None]:
        return dict.fromkeys((REASON, UNTIL, BY))

    report("resumed", annotate_selected(chosen, access, values, wanted=lambda policy: policy.paused), output)


def _resume_one(namespace: str, name: str, access: Access, output: ObjectOutput) -> None:
    """Resume one policy, and wait until the operator has observed it."""

    async def work(kube: KubeClient) -> tuple[Pause, bool]:
        body = await read_policy(kube, namespace, name)
        found = read_pause(body["metadata"].get("annotations"))
        if found is None:
            mode = (body.get("spec") or {}).get("mode")
            why = "; its mode is Suspended: change spec.mode to resume it" if mode == "Suspended" else ""
            raise CommandError(f"policy {name} is not paused{why}")
        removed = dict.fromkeys((REASON, UNTIL, BY))
        await annotate_policy(kube, namespace, name, removed, deadline=deadline())
        return found, await await_observed(kube, namespace, name, lambda body: not _paused(body))

    found, noted = with_kube(access, work)
    ran_out = " (already expired)" if found.over(time.time()) else ""
    _report(f"policy {name} is resumed; it was {found}{ran_out}", namespace, name, None, noted, output)
    if not noted:
        print_note(NOT_CONFIRMED)


def _report(sentence: str, namespace: str, name: str, pause: Pause | None, noted: bool, output: ObjectOutput) -> None:
    if output.for_people:
        show(sentence)
        return
    document = {
        "namespace": namespace,
        "name": name,
        "paused": pause is not None,
        "reason": pause.reason if pause else None,
        "until": moment_text(pause.until) if pause and pause.until is not None else None,
        "by": pause.by if pause else None,
        "noted": noted,
    }
    output.print(without_none(document), [name])


def _retry_hint(name: str, namespace: str) -> str:
    return f"kubectl resilience resume {name} -n {namespace}"


def _paused(body: dict[str, Any]) -> str:
    """The operator's message on the pause in force; empty if there is none."""
    status = read_status(body)
    ready = find_condition(status.conditions, ConditionType.READY) if status is not None else None
    return ready.message if ready is not None and ready.reason in (IN_FORCE, UNREADABLE) else ""
