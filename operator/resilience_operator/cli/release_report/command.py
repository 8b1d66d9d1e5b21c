"""`report`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.console import Output


def report(
    since: Annotated[
        str, typer.Option("--since", help="The time to report on: a duration like 7d or 30d.", metavar="TIME")
    ] = "30d",
    prometheus_url: options.PrometheusOption = None,
    config: options.ConfigOption = None,
    source_name: Annotated[
        str, typer.Option("--source", help="Metric source of --config that has the operator's metrics.", metavar="NAME")
    ] = "default",
    matchers: Annotated[
        str,
        typer.Option("--matchers", help="Only series with these labels, like 'cluster=\"eu\"'.", metavar="MATCHERS"),
    ] = "",
    output: options.OutputOption = Output.TABLE,
) -> None:
    """Show the figures of DORA: deployments, change failure rate, time to restore, lead time.

    They come from the operator's own metrics in Prometheus (--prometheus-url, --config or RESILIENCE_PROMETHEUS_URL),
    so Prometheus must scrape the operator. Releases of all targets with a policy in mode Enforce are counted.
    The lead time needs the annotation resilience-operator.io/commit-time on the targets.

    Exit codes: 0 shown, 1 Prometheus has no metrics of the operator, 2 invalid arguments.

    \b
    Examples:
      kubectl resilience report --prometheus-url http://127.0.0.1:9090
      kubectl resilience report --since 7d --config config.yaml -o json
    """  # noqa: D301
    import asyncio

    from resilience_operator.cli.common.time_args import parse_span
    from resilience_operator.cli.release_report.figures import Period, read_figures
    from resilience_operator.cli.release_report.view import show_figures
    from resilience_operator.cli.replay.range_client import RangeSource
    from resilience_operator.cli.replay.source_lookup import find_source

    period = Period(time.time(), parse_span(since), matchers)
    source = RangeSource(find_source(source_name, prometheus_url, config))
    show_figures(asyncio.run(read_figures(source, period)), output)
