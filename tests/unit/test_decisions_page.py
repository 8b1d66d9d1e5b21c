"""docs/decisions.md names the tests that hold each principle. They exist."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.support.install import ROOT

PAGE = (ROOT / "docs" / "decisions.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[^`\s]+)`", PAGE)))


@cache
def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("name", NAMED)
def test_the_named_test_exists(name: str) -> None:
    path, _, function = name.partition("::")
    assert (ROOT / path).is_file(), f"{path} does not exist"
    if path.endswith(".py"):
        assert function in functions(path)


def test_each_principle_names_its_tests() -> None:
    principles = [part for part in PAGE.split("\n\n") if part.startswith("**")]
    assert len(principles) >= 10
    without = [part.splitlines()[0] for part in principles if not re.search(r"\nTests: `", part)]
    assert not without
