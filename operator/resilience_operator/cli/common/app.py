"""What both programs have in common: plain help and errors, as kubectl prints them, and `--version`."""

from __future__ import annotations

import gc
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from resilience_operator import __version__
from resilience_operator.cli.common.errors import EXIT_FAILED, EXIT_USAGE, CommandError

SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,  # kubectl completes its plugins itself, see `completion`
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 110},
}
"""Arguments of `typer.Typer`."""

YOUNG_OBJECTS = 100_000
"""New objects per garbage collection. A start makes many objects and hardly any garbage: a tenth of its time."""

# pydantic, which typer uses for options, searches all installed packages for plugins of its own otherwise.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

_METAVARS = {"int": "N", "float": "NUMBER", "path": "FILE", "file": "FILE"}
"""Names of values in the help, for types whose option names none."""


class Command(TyperCommand):
    """A command with help as in kubectl: `NAME` for a required argument, and no types of the programming language."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece.replace("{", "").replace("}", "").replace("......", "...") for piece in pieces]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. An invalid value is explained in plain words, not in those of the library."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = _plain_value_error(error.message)
            raise

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


def _plain_value_error(message: str) -> str:
    """Write `Input should be a valid integer, unable to parse …` as `it is not a valid integer`."""
    message = message.removeprefix("Value error, ")
    kind = re.match(r"Input should be (an? [^,]+)", message)
    return f"it is not {kind[1]}" if kind else message


class Group(TyperGroup):
    """A command group. An expected failure is one line, never a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run under the documented program name, whatever the script is called."""
        gc.set_threshold(YOUNG_OBJECTS)
        _open_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a terminal or file that cannot show a character shows its number
                stream.reconfigure(errors="backslashreplace")
        words = options.get("args", args[0] if args else None)
        if list(sys.argv[1:] if words is None else words) in (["version"], ["--version"]):
            # Without typer's options, which load pydantic: a third of the time.
            typer.echo(__version__)
            sys.exit(0)
        return super().main(*args, **{**options, "prog_name": self.name})

    def invoke(self, ctx: Any) -> Any:
        """Run the selected command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader has closed the pipe. Without this, Python reports another error at the final flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except Exception as error:
            found = failure_of(error)
            if found is None:
                raise
            message, code = found
            for line in message.splitlines() if isinstance(error, CommandError) else [message]:
                print(f"{self.name}: {' '.join(line.split())}", file=sys.stderr)
            raise typer.Exit(code) from None


class App(typer.Typer):
    """The application of a script. It builds only the command that is named: building all of them takes longer."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run with the arguments of the process. Words that name no command get all commands, for suggestions."""
        named = sys.argv[1] if len(sys.argv) > 1 else ""
        self.registered_commands = [
            c for c in self.registered_commands if _name(c) == named
        ] or self.registered_commands
        return super().__call__(*args, **options)


def _name(command: Any) -> str:
    return str(command.name or command.callback.__name__)


def _open_closed_streams() -> None:
    """Replace standard streams that the caller has closed (`>&-`) by ones that are empty or discard everything."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


_EXPECTED = (
    ("resilience_operator.api.invalid", "InvalidPolicy", EXIT_USAGE),
    ("resilience_operator.kube.client.credentials", "NoCluster", EXIT_USAGE),
    ("resilience_operator.runtime.config", "BadConfig", EXIT_USAGE),
    ("resilience_operator.resilience", "CallError", EXIT_FAILED),
)
"""Module, class, exit code."""


def failure_of(error: Exception) -> tuple[str, int] | None:
    """The message and exit code for an expected failure; None for a fault of this program."""
    if isinstance(error, CommandError):
        return str(error), error.code
    if isinstance(error, RecursionError):
        return "the input is nested too deeply", EXIT_USAGE
    # An error of a module that is not loaded cannot be this one.
    for module, name, code in _EXPECTED:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return (f"invalid policy: {error}" if name == "InvalidPolicy" else _text(error)), code
    if isinstance(error, OSError):
        return (f"{error.filename}: {error.strerror}" if error.filename else plain_os_error(str(error))), EXIT_FAILED
    return None


def _text(error: Any) -> str:
    dependency = getattr(error, "dependency", "")
    if not dependency:
        return str(error)
    if error.status == 403:
        return f"{dependency} refused: {error.message}"
    if error.reason == "timeout" and " " not in error.message:  # the name of an exception without a text
        return f"{dependency}: no answer in time"
    return f"{dependency}: {plain_os_error(error.message)}"


_TLS_ERROR = re.compile(r"host (\S+) ssl:.*\[SSL: (\w+)\] ([^\[\]]+?) \(_ssl")


_BIND_ERROR = re.compile(r"bind on address \('([^']*)', (\d+)")


def plain_os_error(message: str) -> str:
    """Write `[Errno 111] Connect call failed ('127.0.0.1', 9)` as `connection refused (127.0.0.1:9)`."""
    if (tls := _TLS_ERROR.search(message)) is not None:
        hint = ": does it serve https?" if tls[2] == "WRONG_VERSION_NUMBER" else ""
        return f"TLS with {tls[1]} failed: {tls[3]}{hint}"
    head, _, rest = message.partition("] ")
    number = head.removeprefix("[Errno ")
    if number == head or not rest or not number.isdigit():
        return message
    if (bind := _BIND_ERROR.search(rest)) is not None:
        return f"cannot listen on {bind[1]}:{bind[2]}: {os.strerror(int(number)).lower()}"
    parts = [part.strip(" '\"") for part in rest.partition("(")[2].rstrip(")").split(",")]
    text = os.strerror(int(number)).lower()
    return f"{text} ({parts[0]}:{parts[1]})" if len(parts) >= 2 else text


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
