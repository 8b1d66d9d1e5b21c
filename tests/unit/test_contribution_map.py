"""CONTRIBUTING.md, "Where a change goes": each path that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "resilience_operator"
OF_THE_REPOSITORY = ("docs/", "manifests/", "tests/", "pyproject.toml")


def rows() -> list[tuple[str, tuple[str, ...]]]:
    """Each change of the table, with the paths that it leads to."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = text.split("\n## Where a change goes\n", 1)[1].split("\n## ", 1)[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    return [
        (change.strip(), tuple(found for found in re.findall(r"`([^`]+)`", place) if " " not in found))
        for change, place in table
    ]


def test_the_map_has_at_least_twenty_changes() -> None:
    """Fewer would not cover every package."""
    assert len(rows()) >= 20


@pytest.mark.parametrize(("change", "paths"), rows(), ids=lambda value: value if isinstance(value, str) else "")
def test_each_change_leads_to_files_that_exist(change: str, paths: tuple[str, ...]) -> None:
    """At least one path for each change, and all of them are there."""
    assert paths, change
    for path in paths:
        where = ROOT if path.startswith(OF_THE_REPOSITORY) else PACKAGE
        assert (where / path).exists(), f"{change}: {path}"
