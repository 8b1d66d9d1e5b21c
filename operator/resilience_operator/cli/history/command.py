"""`history`."""

from __future__ import annotations

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.selection import select
from resilience_operator.cli.output.formats import TABLE


@options.cluster_command
def history(
    access: Access,
    names: options.NamesArgument = None,
    selector: options.SelectorOption = None,
    all_: options.AllOption = False,
    all_namespaces: options.AllNamespacesOption = False,
    namespace: options.NamespaceOption = None,
    output: options.ObjectOutputOption = TABLE,
) -> None:
    """Show the last decisions of policies, newest first.

    Each with its change, rule, values and trace ID. The last 20 decisions of a policy are kept.

    Exit codes: 0 shown, 1 a policy is missing or there are no decisions yet, 2 invalid arguments.

    \b
    Examples:
      kubectl resilience history checkout
      kubectl resilience history deployment/checkout
      kubectl resilience history --all -n shop
      kubectl resilience history checkout -o json | jq -r '.[].message'
    """  # noqa: D301
    from resilience_operator.cli.history.run import show_history

    where = namespace or default_namespace(access)
    chosen = select(names, namespace=where, everywhere=all_namespaces, selector=selector, all_=all_)
    show_history(chosen, access, output)
