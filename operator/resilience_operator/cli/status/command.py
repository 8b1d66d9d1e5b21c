"""`status`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.console import Output


@options.cluster_command
def status(
    access: Access,
    name: Annotated[str | None, typer.Argument(help="Name of a policy. Default: all.", metavar="NAME")] = None,
    all_namespaces: Annotated[
        bool, typer.Option("-A", "--all-namespaces", help=("List the policies of all namespaces."))
    ] = False,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Watch for changes, until Ctrl-C.")] = False,
    namespace: options.NamespaceOption = None,
    output: options.OutputOption = Output.TABLE,
) -> None:
    """List the policies and their states, worst first.

    STATE is the worst state of the policy, like InvalidSpec, HeldPaused, Breach, AtMaximum or Unmeasured, or Ok.

    \b
    Examples:
      kubectl resilience status
      kubectl resilience status -A -w
      kubectl resilience status -n shop -o json
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.status.run import show_status

    show_status(
        name=name,
        namespace=None if all_namespaces else namespace or default_namespace(access),
        access=access,
        output=output,
        watch=watch,
    )
