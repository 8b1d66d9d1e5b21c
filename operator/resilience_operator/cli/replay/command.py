"""`replay`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.console import Output, UsageError, print_note
from resilience_operator.cli.common.selection import policy_name
from resilience_operator.cli.common.time_args import parse_moment


@options.cluster_command
def replay(
    access: Access,
    name: Annotated[str | None, typer.Argument(help="Name of a policy in the cluster.", metavar="NAME")] = None,
    file: Annotated[
        str | None, typer.Option("-f", "--filename", help="Policy file, instead of NAME.", metavar="FILE")
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            "--since", help="Start: a duration like 6h or 7d, or a time like 2026-01-31T10:00:00Z.", metavar="TIME"
        ),
    ] = "24h",
    until: Annotated[
        str | None, typer.Option("--until", help="End, in the same formats. Default: now.", metavar="TIME")
    ] = None,
    prometheus_url: options.PrometheusOption = None,
    config: options.ConfigOption = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Save the recorded metrics to FILE (.json or .json.gz).", metavar="FILE"),
    ] = None,
    recorded: Annotated[
        Path | None, typer.Option("--from", help="Replay a saved recording, without Prometheus.", metavar="FILE")
    ] = None,
    as_recorded: Annotated[
        bool,
        typer.Option("--as-recorded", help="Do not adjust CPU to the number of pods that the policy would have had."),
    ] = False,
    namespace: options.NamespaceOption = None,
    output: options.OutputOption = Output.TABLE,
    picture: options.PictureOption = None,
) -> None:
    """Run a policy on recorded metrics: what would it have done?

    Uses the operator's own code. Simulated actions are overlaid on the recorded metrics; nothing is changed.
    Metrics come from Prometheus (--prometheus-url, --config or RESILIENCE_PROMETHEUS_URL), or from a file that
    --export wrote.

    \b
    Examples:
      kubectl resilience replay checkout --since 24h --prometheus-url http://127.0.0.1:9090
      kubectl resilience replay -f policy.yaml --since 7d --picture week.html
      kubectl resilience replay checkout --since 7d --export week.json.gz
      kubectl resilience replay -f policy.yaml --from week.json.gz -o json
    """  # noqa: D301
    import asyncio

    from resilience_operator.cli.common.policy_loader import load_policy
    from resilience_operator.cli.replay.archive import Archive
    from resilience_operator.cli.replay.range_client import RangeSource
    from resilience_operator.cli.replay.recording import Recording
    from resilience_operator.cli.replay.run import replay_policy
    from resilience_operator.cli.replay.source_lookup import find_source
    from resilience_operator.cli.replay.time_grid import Grid, step_for
    from resilience_operator.cli.report.output import check_picture, write_report

    check_picture(picture)
    known = Recording.load(recorded) if recorded is not None else None
    document = _policy_to_replay(name, file, namespace, access, known.policy if known else None)
    entry, policy = load_policy(document)
    if known is not None:
        archive = Archive(known)
    else:
        now = time.time()
        first, last = parse_moment(since, now), now if until is None else parse_moment(until, now)
        grid = Grid.covering(first, last, step_for(policy.interval, last - first))
        if grid.count < 2:
            raise UsageError("--since must be before --until")
        source = RangeSource(find_source(entry.compiled.source, prometheus_url, config))
        archive = Archive(Recording(grid, _without_status(document)), source)
    report = asyncio.run(replay_policy(entry, policy, archive, react=not as_recorded))
    if export is not None:
        archive.recording.save(export)
    for warning in archive.warnings:
        print_note(f"warning from the metric source: {warning}")
    write_report(report, output, picture, {})


def _policy_to_replay(
    name: str | None, file: str | None, namespace: str | None, access: Access, kept: dict[str, Any] | None
) -> dict[str, Any]:
    """Load the policy: from a file, from the cluster, or from the recording."""
    from resilience_operator.cli.common.documents import only_policy

    if name is not None and file is not None:
        raise UsageError("use NAME or -f FILE, not both")
    if file is not None:
        document = only_policy(file)
        metadata = document.get("metadata") or {}
        if namespace is not None:
            metadata = {**metadata, "namespace": namespace}
        elif "namespace" not in metadata:
            inherited = (kept or {}).get("metadata", {}).get("namespace")
            metadata = {**metadata, "namespace": inherited or default_namespace(access)}
        return {**document, "metadata": metadata}
    if name is not None:
        from resilience_operator.cli.common.cluster import read_policy, with_kube

        name = policy_name(name)
        where = namespace or default_namespace(access)
        return with_kube(access, lambda kube: read_policy(kube, where, name))
    if kept is not None:
        return kept
    raise UsageError("no policy given: use NAME or -f FILE")


def _without_status(document: dict[str, Any]) -> dict[str, Any]:
    """The part of a policy stored in a recording. Its history identifies the operator's own changes."""
    history = (document.get("status") or {}).get("history", [])
    metadata = {k: v for k, v in document["metadata"].items() if k in ("name", "namespace")}
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "metadata": metadata,
        "spec": document["spec"],
        "status": {"history": history},
    }
