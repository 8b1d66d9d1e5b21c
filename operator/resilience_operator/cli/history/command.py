"""`history`."""

from __future__ import annotations

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.console import Output


@options.cluster_command
def history(
    access: Access,
    name: options.NameArgument,
    namespace: options.NamespaceOption = None,
    output: options.OutputOption = Output.TABLE,
) -> None:
    """Show the last decisions of a policy, newest first.

    Each with its change, rule, values and trace ID. The last 20 decisions are kept.

    \b
    Examples:
      kubectl resilience history checkout
      kubectl resilience history checkout -o json | jq -r '.[].message'
    """  # noqa: D301
    from resilience_operator.cli.history.run import show_history

    show_history(name, namespace or default_namespace(access), access, output)
