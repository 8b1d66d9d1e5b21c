"""`lint`."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience_operator.cli.common import options
from resilience_operator.cli.common.console import EXIT_FAILED, Output, emit, print_note


def lint(
    files: Annotated[list[str], typer.Argument(help="Files with policies; - for standard input.", metavar="FILE...")],
    output: options.OutputOption = Output.TABLE,
) -> None:
    """Validate policy files as the API server and the operator do.

    No cluster is needed. Prints `file:line: path: what to change`, and exits with 1 if there are errors. Warnings are
    about policies that are valid and hardly mean what they say. Documents of other kinds are skipped.

    \b
    Examples:
      kubectl resilience lint policies/*.yaml
      helm template . | kubectl resilience lint -
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
