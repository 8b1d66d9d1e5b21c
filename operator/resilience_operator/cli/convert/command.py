"""`convert`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.console import EXIT_FAILED, PolicyFormat


def convert(
    files: Annotated[
        list[str],
        typer.Argument(help="Files with objects to convert; - for standard input.", metavar="FILE..."),
    ],
    output: options.PolicyFormatOption = PolicyFormat.YAML,
) -> None:
    """Convert HPAs, KEDA ScaledObjects, and analyses of Argo Rollouts and Flagger to policies.

    HPAs must be autoscaling/v2. Pass a Rollout together with its AnalysisTemplates, and a Canary together with its
    MetricTemplates. No cluster is needed. The policies are in mode DryRun. Differences are comments above each policy,
    and what is left out is also printed to standard error.

    Exit codes: 0 everything was converted, 1 something was left out, 2 invalid arguments or file.

    \b
    Examples:
      kubectl resilience convert hpa.yaml > policy.yaml
      kubectl get hpa,scaledobject -n shop -o yaml | kubectl resilience convert -
      kubectl get rollout,analysistemplate -n shop -o yaml | kubectl resilience convert -
      kubectl get canary,metrictemplate -n shop -o yaml | kubectl resilience convert -
      kubectl resilience convert scaledobject.yaml -o json | jq '.[].remarks'
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.convert.run import run as convert_files

    if not convert_files(files, output):
        raise typer.Exit(EXIT_FAILED)
