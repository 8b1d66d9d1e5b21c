"""`init`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.cluster import Access, default_namespace
from resilience_operator.cli.common.console import PolicyFormat


def init(
    workload: Annotated[
        str,
        typer.Argument(
            help="A Deployment's name; or sts/NAME of a StatefulSet.", metavar="DEPLOYMENT", show_default=False
        ),
    ],
    prometheus_url: options.PrometheusOption = None,
    source: Annotated[
        str, typer.Option("--source", help="A metric source of the operator's configuration.", metavar="NAME")
    ] = "default",
    config: options.ConfigOption = None,
    since: Annotated[str, typer.Option("--since", help="How far to look back.", metavar="TIME")] = "7d",
    apply: Annotated[bool, typer.Option("--apply", help="Create it, too.")] = False,
    namespace: options.NamespaceOption = None,
    context: options.ContextOption = None,
    kubeconfig: options.KubeconfigOption = None,
    output: options.PolicyFormatOption = PolicyFormat.YAML,
) -> None:
    """Write a first policy from what Prometheus has recorded.

    Asks every family of presets, takes the one that answers, and proposes thresholds above what was normal. The
    policy only rehearses (mode DryRun). It is printed, with what it stands on as comments; progress is told on
    standard error.

    \b
    Examples:
      kubectl resilience init checkout --prometheus-url http://127.0.0.1:9090
      kubectl resilience init sts/orders -n shop --config operator.yaml --since 2d
      kubectl resilience init checkout --prometheus-url http://127.0.0.1:9090 --apply
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.init.run import run

    access = Access(kubeconfig, context)
    run(
        workload,
        namespace or default_namespace(access),
        access,
        output,
        source=source,
        prometheus_url=prometheus_url,
        config=config,
        since=since,
        apply=apply,
    )
