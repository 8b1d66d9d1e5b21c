"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resilience_operator.cli.common.console import Output, PolicyFormat

NamespaceOption = Annotated[
    str | None,
    typer.Option("-n", "--namespace", help="Namespace. Default: that of the current context.", metavar="NAMESPACE"),
]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="Kubeconfig file. Default: $KUBECONFIG, then ~/.kube/config.", metavar="FILE"),
]
ContextOption = Annotated[
    str | None,
    typer.Option("--context", help="Context of the kubeconfig. Default: its current one.", metavar="CONTEXT"),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="Form of the answer.")]
PolicyFormatOption = Annotated[PolicyFormat, typer.Option("-o", "--output", help="Form of the answer.")]
PrometheusOption = Annotated[str | None, typer.Option("--prometheus-url", help="Address of Prometheus.", metavar="URL")]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The operator's configuration, for its metric sources.", metavar="FILE"),
]
PictureOption = Annotated[
    Path | None,
    typer.Option("--picture", help="Also draw it: a file that ends in .html, .png or .svg.", metavar="FILE"),
]
NameArgument = Annotated[str, typer.Argument(help="Name of the policy.", metavar="NAME")]
