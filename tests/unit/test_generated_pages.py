"""The generated pages are complete: every setting of the configuration, and every reason that the code writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from resilience_operator.api.conditions import REASONS
from resilience_operator.api.event_reasons import EVENT_REASONS
from resilience_operator.runtime.config import Config
from resilience_operator.tools import configuration, events

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "resilience_operator"
REASON_ARGUMENT = {"Notice": 1, "RollbackBlocked": 0, "PendingEvent": 2, "_report": 1}
"""Calls that set the reason of an Event, and the position of that argument."""


def texts(node: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    """The texts that an expression can be; nothing for what another call has set."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name) if name in constants:
            yield constants[name]
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body, constants)
            yield from texts(orelse, constants)
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, default]):
            yield from texts(default, constants)


def written_reasons() -> dict[str, str]:
    """Every reason of an Event in the code, with a file that has it."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and "_EVENT_REASONS" in ast.unparse(node.targets[0]):
                assert isinstance(node.value, ast.Dict)
                found |= {text: path.name for each in node.value.values for text in texts(each, constants)}
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            given = [each.value for each in node.keywords if each.arg == "reason"]
            if name in REASON_ARGUMENT:
                given += node.args[REASON_ARGUMENT[name] : REASON_ARGUMENT[name] + 1]
            elif not (name == "replace" and node.args and ast.unparse(node.args[0]) == "notice"):
                continue
            found |= {text: path.name for each in given for text in texts(each, constants)}
    return found


def test_every_reason_of_an_event_is_described() -> None:
    found = written_reasons()
    assert len(found) > 30, "the search finds the reasons"
    missing = {reason: file for reason, file in found.items() if reason not in EVENT_REASONS and reason != "Done"}
    assert missing == {}, "describe them in api/event_reasons.py, then run `make generate`"
    assert set(EVENT_REASONS) - set(found) == set(), "no longer written"


def test_events_page_has_every_reason() -> None:
    page = events.render()
    assert all(f"`{reason}`" in page for reason in EVENT_REASONS)
    assert all(f"[`{reason}`](runbook.md#{reason.lower()})" in page for each in REASONS.values() for reason in each)


def test_every_setting_is_described() -> None:
    assert configuration.undocumented() == set(), "a part of the configuration without a section"
    page = configuration.render()
    assert all(f"`{name}`" in page for name in Config.model_fields)
