"""`lint`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.console import EXIT_FAILED, Output, emit, print_note


def lint(
    files: Annotated[
        list[str], typer.Argument(help="Files or folders with policies; - for standard input.", metavar="FILE...")
    ],
    output: options.OutputOption = Output.TABLE,
) -> None:
    """Check policy files: what the API server, the operator and Prometheus would refuse, and what is hardly meant.

    No cluster is needed. Prints all findings at once, as `file:line: path: what to change`. Folders are searched for
    .yaml, .yml and .json files; hidden folders and the templates of Helm charts are skipped, as are documents of other
    kinds. Warnings are about policies that are valid and hardly do what is meant.

    Exit codes: 0 no errors, 1 errors or an unreadable file, 2 invalid arguments.

    \b
    Examples:
      kubectl resilience lint policies/
      helm template . | kubectl resilience lint -
      kubectl get rsp -A -o yaml | kubectl resilience lint -
      kubectl resilience lint policy.yaml -o json
    """  # noqa: D301
    from resilience_operator.cli.lint.checks import lint as look_through

    found = look_through(files)
    if output is not Output.TABLE:
        emit(
            [
                {"file": f.file, "line": f.line, "path": f.path, "message": f.message, "warning": f.warning}
                for f in found.problems
            ],
            output,
        )
    else:
        for fault in found.problems:
            print(fault)
        if not found.problems:
            print_note(f"{found.policies} {'policy is' if found.policies == 1 else 'policies are'} valid")
    if found.has_errors:
        raise typer.Exit(EXIT_FAILED)
