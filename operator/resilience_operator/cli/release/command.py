"""`release`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.output.formats import TABLE


@options.cluster_command
def release(
    access: Access,
    name: options.NameArgument,
    revision: Annotated[
        str, typer.Argument(help="The quarantined revision, as `explain` and the events name it.", metavar="REVISION")
    ],
    namespace: options.NamespaceOption = None,
    output: options.ObjectOutputOption = TABLE,
) -> None:
    """End the quarantine of a revision that was rolled back.

    If the revision is applied again, it is judged like any other release. If its rollout is held paused, it goes on.
    The order is an annotation of the policy. It ends quarantines that began before it: if the revision fails again, it
    is quarantined again.

    Exit codes: 0 done, 1 the revision is not quarantined or the policy cannot be changed, 2 invalid arguments.

    \b
    Examples:
      kubectl resilience release checkout 6d4f8c9b7
      kubectl resilience release checkout 6d4f8c9b7 -n shop -o json
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.release.run import release

    release(name, revision, namespace or default_namespace(access), access, output)
