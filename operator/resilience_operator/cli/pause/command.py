"""`pause` and `resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.cluster import Access, default_namespace
from resilience_operator.cli.common.console import Output


def pause(
    name: options.NameArgument,
    reason: Annotated[
        str, typer.Option("--reason", help=("Reason, shown to everyone who sees the pause."), metavar="TEXT")
    ],
    span: Annotated[
        str | None,
        typer.Option("--for", help="Duration, like 30m, 2h or 1d. Default: until resumed.", metavar="TIME"),
    ] = None,
    namespace: options.NamespaceOption = None,
    context: options.ContextOption = None,
    kubeconfig: options.KubeconfigOption = None,
    output: options.OutputOption = Output.TABLE,
) -> None:
    """Pause a policy: the operator does not evaluate it or act on it.

    Nothing is undone: pods stay as they are, and a rollout that the operator paused stays paused. Pausing again
    changes the reason and the end.

    \b
    Examples:
      kubectl resilience pause checkout --reason "load test" --for 2h
      kubectl resilience pause checkout -n shop --reason "incident 4711, see the channel"
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.pause.run import pause

    access = Access(kubeconfig, context)
    pause(name, namespace or default_namespace(access), access, output, reason=reason, span=span)


def resume(
    name: options.NameArgument,
    namespace: options.NamespaceOption = None,
    context: options.ContextOption = None,
    kubeconfig: options.KubeconfigOption = None,
    output: options.OutputOption = Output.TABLE,
) -> None:
    """Resume a paused policy.

    This never resumes a paused rollout.

    \b
    Examples:
      kubectl resilience resume checkout
      kubectl resilience resume checkout -n shop -o json
    """  # noqa: D301
    from resilience_operator.cli.pause.run import resume

    access = Access(kubeconfig, context)
    resume(name, namespace or default_namespace(access), access, output)
