"""`resilience-operator`: runs the operator, or prints its configuration."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from resilience_operator.cli.common.app import SETTINGS, Command, add_version, plain_os_error

if TYPE_CHECKING:
    from resilience_operator.runtime.config import Config

app = typer.Typer(
    name="resilience-operator",
    help="Kubernetes operator that scales workloads and rolls back releases on CPU, latency and errors.",
    **SETTINGS,
    epilog="Exit codes: 0 success; 1 failure; 2 invalid arguments or configuration.",
)

EXIT_CONFIG = 2
"""The configuration or the arguments are wrong; a retry does not help."""

KubeconfigOption = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig file. Default in a pod: its ServiceAccount.")
]
PrometheusOption = Annotated[
    str | None,
    typer.Option(
        "--prometheus-url",
        help="URL of the metric source named default. Default: none.",
        metavar="URL",
    ),
]
TenancyOption = Annotated[
    str | None,
    typer.Option(
        "--prometheus-tenancy",
        help="Namespace label that custom queries to this source are limited by (default: namespace), or none.",
        metavar="LABEL",
    ),
]
DryRunOption = Annotated[
    bool | None,
    typer.Option(
        "--dry-run",
        help=("Run every policy in DryRun mode: record and report decisions, change nothing. Default: off."),
    ),
]
NamespaceOption = Annotated[
    list[str] | None,
    typer.Option("--namespace", help="Watch only this namespace. Repeatable. Default: all namespaces.", metavar="NAME"),
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Configuration file (YAML). Default: none.",
        metavar="FILE",
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        help="Port of /healthz, /readyz and /metrics. 0 disables all endpoints. Default: 8080.",
    ),
]
DashboardPortOption = Annotated[
    int | None,
    typer.Option(
        "--dashboard-port",
        help="Port of the dashboard. May be the same as --port. Default: 8081.",
    ),
]
ListenOption = Annotated[
    str | None, typer.Option("--listen", help="Listen address of all endpoints. Default: 0.0.0.0.", metavar="ADDRESS")
]
LogFormatOption = Annotated[
    Literal["json", "console", "auto"] | None,
    typer.Option("--log-format", help=("Log format. auto: console on a terminal, otherwise JSON. Default: auto.")),
]
LogLevelOption = Annotated[
    Literal["debug", "info", "warning", "error"] | None, typer.Option("--log-level", help="Log level. Default: info.")
]
ElectionOption = Annotated[
    bool | None,
    typer.Option(
        "--leader-election/--no-leader-election",
        help="Act only while holding the leader Lease. Default: off.",
    ),
]
ShardsOption = Annotated[
    int | None,
    typer.Option(
        "--shards",
        help=("Number of shards that the replicas divide the policies into. Default: 1."),
        metavar="N",
    ),
]

OtlpOption = Annotated[
    str | None,
    typer.Option("--otlp-endpoint", help="OTLP/HTTP endpoint to send traces to. Default: none.", metavar="URL"),
]


def _load(flags: dict[str, Any], file: Path | None) -> Config:
    from resilience_operator.runtime.config import BadConfig, load

    try:
        return load(flags, file)
    except BadConfig as error:
        typer.echo(f"resilience-operator: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None


@app.command(cls=Command)
def run(
    kubeconfig: KubeconfigOption = None,
    prometheus_url: PrometheusOption = None,
    prometheus_tenancy: TenancyOption = None,
    dry_run: DryRunOption = None,
    namespace: NamespaceOption = None,
    config: FileOption = None,
    listen: ListenOption = None,
    port: PortOption = None,
    dashboard_port: DashboardPortOption = None,
    log_format: LogFormatOption = None,
    log_level: LogLevelOption = None,
    leader_election: ElectionOption = None,
    shards: ShardsOption = None,
    otlp_endpoint: OtlpOption = None,
) -> None:
    """Run the operator until SIGTERM or Ctrl-C.

    Flags override RESILIENCE_* environment variables, like RESILIENCE_PORT, which override the file given by --config.
    Settings without a flag, like sources and notifiers, are in the file: `resilience-operator config` prints them all.

    Exit codes: 0 stopped by a signal, 1 failure, 2 invalid configuration or arguments.

    \b
    Examples:
      resilience-operator run --prometheus-url http://prometheus:9090 --dry-run
      resilience-operator run --config operator.yaml --log-level debug
    """  # noqa: D301 - the \b tells click to keep the lines
    flags = {
        "kubeconfig": kubeconfig,
        "prometheus_url": prometheus_url,
        "prometheus_tenancy": prometheus_tenancy,
        "dry_run": dry_run,
        "namespaces": tuple(namespace or ()),
        "listen": listen,
        "port": port,
        "dashboard_port": dashboard_port,
        "log_format": log_format,
        "log_level": log_level,
        "leader_election": leader_election,
        "shards": shards,
        "otlp_endpoint": otlp_endpoint,
    }
    _serve(_load(flags, config))


def _serve(config: Config) -> None:
    """Run the operator. An expected failure is one line."""
    from resilience_operator.kube.client.credentials import NoCluster
    from resilience_operator.resilience.loop_idle import idle_tracking_loop
    from resilience_operator.runtime.app import run as run_app
    from resilience_operator.runtime.telemetry.gc_tuning import raise_gc_threshold
    from resilience_operator.runtime.telemetry.log_setup import configure_logging

    configure_logging(config.log_format, config.log_level)
    raise_gc_threshold()
    try:
        with asyncio.Runner(loop_factory=idle_tracking_loop) as runner:
            runner.run(run_app(config))
    except NoCluster as error:
        typer.echo(f"resilience-operator: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    except OSError as error:
        typer.echo(f"resilience-operator: {plain_os_error(str(error))}", err=True)
        raise typer.Exit(1) from None


@app.command(cls=Command)
def config(
    file: FileOption = None,
    output: Annotated[Literal["yaml", "json"], typer.Option("-o", "--output", help="Output format.")] = "yaml",
) -> None:
    """Print the effective configuration from environment and file, with secrets masked.

    Exit codes: 0 valid, 2 invalid: one line says what to change.

    \b
    Examples:
      resilience-operator config
      resilience-operator config --config operator.yaml -o json
    """  # noqa: D301
    import yaml

    from resilience_operator.runtime.config import show

    shown = show(_load({}, file))
    if output == "json":
        json.dump(shown, sys.stdout, indent=2)
        typer.echo()
    else:
        typer.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)


add_version(app)


if __name__ == "__main__":
    app(prog_name="resilience-operator")
