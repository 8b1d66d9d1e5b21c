"""Prints the report of a run, for `simulate` and `replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resilience_operator.cli.common.console import Output, columns, emit, print_note, show
from resilience_operator.cli.report.model import RunReport


def check_picture(picture: Path | None) -> None:
    """Refuse a picture that cannot be written. Raises UsageError."""
    if picture is not None:
        from resilience_operator.cli.report.chart import check

        check(picture)


def write_report(report: RunReport, output: Output, picture: Path | None, more: dict[str, Any]) -> None:
    """Write the report in the requested form."""
    from resilience_operator.cli.report.text import HEADERS, document, rows, summary

    if picture is not None:
        from resilience_operator.cli.report.chart import draw

        draw(report, picture)
    for note in report.notes:
        print_note(note)
    if output is not Output.TABLE:
        emit({**document(report), **more}, output)
    else:
        show(summary(report))
        if report.events:
            show(columns(HEADERS, rows(report)))
