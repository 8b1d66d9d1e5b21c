"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resilience_operator.cli.common.console import Output, PolicyFormat

NamespaceOption = Annotated[
    str | None,
    typer.Option(
        "-n", "--namespace", help=("Namespace. Default: the namespace of the current context."), metavar="NAMESPACE"
    ),
]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="Kubeconfig file. Default: $KUBECONFIG, then ~/.kube/config.", metavar="FILE"),
]
ContextOption = Annotated[
    str | None,
    typer.Option("--context", help="Context of the kubeconfig. Default: the current context.", metavar="CONTEXT"),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="Output format.")]
PolicyFormatOption = Annotated[PolicyFormat, typer.Option("-o", "--output", help="Output format.")]
PrometheusOption = Annotated[str | None, typer.Option("--prometheus-url", help="URL of Prometheus.", metavar="URL")]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file of the operator, for its metric sources.", metavar="FILE"),
]
PictureOption = Annotated[
    Path | None,
    typer.Option("--picture", help="Also write a chart to FILE (.html, .png or .svg).", metavar="FILE"),
]
NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Names of policies: NAME or rsp/NAME.", metavar="NAME", show_default=False),
]
SelectorOption = Annotated[
    str | None,
    typer.Option("-l", "--selector", help="Policies with these labels, like team=payments.", metavar="LABELS"),
]
AllOption = Annotated[bool, typer.Option("--all", help="All policies of the namespace.")]
AllNamespacesOption = Annotated[bool, typer.Option("-A", "--all-namespaces", help="Policies of all namespaces.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the policy.", metavar="NAME")]
