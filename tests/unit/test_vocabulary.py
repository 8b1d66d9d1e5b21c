"""No word that was given up comes back as a name: one word for one thing (CONTRIBUTING.md, Glossary)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "operator" / "resilience_operator"
PACKAGES = (
    "actions",
    "api",
    "cli",
    "contract",
    "decision",
    "explain",
    "kube",
    "plugins",
    "promql",
    "resilience",
    "runtime",
    "signals",
    "simulation",
    "status",
    "tools",
)
"""Packages in which every name is a word of the glossary. Add a package when its names are done."""

RETIRED = {
    "accused": "attributed_signals",
    "blame": "release_verdict, release_timers",
    "blamed": "attributed",
    "calm": "stable_since, stabilization",
    "charge": "finding",
    "charges": "findings",
    "convicted": "attributed",
    "demand": "recommendation",
    "demands": "recommendations",
    "earnest": "dry_run",
    "errand": "plugin call",
    "errands": "plugin calls",
    "gist": "fingerprint",
    "gone": "missing",
    "guilty": "failing_since",
    "hands": "manual",
    "journal": "history",
    "judging": "remediation",
    "overruled": "manual_override",
    "punish": "remediate",
    "reading": "result",
    "rehearsal": "dry_run, simulation",
    "rehearse": "dry_run",
    "rehearsed": "dry_run",
    "relief": "hysteresis",
    "resting": "suspension",
    "roster": "members",
    "shadow": "overlay",
    "surroundings": "blockers",
    "tally": "RequestCounts",
    "tell": "describe, notify",
    "told": "announced",
    "trial": "canary",
    "trim": "transform, project",
    "trimmed": "projected",
    "turn": "evaluation",
    "turned": "regressed",
}
"""Each retired word, and what to say in its place."""


STANDARD = {"Gone"}
"""Names of the field that contain a retired word: HTTP 410 is Gone."""


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that the module defines: of functions, classes, fields, variables, arguments and imports."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.arg():
                yield node.lineno, node.arg


def words(name: str) -> list[str]:
    """The words of `an_identifier`, `AnIdentifier` or `A_CONSTANT`, in small letters."""
    return [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def test_the_words_of_a_name() -> None:
    assert words("_SteadyState") == ["steady", "state"]
    assert words("base_of_HPA") == ["base", "of", "hpa"]
    assert words("MAX_UNKNOWN") == ["max", "unknown"]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_retired_word_is_a_name(package: str) -> None:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        names = [(0, path.stem), *identifiers(ast.parse(path.read_text(encoding="utf-8")))]
        found += [
            f"{place}:{line}: {name}: say {RETIRED[word]}"
            for line, name in names
            if name not in STANDARD
            for word in words(name)
            if word in RETIRED
        ]
    assert found == []
