"""`init`: look, propose, tell."""

from __future__ import annotations

from pathlib import Path

from resilience_operator.api.v1alpha1 import parse_policy
from resilience_operator.cli.cluster import Access, deadline, with_kube
from resilience_operator.cli.console import Failed, Form, Wrong, emit, say
from resilience_operator.cli.conversion.telling import commented
from resilience_operator.cli.first.proposal import Found, propose
from resilience_operator.cli.first.survey import SHORTEST, kind_and_name, read_workload, survey
from resilience_operator.cli.period import parse_span
from resilience_operator.cli.replay.sources import find_source
from resilience_operator.kube.client import Kube
from resilience_operator.kube.paths import POLICIES
from resilience_operator.resilience import AlreadyExists


def begin(
    workload: str,
    namespace: str,
    access: Access,
    output: Form,
    *,
    source: str,
    prometheus_url: str | None,
    config: Path | None,
    since: str,
    apply: bool,
) -> None:
    """Print a first policy. apply: create it as well. Raises Failed, Wrong, CallError."""
    kind, name = kind_and_name(workload)
    span = parse_span(since)
    if span < 2 * SHORTEST:
        raise Wrong("--since is too short: a few hours tell something, a week tells more")
    metrics = find_source(source, prometheus_url, config)

    async def work(kube: Kube) -> Found:
        return await survey(await read_workload(kube, namespace, kind, name), metrics, span, say)

    found = with_kube(access, work)
    policy, told = propose(found)
    parse_policy(policy)
    if output is Form.JSON:
        emit({"policy": policy, "found": told}, output)
    else:
        family = f", as the family {found.family} has it" if found.family else ""
        title = f"A first policy for {kind} {namespace}/{name}, from metric source {metrics.name}{family}."
        print(commented(policy, title, told), end="")
    if not apply:
        return

    async def create(kube: Kube) -> None:
        try:
            await kube.create(POLICIES.collection(namespace), policy, deadline=deadline())
        except AlreadyExists:
            raise Failed(f"policy {name} is there already, and is left as it is") from None

    with_kube(access, create)
    say(f"policy {name} was created; it only rehearses")
