"""Where output goes and how the command ends: tables and colour on a terminal, plain columns in a pipe."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, NamedTuple

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from resilience_operator.api.v1alpha1 import InvalidPolicy
from resilience_operator.kube.client.credentials import NoCluster
from resilience_operator.resilience import CallError
from resilience_operator.runtime.config import BadConfig

EXIT_FAILED = 1
"""It failed, or there is nothing of what was asked for."""
EXIT_USAGE = 2
"""The call, a file or the configuration is wrong; trying again does not help."""

PROGRAM = "kubectl resilience"

_WRAPPED = ("SIGNALS", "LAST DECISION", "WHY", "MESSAGE")
"""Columns that may take several lines, where a terminal is too narrow for all."""
_MIN_WIDTH = 24
"""Characters to which such a column may shrink."""


class Output(StrEnum):
    """Forms of an answer."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class PolicyFormat(StrEnum):
    """Forms of a policy that is printed."""

    YAML = "yaml"
    JSON = "json"


class CommandError(Exception):
    """The command cannot do what was asked: one line for people, and the exit code."""

    def __init__(self, message: str, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.code = code


class UsageError(CommandError):
    """What was given cannot be used: a person must change it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_USAGE)


class Cell(NamedTuple):
    """A text with the style in which a terminal shows it."""

    text: str
    style: str = ""


def out() -> Console:
    """Standard output, as it is now."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_note(message: str) -> None:
    """One line for people beside the answer, on standard error."""
    print(f"{PROGRAM}: {message}", file=sys.stderr)


def emit(document: Any, output: Output | PolicyFormat) -> None:
    """A document as JSON or YAML on standard output."""
    if output.value == Output.JSON:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110), end="")


def columns(headers: Sequence[str], rows: Sequence[Sequence[str | Cell]]) -> Table | Text | str:
    """A table for a terminal; for a pipe the same as aligned text, one line a row, nothing cut.

    On a narrow terminal long columns stand below their row.
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() and _too_narrow(headers, cells):
        return _stacked(headers, cells)
    if sys.stdout.isatty():
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for header in headers:
            wrapped = header in _WRAPPED
            table.add_column(header, no_wrap=not wrapped, overflow="fold", min_width=10 if wrapped else None)
        for row in cells:
            table.add_row(*(Text(cell.text, style=cell.style) for cell in row))
        return table
    lines = [list(headers), *([cell.text for cell in row] for row in cells)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    return "\n".join(
        "   ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _widths(headers: Sequence[str], cells: Sequence[Sequence[Cell]]) -> list[int]:
    return [max(len(header), *(len(row[n].text) for row in cells), 0) for n, header in enumerate(headers)]


def _too_narrow(headers: Sequence[str], cells: Sequence[Sequence[Cell]]) -> bool:
    widths = (
        min(width, _MIN_WIDTH) if header in _WRAPPED else width
        for header, width in zip(headers, _widths(headers, cells), strict=True)
    )
    return sum(width + 2 for width in widths) > out().width


def _stacked(headers: Sequence[str], cells: Sequence[Sequence[Cell]]) -> Text:
    """Short columns in a line, and what is long below it."""
    widths = _widths(headers, cells)
    short = [n for n, header in enumerate(headers) if header not in _WRAPPED]
    lines = [Text("  ".join(headers[n].ljust(widths[n]) for n in short).rstrip(), style="bold")]
    for row in cells:
        parts = [Text(row[n].text.ljust(widths[n]), style=row[n].style) for n in short]
        lines.append(Text("  ").join(parts))
        lines += [
            Text(f"    {headers[n].lower()}: {cell.text}", style=cell.style)
            for n, cell in enumerate(row)
            if n not in short and cell.text
        ]
    return Text("\n").join(lines)


def show(what: Table | Text | str) -> None:
    """Print it; a string as it is, without markup."""
    out().print(Text(what) if isinstance(what, str) else what)


@contextmanager
def failures() -> Iterator[None]:
    """Every expected failure becomes one line on standard error and an exit code."""
    try:
        yield
    except CommandError as error:
        _end(str(error), error.code)
    except InvalidPolicy as error:
        _end(f"invalid policy: {error}", EXIT_USAGE)
    except (NoCluster, BadConfig) as error:
        _end(str(error), EXIT_USAGE)
    except CallError as error:
        _end(_call_failed(error), EXIT_FAILED)
    except BrokenPipeError:
        # Whoever read has seen enough. Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        _end(f"{error.filename}: {error.strerror}" if error.filename else str(error), EXIT_FAILED)


def _call_failed(error: CallError) -> str:
    if error.status == 403:
        return f"{error.dependency} refused: {error.message}"
    return f"{error.dependency}: {error.message}" if error.dependency else error.message


def _end(message: str, code: int) -> None:
    print_note(" ".join(message.split()))
    raise typer.Exit(code) from None


class Command(TyperCommand):
    """A command whose usage line is written as kubectl writes it: `NAME` for a required argument, not `{NAME}`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece.replace("{", "").replace("}", "").replace("......", "...") for piece in pieces]


class Group(TyperGroup):
    """The commands. An expected failure is one line, never a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run under the name that people type, whatever the script is called."""
        return super().main(*args, **{**options, "prog_name": PROGRAM})

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with failures():
            return super().invoke(ctx)
