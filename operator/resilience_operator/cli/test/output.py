"""The results of a test run: as a table, as JSON, and as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from resilience_operator.cli.common.console import Cell
from resilience_operator.cli.test.suite import FileResult, Result

HEADERS = ("FILE", "RESULT", "SEEDS", "EXPECTED", "SEEN")


def rows(results: Sequence[FileResult]) -> list[list[Cell]]:
    """One row for each expectation."""
    return [_row(found.file, result) for found in results for result in found.results]


def _row(file: str, result: Result) -> list[Cell]:
    outcome = Cell("passed", "green") if result.met else Cell("FAILED", "bold red")
    seen = result.seen if not result.unmet else f"seed {result.seed}: {result.seen}"
    return [Cell(file), outcome, Cell(f"{result.passed}/{result.runs}"), Cell(result.expectation), Cell(seen)]


def summary(results: Sequence[FileResult]) -> str:
    """One line with the counts."""
    all_results = [result for found in results for result in found.results]
    failed = sum(not result.met for result in all_results)
    files = f"{len(results)} scenario" + ("" if len(results) == 1 else "s")
    seconds = sum(found.seconds for found in results)
    counts = f"{len(all_results) - failed} passed, {failed} failed"
    return f"{files}, {len(all_results)} expectations: {counts} ({seconds:.1f} s)"


def document(results: Sequence[FileResult]) -> dict[str, Any]:
    """The results for scripts."""
    return {
        "passed": all(found.met for found in results),
        "scenarios": [
            {
                "file": found.file,
                "description": found.description,
                "passed": found.met,
                "seconds": round(found.seconds, 3),
                "expectations": [
                    {
                        "expected": result.expectation,
                        "passed": result.met,
                        "seeds": result.runs,
                        "met": result.passed,
                        "required": result.required,
                        "unmetSeeds": list(result.unmet),
                        "seen": result.seen,
                        "seed": result.seed,
                    }
                    for result in found.results
                ],
            }
            for found in results
        ],
    }


def junit(results: Sequence[FileResult]) -> bytes:
    """The results as JUnit XML: a suite for each file, a case for each expectation."""
    root = ET.Element("testsuites", name="kubectl resilience test")
    for found in results:
        failed = sum(not result.met for result in found.results)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=found.file,
            tests=str(len(found.results)),
            failures=str(failed),
            errors="0",
            time=f"{found.seconds:.3f}",
        )
        for result in found.results:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=found.file,
                name=result.expectation,
                time=f"{found.seconds / len(found.results):.3f}",
            )
            if not result.met:
                message = f"met in {result.passed} of {result.runs} seeds; seed {result.seed}: {result.seen}"
                failure = ET.SubElement(case, "failure", message=_printable(message), type="expectation")
                failure.text = _printable(
                    f"expected: {result.expectation}\nseen: {result.seen}\n"
                    f"seeds in which it was not met: {', '.join(map(str, result.unmet))}"
                )
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _printable(text: str) -> str:
    """The text without characters that XML does not allow."""
    return "".join(c for c in text if c in "\t\n" or c >= " ")
