"""What both programs have in common: plain help and errors, as kubectl prints them, and `--version`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from resilience_operator import __version__

SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,  # kubectl completes its plugins itself, see `completion`
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 110},
}
"""Arguments of `typer.Typer`."""

_METAVARS = {"int": "N", "float": "NUMBER", "path": "FILE", "file": "FILE"}
"""Names of values in the help, for types whose option names none."""


class Command(TyperCommand):
    """A command with help as in kubectl: `NAME` for a required argument, and no types of the programming language."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece.replace("{", "").replace("}", "").replace("......", "...") for piece in pieces]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help. typer shows types even beside a metavar."""
        for parameter in self.params:
            if isinstance(parameter, TyperArgument):
                parameter.display_type_rich = lambda ctx: ""  # type: ignore[method-assign]
            elif isinstance(parameter, TyperOption) and not (parameter.metavar or parameter.is_flag):
                shown = parameter.display_type_rich(ctx=ctx) or ""
                if "|" not in shown:  # a choice shows its values
                    parameter.metavar = _METAVARS.get(shown.strip("<>").split(" ")[0], "VALUE")
        super().format_help(ctx, formatter)


def add_version(app: typer.Typer) -> None:
    """Add the option `--version` and the command `version`."""

    @app.callback()
    def options(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
        ] = False,
    ) -> None:
        del version

    @app.command(cls=Command)
    def version() -> None:
        """Print the version."""
        typer.echo(__version__)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit
