"""`status`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.selection import select
from resilience_operator.cli.output.formats import TABLE


@options.cluster_command
def status(
    access: Access,
    names: options.NamesArgument = None,
    selector: options.SelectorOption = None,
    all_namespaces: options.AllNamespacesOption = False,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Watch for changes, until Ctrl-C.")] = False,
    namespace: options.NamespaceOption = None,
    output: options.ObjectOutputOption = TABLE,
) -> None:
    """List policies and their states, worst first. Default: all of the namespace.

    STATE is the worst state of the policy, like InvalidSpec, HeldPaused, Breach, AtMaximum or Unmeasured, or Ok.

    Exit codes: 0 listed, 1 none found or one is missing, 2 invalid arguments.

    \b
    Examples:
      kubectl resilience status
      kubectl resilience status -A -w
      kubectl resilience status -l team=payments -o wide
      kubectl resilience status deployment/checkout
      kubectl resilience status -n shop -o json
      kubectl resilience status checkout -o jsonpath='{.state}'
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.status.run import show_status

    where = namespace or default_namespace(access)
    chosen = select(names, namespace=where, everywhere=all_namespaces, selector=selector)
    show_status(chosen, access=access, output=output, watch=watch)
