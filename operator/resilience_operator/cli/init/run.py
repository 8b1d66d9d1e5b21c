"""`init`: surveys a workload, proposes a policy and prints it."""

from __future__ import annotations

from pathlib import Path

from resilience_operator.api.v1alpha1 import parse_policy
from resilience_operator.cli.common.cluster import Access, deadline, with_kube
from resilience_operator.cli.common.console import CommandError, PolicyFormat, UsageError, emit, print_note
from resilience_operator.cli.common.time_args import parse_span
from resilience_operator.cli.convert.yaml_output import commented
from resilience_operator.cli.init.proposal import WorkloadProfile, propose
from resilience_operator.cli.init.survey import MIN_SPAN, kind_and_name, read_workload, survey
from resilience_operator.cli.replay.source_lookup import find_source
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import POLICIES
from resilience_operator.resilience import AlreadyExists


def run(
    workload: str,
    namespace: str,
    access: Access,
    output: PolicyFormat,
    *,
    source: str,
    prometheus_url: str | None,
    config: Path | None,
    since: str,
    apply: bool,
) -> None:
    """Print a first policy. apply: also create it. Raises CommandError, UsageError, CallError."""
    kind, name = kind_and_name(workload)
    span = parse_span(since)
    if span < 2 * MIN_SPAN:
        raise UsageError("--since is too short: use at least a few hours, better a week")
    metrics = find_source(source, prometheus_url, config)

    async def work(kube: KubeClient) -> WorkloadProfile:
        return await survey(await read_workload(kube, namespace, kind, name), metrics, span, print_note)

    found = with_kube(access, work)
    policy, reasons = propose(found)
    parse_policy(policy)
    if output is PolicyFormat.JSON:
        emit({"policy": policy, "found": reasons}, output)
    else:
        family = f", preset family {found.family}" if found.family else ""
        title = f"First policy for {kind} {namespace}/{name}, from metric source {metrics.name}{family}."
        print(commented(policy, title, reasons), end="")
    if not apply:
        return

    async def create(kube: KubeClient) -> None:
        try:
            await kube.create(POLICIES.collection(namespace), policy, deadline=deadline())
        except AlreadyExists:
            raise CommandError(f"policy {name} already exists and was not changed") from None

    with_kube(access, create)
    print_note(f"policy {name} created in DryRun mode")
