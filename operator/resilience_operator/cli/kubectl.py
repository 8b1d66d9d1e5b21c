"""`kubectl resilience`: what people ask of their policies, and try on them."""

from __future__ import annotations

import typer

from resilience_operator import __version__
from resilience_operator.cli.common.console import PROGRAM, Group
from resilience_operator.cli.convert.command import convert
from resilience_operator.cli.explain.command import explain
from resilience_operator.cli.history.command import history
from resilience_operator.cli.init.command import init
from resilience_operator.cli.lint.command import lint
from resilience_operator.cli.pause.command import pause, resume
from resilience_operator.cli.replay.command import replay
from resilience_operator.cli.simulate.command import simulate
from resilience_operator.cli.status.command import status

app = typer.Typer(
    name=PROGRAM,
    cls=Group,
    help="Look at resilience policies, stop them for a while, make first ones, and try them out.",
    no_args_is_help=True,
    add_completion=False,  # kubectl completes its plugins itself, see `complete`
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done; 1 failed, or there is nothing of what was asked for; 2 the call or a file is wrong.",
)

for command in (status, explain, history, pause, resume, init, convert, lint, simulate, replay):
    app.command()(command)


@app.command()
def version() -> None:
    """Show the version.

    \b
    Example:
      kubectl resilience version
    """  # noqa: D301
    typer.echo(__version__)


if __name__ == "__main__":
    app(prog_name=PROGRAM)
