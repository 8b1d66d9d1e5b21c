"""`kubectl resilience`: what people ask of their policies, and try on them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from resilience_operator import __version__
from resilience_operator.cli import options
from resilience_operator.cli.cluster import default_namespace
from resilience_operator.cli.console import EXIT_FAILED, PROGRAM, Group, Output, Wrong, columns, emit, say, show
from resilience_operator.cli.period import parse_moment
from resilience_operator.cli.story.story import Story

app = typer.Typer(
    name=PROGRAM,
    cls=Group,
    help="Look at resilience policies, and try them out.",
    no_args_is_help=True,
    add_completion=False,  # kubectl completes its plugins itself, see `complete`
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done; 1 failed, or there is nothing of what was asked for; 2 the call or a file is wrong.",
)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Only this policy.", metavar="NAME")] = None,
    all_namespaces: Annotated[bool, typer.Option("-A", "--all-namespaces", help="Those of every namespace.")] = False,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Keep looking, until Ctrl-C.")] = False,
    namespace: options.NamespaceOption = None,
    kubeconfig: options.KubeconfigOption = None,
    output: options.OutputOption = Output.TABLE,
) -> None:
    """All policies at a glance, the worst first.

    STATE is one word: Ok, or the worst of what is so (InvalidSpec, HeldPaused, Breach, AtMaximum, Unmeasured, …).

    \b
    Examples:
      kubectl resilience status
      kubectl resilience status -A -w
      kubectl resilience status -n shop -o json
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.looking import look_at_all

    look_at_all(
        name=name,
        namespace=None if all_namespaces else namespace or default_namespace(kubeconfig),
        kubeconfig=kubeconfig,
        output=output,
        watch=watch,
    )


@app.command()
def explain(
    name: options.NameArgument,
    namespace: options.NamespaceOption = None,
    kubeconfig: options.KubeconfigOption = None,
    output: options.OutputOption = Output.TABLE,
) -> None:
    """One policy in plain words: what each rule sees, what it would take to act, and why it does not.

    Also what stands in the way: another autoscaler, a pause by hand, a quarantined revision, missing metrics.

    \b
    Examples:
      kubectl resilience explain checkout
      kubectl resilience explain checkout -n shop -o yaml
    """  # noqa: D301
    from resilience_operator.cli.looking import look_closely

    look_closely(name, namespace or default_namespace(kubeconfig), kubeconfig, output)


@app.command()
def history(
    name: options.NameArgument,
    namespace: options.NamespaceOption = None,
    kubeconfig: options.KubeconfigOption = None,
    output: options.OutputOption = Output.TABLE,
) -> None:
    """What was decided, newest first: the change, the rule, the numbers, the trace. The last 20 are kept.

    \b
    Examples:
      kubectl resilience history checkout
      kubectl resilience history checkout -o json | jq -r '.[].message'
    """  # noqa: D301
    from resilience_operator.cli.looking import look_back

    look_back(name, namespace or default_namespace(kubeconfig), kubeconfig, output)


@app.command()
def lint(
    files: Annotated[list[str], typer.Argument(help="Files with policies; - reads standard input.", metavar="FILE...")],
    output: options.OutputOption = Output.TABLE,
) -> None:
    """Check policies in files, as the API server and the operator would. No cluster is needed.

    Prints `file:line: path: what to change`, and exits with 1 when there is something to change. Documents of
    other kinds are left out.

    \b
    Examples:
      kubectl resilience lint policies/*.yaml
      helm template . | kubectl resilience lint -
    """  # noqa: D301
    from resilience_operator.cli.lint import lint as look_through

    found = look_through(files)
    if output is not Output.TABLE:
        emit([{"file": f.file, "line": f.line, "path": f.path, "message": f.message} for f in found.faults], output)
    else:
        for fault in found.faults:
            print(fault)
        if not found.faults:
            say(f"{found.policies} {'policy is' if found.policies == 1 else 'policies are'} fine")
    if found.faults:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def simulate(
    file: Annotated[str, typer.Argument(help="Scenario file; - reads standard input.", metavar="FILE")],
    policy: Annotated[
        str | None, typer.Option("-f", "--policy", help="Try this policy in place of the scenario's.", metavar="FILE")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Other random numbers than the scenario's.")] = None,
    output: options.OutputOption = Output.TABLE,
    picture: options.PictureOption = None,
) -> None:
    """Try a policy on a scenario: a load, releases, outages. No cluster is needed.

    The policy decides by the operator's own code; the service exists only in numbers. Where the scenario says
    what is expected, the exit code is 1 when it does not come.

    \b
    Examples:
      kubectl resilience simulate docs/scenarios/bad-release.yaml
      kubectl resilience simulate docs/scenarios/sine.yaml --picture sine.html
      kubectl resilience simulate docs/scenarios/sine.yaml -f my-policy.yaml -o json
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.documents import only_policy
    from resilience_operator.cli.simulation.run import play, unmet
    from resilience_operator.cli.simulation.scenario import read_scenario

    scenario, document = read_scenario(file)
    if policy is not None:
        document = only_policy(policy)
    if seed is not None:
        scenario = scenario.model_copy(update={"seed": seed})
    story = play(scenario, document, Path(file).stem if file != "-" else "scenario")
    missing = unmet(story, scenario.expect)
    _tell(story, output, picture, {"expected": len(scenario.expect), "unmet": missing} if scenario.expect else {})
    for sentence in missing:
        say(sentence)
    if missing:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def replay(
    name: Annotated[str | None, typer.Argument(help="Name of a policy in the cluster.", metavar="NAME")] = None,
    file: Annotated[
        str | None, typer.Option("-f", "--filename", help="A policy in a file, in place of NAME.", metavar="FILE")
    ] = None,
    since: Annotated[
        str, typer.Option("--since", help="From when on: 6h, 7d, or a moment like 2026-01-31T10:00:00Z.")
    ] = "24h",
    until: Annotated[str | None, typer.Option("--until", help="Until when, in the same forms. Default: now.")] = None,
    prometheus_url: Annotated[
        str | None, typer.Option("--prometheus-url", help="Address of Prometheus.", metavar="URL")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="The operator's configuration, for its metric sources.", metavar="FILE"),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Keep the recorded metrics in a file (.json or .json.gz).", metavar="FILE"),
    ] = None,
    recorded: Annotated[
        Path | None, typer.Option("--from", help="Replay over such a file; no Prometheus is asked.", metavar="FILE")
    ] = None,
    as_recorded: Annotated[
        bool,
        typer.Option("--as-recorded", help="Do not convert CPU to the pods that the policy would have had."),
    ] = False,
    namespace: options.NamespaceOption = None,
    kubeconfig: options.KubeconfigOption = None,
    output: options.OutputOption = Output.TABLE,
    picture: options.PictureOption = None,
) -> None:
    """Run a policy over recorded metrics: what would it have done, and when?

    Decides by the operator's own code, as a dry run on the past: what it would have done is laid over what was
    recorded. Nothing is changed anywhere. Metrics come from Prometheus (--prometheus-url, --config or
    RESILIENCE_PROMETHEUS_URL), or from a file that --export wrote.

    \b
    Examples:
      kubectl resilience replay checkout --since 24h --prometheus-url http://127.0.0.1:9090
      kubectl resilience replay -f policy.yaml --since 7d --picture week.html
      kubectl resilience replay checkout --since 7d --export week.json.gz
      kubectl resilience replay -f policy.yaml --from week.json.gz -o json
    """  # noqa: D301
    from resilience_operator.cli.loaded import load
    from resilience_operator.cli.replay.archive import Archive
    from resilience_operator.cli.replay.grid import Grid, step_for
    from resilience_operator.cli.replay.ranges import RangeSource
    from resilience_operator.cli.replay.recording import Recording
    from resilience_operator.cli.replay.run import rehearse
    from resilience_operator.cli.replay.sources import find_source

    known = Recording.load(recorded) if recorded is not None else None
    document = _policy_to_replay(name, file, namespace, kubeconfig, known.policy if known else None)
    entry, policy = load(document)
    if known is not None:
        archive = Archive(known)
    else:
        now = time.time()
        first, last = parse_moment(since, now), now if until is None else parse_moment(until, now)
        grid = Grid.covering(first, last, step_for(policy.interval, last - first))
        if grid.count < 2:
            raise Wrong("--since is not before --until")
        source = RangeSource(find_source(entry.source, prometheus_url, config))
        archive = Archive(Recording(grid, _without_status(document)), source)
    story = asyncio.run(rehearse(entry, policy, archive, react=not as_recorded))
    if export is not None:
        archive.recording.save(export)
    for warning in archive.warnings:
        say(f"the metric source says: {warning}")
    _tell(story, output, picture, {})


def _policy_to_replay(
    name: str | None, file: str | None, namespace: str | None, kubeconfig: Path | None, kept: dict[str, Any] | None
) -> dict[str, Any]:
    """The policy: from a file, from the cluster, or the one that a recording was made for."""
    from resilience_operator.cli.cluster import read_policy, with_kube
    from resilience_operator.cli.documents import only_policy

    if name is not None and file is not None:
        raise Wrong("give NAME or -f FILE, and not both")
    if file is not None:
        document = only_policy(file)
        metadata = document.get("metadata") or {}
        if namespace is not None:
            metadata = {**metadata, "namespace": namespace}
        elif "namespace" not in metadata:
            inherited = (kept or {}).get("metadata", {}).get("namespace")
            metadata = {**metadata, "namespace": inherited or default_namespace(kubeconfig)}
        return {**document, "metadata": metadata}
    if name is not None:
        where = namespace or default_namespace(kubeconfig)
        return with_kube(kubeconfig, lambda kube: read_policy(kube, where, name))
    if kept is not None:
        return kept
    raise Wrong("name a policy: NAME, or -f FILE")


def _without_status(document: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a policy in a recording: the history says what was the operator's own doing."""
    history = (document.get("status") or {}).get("history", [])
    metadata = {k: v for k, v in document["metadata"].items() if k in ("name", "namespace")}
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "metadata": metadata,
        "spec": document["spec"],
        "status": {"history": history},
    }


def _tell(story: Story, output: Output, picture: Path | None, more: dict[str, Any]) -> None:
    """The story in the form that was asked for."""
    from resilience_operator.cli.story.telling import HEADERS, document, rows, summary

    if picture is not None:
        from resilience_operator.cli.story.picture import draw

        draw(story, picture)
    for note in story.notes:
        say(note)
    if output is not Output.TABLE:
        emit({**document(story), **more}, output)
    else:
        show(summary(story))
        if story.happenings:
            show(columns(HEADERS, rows(story)))


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(__version__)


if __name__ == "__main__":
    app(prog_name=PROGRAM)
