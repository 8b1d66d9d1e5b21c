"""`kubectl resilience`: what people ask of their policies, and try on them."""

from __future__ import annotations

import typer

from resilience_operator import __version__
from resilience_operator.cli.commands.convert import convert
from resilience_operator.cli.commands.explain import explain
from resilience_operator.cli.commands.history import history
from resilience_operator.cli.commands.init import init
from resilience_operator.cli.commands.lint import lint
from resilience_operator.cli.commands.pause import pause, resume
from resilience_operator.cli.commands.replay import replay
from resilience_operator.cli.commands.simulate import simulate
from resilience_operator.cli.commands.status import status
from resilience_operator.cli.console import PROGRAM, Group

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
