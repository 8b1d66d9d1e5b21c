"""`approve` and `deny`."""

from __future__ import annotations

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.output.formats import TABLE


@options.cluster_command
def approve(
    access: Access,
    name: options.NameArgument,
    namespace: options.NamespaceOption = None,
    output: options.ObjectOutputOption = TABLE,
) -> None:
    """Approve the rollback that a policy asks for.

    A policy asks if its rule has rollback.approval. The history records who approved. After a denial, this approves
    the same rollback all the same.

    Exit codes: 0 approved, 1 the policy is missing or asks for nothing, 2 invalid arguments.

    \b
    Examples:
      kubectl resilience approve checkout
      kubectl resilience approve checkout -n shop -o json
    """  # noqa: D301
    from resilience_operator.cli.approve.run import answer

    answer(name, namespace or default_namespace(access), access, output, verdict="approve")


@options.cluster_command
def deny(
    access: Access,
    name: options.NameArgument,
    namespace: options.NamespaceOption = None,
    output: options.ObjectOutputOption = TABLE,
) -> None:
    """Deny the rollback that a policy asks for.

    The operator does not roll this revision back. A rule may still pause it. The history records who denied it.

    Exit codes: 0 denied, 1 the policy is missing or asks for nothing, 2 invalid arguments.

    \b
    Examples:
      kubectl resilience deny checkout
      kubectl resilience deny checkout -n shop -o json
    """  # noqa: D301
    from resilience_operator.cli.approve.run import answer

    answer(name, namespace or default_namespace(access), access, output, verdict="deny")
