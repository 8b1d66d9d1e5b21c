"""`convert`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.console import EXIT_FAILED, PolicyFormat


def convert(
    files: Annotated[
        list[str],
        typer.Argument(help="Files with HPAs or ScaledObjects; - for standard input.", metavar="FILE..."),
    ],
    output: options.PolicyFormatOption = PolicyFormat.YAML,
) -> None:
    """Convert HPAs and KEDA ScaledObjects to policies.

    HPAs must be autoscaling/v2. No cluster is needed. The policies are in mode DryRun. Differences are printed
    as comments and to standard error. The exit code is 1 if something was left out.

    \b
    Examples:
      kubectl resilience convert hpa.yaml > policy.yaml
      kubectl get hpa,scaledobject -n shop -o yaml | kubectl resilience convert -
      kubectl resilience convert scaledobject.yaml -o json | jq '.[].remarks'
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.convert.run import run as convert_files

    if not convert_files(files, output):
        raise typer.Exit(EXIT_FAILED)
