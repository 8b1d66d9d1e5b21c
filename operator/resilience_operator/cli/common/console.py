"""Output and exit codes of commands: tables and colour on a terminal, plain columns in a pipe."""

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
from typer.core import TyperGroup

from resilience_operator.api.v1alpha1 import InvalidPolicy
from resilience_operator.kube.client.credentials import NoCluster
from resilience_operator.resilience import CallError
from resilience_operator.runtime.config import BadConfig

EXIT_FAILED = 1
"""The command failed, or found nothing."""
EXIT_USAGE = 2
"""The arguments, a file or the configuration are wrong; a retry does not help."""

PROGRAM = "kubectl resilience"

_WRAPPED = ("SIGNALS", "LAST DECISION", "WHY", "MESSAGE", "EXPECTED", "SEEN")
"""Columns that wrap if the terminal is too narrow."""
_MIN_WIDTH = 24
"""Minimum characters of such a column."""


class Output(StrEnum):
    """Output formats."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class PolicyFormat(StrEnum):
    """Output formats of a printed policy."""

    YAML = "yaml"
    JSON = "json"


class CommandError(Exception):
    """The command failed: one line for people, and the exit code."""

    def __init__(self, message: str, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.code = code


class UsageError(CommandError):
    """The input is invalid: a person must change it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_USAGE)


class Cell(NamedTuple):
    """A text and its style on a terminal."""

    text: str
    style: str = ""


def out() -> Console:
    """The current standard output."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_note(message: str) -> None:
    """Print one line for people on standard error."""
    print(f"{PROGRAM}: {message}", file=sys.stderr)


def emit(document: Any, output: Output | PolicyFormat) -> None:
    """Print a document as JSON or YAML on standard output."""
    if output.value == Output.JSON:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110), end="")


def columns(headers: Sequence[str], rows: Sequence[Sequence[str | Cell]]) -> Table | Text | str:
    """Print a table on a terminal; in a pipe aligned text, one line per row, not truncated.

    On a narrow terminal, long columns are below their row.
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
    """Print the short columns in one line, and the long ones below it."""
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
    """Print it; a string is printed without markup."""
    out().print(Text(what) if isinstance(what, str) else what)


@contextmanager
def failures() -> Iterator[None]:
    """Print expected failures as one line on standard error, and set the exit code."""
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
        # The reader has closed the pipe. Without this, Python reports another error at the final flush.
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


class Group(TyperGroup):
    """The command group. An expected failure is one line, never a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run under the documented program name, whatever the script is called."""
        return super().main(*args, **{**options, "prog_name": PROGRAM})

    def invoke(self, ctx: Any) -> Any:
        """Run the selected command."""
        with failures():
            return super().invoke(ctx)
