"""`pause` and `resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.selection import select
from resilience_operator.cli.output.formats import TABLE


@options.cluster_command
def pause(
    access: Access,
    names: options.NamesArgument = None,
    *,
    reason: Annotated[
        str, typer.Option("--reason", help=("Reason, shown to everyone who sees the pause."), metavar="TEXT")
    ],
    span: Annotated[
        str | None,
        typer.Option("--for", help="Duration, like 30m, 2h or 1d. Default: until resumed.", metavar="TIME"),
    ] = None,
    selector: options.SelectorOption = None,
    all_: options.AllOption = False,
    all_namespaces: options.AllNamespacesOption = False,
    namespace: options.NamespaceOption = None,
    output: options.ObjectOutputOption = TABLE,
) -> None:
    """Pause policies: the operator does not evaluate them or act on them.

    Nothing is undone: pods stay as they are, and a rollout that the operator paused stays paused. Pausing again
    changes the reason and the end.

    Exit codes: 0 paused, 1 a policy is missing or could not be changed, 2 invalid arguments.

    \b
    Examples:
      kubectl resilience pause checkout --reason "load test" --for 2h
      kubectl resilience pause checkout cart -n shop --reason "incident 4711, see the channel"
      kubectl resilience pause deployment/checkout --reason "migration" --for 1h
      kubectl resilience pause -l team=payments --reason "migration" --for 1h
      kubectl resilience pause -A --reason "stop everything: incident 4711"
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.pause.run import pause

    where = namespace or default_namespace(access)
    chosen = select(names, namespace=where, everywhere=all_namespaces, selector=selector, all_=all_)
    pause(chosen, access, output, reason=reason, span=span)


@options.cluster_command
def resume(
    access: Access,
    names: options.NamesArgument = None,
    selector: options.SelectorOption = None,
    all_: options.AllOption = False,
    all_namespaces: options.AllNamespacesOption = False,
    namespace: options.NamespaceOption = None,
    output: options.ObjectOutputOption = TABLE,
) -> None:
    """Resume paused policies.

    This never resumes a paused rollout.

    Exit codes: 0 resumed, 1 a policy is missing, not paused or could not be changed, 2 invalid arguments.

    \b
    Examples:
      kubectl resilience resume checkout
      kubectl resilience resume checkout -n shop -o json
      kubectl resilience resume -A
    """  # noqa: D301
    from resilience_operator.cli.pause.run import resume

    where = namespace or default_namespace(access)
    chosen = select(names, namespace=where, everywhere=all_namespaces, selector=selector, all_=all_)
    resume(chosen, access, output)
