"""Sizes that keep a newcomer's reading short: parameters of constructors, and lines of functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "operator" / "resilience_operator"

MOST_PARAMETERS = 8
"""Of a constructor, without `self`."""

MOST_LINES = 60
"""Of a function, with its docstring."""

LONGER = {
    "cli/replay/command.py:replay": "Typer: each option is a parameter with its help",
    "decision/analysis/evidence.py:judge_release": "the kinds of evidence, in the order in which they are tried",
}


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(PACKAGE)}:{node.name}", node


def test_no_constructor_has_many_parameters() -> None:
    found = {
        name: count
        for name, node in functions()
        if node.name == "__init__" and (count := len(node.args.args) + len(node.args.kwonlyargs) - 1) > MOST_PARAMETERS
    }
    assert found == {}


def test_a_function_is_short_or_has_a_reason() -> None:
    found = {name for name, node in functions() if (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES}
    assert found <= set(LONGER)
