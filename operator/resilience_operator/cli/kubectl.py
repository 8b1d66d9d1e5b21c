"""`kubectl resilience`: the kubectl plugin."""

from __future__ import annotations

import typer

from resilience_operator import __version__
from resilience_operator.cli.common.console import PROGRAM, Command, Group
from resilience_operator.cli.convert.command import convert
from resilience_operator.cli.explain.command import explain
from resilience_operator.cli.history.command import history
from resilience_operator.cli.init.command import init
from resilience_operator.cli.lint.command import lint
from resilience_operator.cli.pause.command import pause, resume
from resilience_operator.cli.replay.command import replay
from resilience_operator.cli.simulate.command import simulate
from resilience_operator.cli.status.command import status
from resilience_operator.cli.test.command import run_tests

app = typer.Typer(
    name=PROGRAM,
    cls=Group,
    help="Inspect, pause, create and test resilience policies.",
    no_args_is_help=True,
    add_completion=False,  # kubectl completes its plugins itself, see `completion`
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 success; 1 failure or nothing found; 2 invalid arguments, file or configuration.",
)

for command in (status, explain, history, pause, resume, init, convert, lint, simulate, replay):
    app.command(cls=Command)(command)
app.command(name="test", cls=Command)(run_tests)


@app.command()
def version() -> None:
    """Print the version.

    \b
    Example:
      kubectl resilience version
    """  # noqa: D301
    typer.echo(__version__)


if __name__ == "__main__":
    app(prog_name=PROGRAM)
