"""`init`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.console import PolicyFormat


@options.cluster_command
def init(
    access: Access,
    workload: Annotated[
        str,
        typer.Argument(
            help="Name of a Deployment, or sts/NAME for a StatefulSet.", metavar="DEPLOYMENT", show_default=False
        ),
    ],
    prometheus_url: options.PrometheusOption = None,
    source: Annotated[
        str, typer.Option("--source", help="Metric source in the operator's configuration.", metavar="NAME")
    ] = "default",
    config: options.ConfigOption = None,
    since: Annotated[str, typer.Option("--since", help="How much history to query.", metavar="TIME")] = "7d",
    apply: Annotated[bool, typer.Option("--apply", help="Also create the policy.")] = False,
    namespace: options.NamespaceOption = None,
    output: options.PolicyFormatOption = PolicyFormat.YAML,
) -> None:
    """Propose a first policy from metrics recorded in Prometheus.

    Queries every preset family, selects the one with the most signals, and proposes thresholds above the normal
    range. The policy is in mode DryRun. It is printed with comments that explain each value; progress goes to
    standard error.

    \b
    Examples:
      kubectl resilience init checkout --prometheus-url http://127.0.0.1:9090
      kubectl resilience init sts/orders -n shop --config operator.yaml --since 2d
      kubectl resilience init checkout --prometheus-url http://127.0.0.1:9090 --apply
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.init.run import run

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
