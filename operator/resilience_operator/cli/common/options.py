"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from resilience_operator.cli.common.access import Access
from resilience_operator.cli.common.console import Output, PolicyFormat
from resilience_operator.cli.common.errors import UsageError
from resilience_operator.cli.common.time_args import parse_span
from resilience_operator.cli.output.formats import CHOICES, ObjectOutput, parse_output

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
ObjectOutputOption = Annotated[
    ObjectOutput,
    typer.Option(
        "-o", "--output", help=f"Output format: {CHOICES}.", metavar="FORMAT", parser=parse_output, show_default=False
    ),
]
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
    typer.Argument(
        help="Policies: NAME, rsp/NAME, or a target like deployment/NAME.", metavar="NAME", show_default=False
    ),
]
SelectorOption = Annotated[
    str | None,
    typer.Option("-l", "--selector", help="Policies with these labels, like team=payments.", metavar="LABELS"),
]
AllOption = Annotated[bool, typer.Option("--all", help="All policies of the namespace.")]
AllNamespacesOption = Annotated[bool, typer.Option("-A", "--all-namespaces", help="Policies of all namespaces.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the policy.", metavar="NAME")]
_ClusterOption = Annotated[
    str | None, typer.Option("--cluster", help="Cluster of the kubeconfig, instead of the context's.", metavar="NAME")
]
_UserOption = Annotated[
    str | None, typer.Option("--user", help="User of the kubeconfig, instead of the context's.", metavar="NAME")
]
_ServerOption = Annotated[str | None, typer.Option("-s", "--server", help="URL of the API server.", metavar="URL")]
_AsOption = Annotated[str | None, typer.Option("--as", help="User to impersonate.", metavar="USER")]
_AsGroupOption = Annotated[
    list[str] | None, typer.Option("--as-group", help="Group to impersonate. Repeatable.", metavar="GROUP")
]
_TimeoutOption = Annotated[
    str | None,
    typer.Option("--request-timeout", help="Time limit of one request, like 10s. Default: 5s.", metavar="TIME"),
]
_CONNECTION = {
    "context": ContextOption,
    "kubeconfig": KubeconfigOption,
    "cluster": _ClusterOption,
    "user": _UserOption,
    "server": _ServerOption,
    "as_user": _AsOption,
    "as_groups": _AsGroupOption,
    "request_timeout": _TimeoutOption,
}


def cluster_command(function: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `access` of a command by the options of a connection, named as in kubectl."""
    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "access"
    ]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _CONNECTION.items()
    ]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in _CONNECTION}
        span = chosen.pop("request_timeout")
        groups = tuple(chosen.pop("as_groups") or ())
        if groups and not chosen["as_user"]:
            raise UsageError("--as-group needs --as")
        # 0 is kubectl's "no limit". A command must end: the default applies.
        timeout = None if span is None else (float(span) if span.isdigit() else parse_span(span)) or None
        function(**given, access=Access(**chosen, as_groups=groups, timeout=timeout))

    command.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *more)}
    return command
