"""`test`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from resilience_operator.cli.common.console import EXIT_FAILED, Output, columns, emit, print_note, show


def run_tests(
    paths: Annotated[
        list[str], typer.Argument(help="Scenario files, or folders with scenario files.", metavar="DIR|FILE...")
    ],
    policy: Annotated[
        str | None,
        typer.Option("-f", "--policy", help="Policy file, instead of the policies in the scenarios.", metavar="FILE"),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of each scenario, each with its own seed.", min=1)] = 5,
    output: Annotated[Output, typer.Option("-o", "--output", help="Output format.")] = Output.TABLE,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write JUnit XML to FILE.", metavar="FILE")] = None,
) -> None:
    """Test policies: run scenario files and check their expectations.

    Runs each scenario below the folders with several seeds of random numbers. No cluster is needed. The exit code
    is 1 if an expectation is not met, and 2 if a file is invalid.

    \b
    Examples:
      kubectl resilience test docs/scenarios
      kubectl resilience test docs/scenarios --seeds 20 --junit results.xml
      kubectl resilience test docs/scenarios/bad-release.yaml -f my-policy.yaml -o json
    """  # noqa: D301 - the \b tells click to keep the lines
    from resilience_operator.cli.test.output import HEADERS, document, rows, summary
    from resilience_operator.cli.test.output import junit as junit_xml
    from resilience_operator.cli.test.suite import find_scenarios, read_scenarios, run_scenario

    found = read_scenarios(find_scenarios(paths), policy)
    for scenario in found:
        if not scenario.scenario.expect:
            print_note(f"{scenario.file} expects nothing: add expect")
    results = []
    for number, scenario in enumerate(found, 1):
        with _Progress(f"{number}/{len(found)} {scenario.file}", seeds) as progress:
            results.append(run_scenario(scenario, seeds, progress.advance))
    if junit is not None:
        junit.write_bytes(junit_xml(results))
    if output is not Output.TABLE:
        emit(document(results), output)
    else:
        show(columns(HEADERS, rows(results)))
        show(summary(results))
    if not all(result.met for result in results):
        raise typer.Exit(EXIT_FAILED)


class _Progress:
    """One line on standard error that is overwritten, if it is a terminal."""

    def __init__(self, text: str, total: int) -> None:
        self._text, self._total, self._done = text, total, 0
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> _Progress:
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def advance(self) -> None:
        """Count one run."""
        self._done += 1
        self._show()

    def _show(self) -> None:
        if self._shown:
            print(f"\r\x1b[K{self._text}: {self._done}/{self._total}", end="", file=sys.stderr, flush=True)
