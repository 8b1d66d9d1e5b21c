"""The figures as a table."""

from __future__ import annotations

from resilience_operator.api.quantities import format_duration
from resilience_operator.cli.common.console import Output, columns, emit, print_note, show
from resilience_operator.cli.common.time_args import age
from resilience_operator.cli.release_report.figures import Durations, Figures

HEADERS = ("FIGURE", "VALUE", "FROM")


def show_figures(figures: Figures, output: Output) -> None:
    """Print the figures, and what is missing."""
    if output is not Output.TABLE:
        emit(figures.document(), output)
        return
    show(columns(HEADERS, rows(figures)))
    if figures.lead_time.count == 0:
        print_note("no lead time: no release had the annotation resilience-operator.io/commit-time")


def rows(figures: Figures) -> list[tuple[str, str, str]]:
    """The lines of the table."""
    rate = figures.failure_rate
    return [
        ("deployments", f"{figures.begun:.0f}", f"{figures.per_day:.1f} a day for {age(figures.seconds)}"),
        (
            "change failure rate",
            "-" if rate is None else f"{100 * rate:.1f}%",
            f"{figures.rolled_back:.0f} rolled back, {figures.good:.0f} good",
        ),
        ("time to restore", *_durations(figures.restore, "rollbacks")),
        ("lead time", *_durations(figures.lead_time, "releases with a commit time")),
    ]


def _durations(found: Durations, of: str) -> tuple[str, str]:
    if found.count == 0 or found.mean is None:
        return "-", f"0 {of}"
    median = "above the largest bucket" if found.median is None else format_duration(round(found.median))
    return f"{median} (median)", f"{found.count:.0f} {of}, mean {format_duration(round(found.mean))}"
