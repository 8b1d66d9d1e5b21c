"""Output of commands: tables and colour on a terminal, plain columns in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from resilience_operator.cli.common.errors import EXIT_FAILED, EXIT_USAGE, PROGRAM, CommandError, UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = ["EXIT_FAILED", "EXIT_USAGE", "PROGRAM", "CommandError", "UsageError"]

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


class Cell(NamedTuple):
    """A text and its style on a terminal."""

    text: str
    style: str = ""


def out() -> Console:
    """The current standard output."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def print_note(message: str) -> None:
    """Print one line for people on standard error."""
    print(f"{PROGRAM}: {message}", file=sys.stderr)


def emit(document: Any, output: Output | PolicyFormat) -> None:
    """Print a document as JSON or YAML on standard output."""
    if output.value == Output.JSON:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        import yaml

        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110), end="")


def columns(headers: Sequence[str], rows: Sequence[Sequence[str | Cell]]) -> Table | Text | str:
    """Print a table on a terminal; in a pipe aligned text, one line per row, not truncated.

    On a narrow terminal, long columns are below their row.
    """
    from rich.table import Table
    from rich.text import Text

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
    from rich.text import Text

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
    from rich.text import Text

    out().print(Text(what) if isinstance(what, str) else what)
