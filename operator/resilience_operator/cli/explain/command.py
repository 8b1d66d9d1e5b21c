"""`explain`."""

from __future__ import annotations

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.selection import select
from resilience_operator.cli.output.formats import TABLE


@options.cluster_command
def explain(
    access: Access,
    names: options.NamesArgument = None,
    selector: options.SelectorOption = None,
    all_: options.AllOption = False,
    all_namespaces: options.AllNamespacesOption = False,
    namespace: options.NamespaceOption = None,
    output: options.ObjectOutputOption = TABLE,
) -> None:
    """Explain the state of policies: what each rule measures, and why it acts or not.

    Also shows what blocks action: another autoscaler, a pause, a quarantined revision or missing metrics. With a
    target like deployment/checkout: the policies that target it, or that none does.

    Exit codes: 0 explained, 1 a policy or target is missing, 2 invalid arguments.

    \b
    Examples:
      kubectl resilience explain checkout
      kubectl resilience explain deployment/checkout statefulset/orders
      kubectl resilience explain -l team=payments
      kubectl resilience explain checkout -n shop -o yaml
    """  # noqa: D301
    from resilience_operator.cli.explain.run import show_explanations

    where = namespace or default_namespace(access)
    chosen = select(names, namespace=where, everywhere=all_namespaces, selector=selector, all_=all_)
    show_explanations(chosen, access, output)
