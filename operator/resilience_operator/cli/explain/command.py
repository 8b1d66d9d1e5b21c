"""`explain`."""

from __future__ import annotations

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.console import Output


@options.cluster_command
def explain(
    access: Access,
    name: options.NameArgument,
    namespace: options.NamespaceOption = None,
    output: options.OutputOption = Output.TABLE,
) -> None:
    """Explain the state of a policy: what each rule measures, and why it acts or not.

    Also shows what blocks action: another autoscaler, a pause, a quarantined revision or missing metrics.

    \b
    Examples:
      kubectl resilience explain checkout
      kubectl resilience explain checkout -n shop -o yaml
    """  # noqa: D301
    from resilience_operator.cli.explain.run import show_explanation

    show_explanation(name, namespace or default_namespace(access), access, output)
