"""`explain`."""

from __future__ import annotations

from resilience_operator.cli.common import options
from resilience_operator.cli.common.cluster import Access, default_namespace
from resilience_operator.cli.common.console import Output


def explain(
    name: options.NameArgument,
    namespace: options.NamespaceOption = None,
    context: options.ContextOption = None,
    kubeconfig: options.KubeconfigOption = None,
    output: options.OutputOption = Output.TABLE,
) -> None:
    """Tell one policy in plain words, and why it does what it does.

    What each rule sees, what it would take to act, and why it does not.

    Also what stands in the way: another autoscaler, a pause by hand, a quarantined revision, missing metrics.

    \b
    Examples:
      kubectl resilience explain checkout
      kubectl resilience explain checkout -n shop -o yaml
    """  # noqa: D301
    from resilience_operator.cli.explain.run import show_explanation

    access = Access(kubeconfig, context)
    show_explanation(name, namespace or default_namespace(access), access, output)
