"""The tables at the end: the policy as `kubectl get rsp` shows it, its journal, and the events on its target."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tests.demo.screen import Screen, step
from tests.demo.stage import Stage
from tests.demo.view import look
from tests.support.world import GROUP, PLURAL, VERSION

_AS_TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
"""How kubectl asks, so that the columns are the ones the CRD declares."""


def show(stage: Stage, screen: Screen) -> None:
    """Print all three."""
    seen = look(stage.world)
    screen.headline("What is left to read")
    screen.console.print("\n$ kubectl get rsp")
    screen.console.print(_policies(stage))
    if seen.mode == "DryRun":
        screen.console.print(
            "In DryRun, PHASE is where the rehearsed decisions would have led; REPLICAS are the Deployment's own."
        )
    screen.console.print()
    journal = _table("status.history, the oldest first", "at", "rule", "decided", "dry run", "why")
    for entry in seen.journal:
        journal.add_row(
            _clock(entry["at"]), entry.get("rule", "—"), step(entry), _yes(entry.get("dryRun")), Text(entry["message"])
        )
    screen.console.print(journal)
    events = _table("events on the Deployment, from resilience-operator", "at", "type", "reason", "message")
    for event in seen.events:
        events.add_row(_clock(event.get("eventTime") or ""), event["type"], event["reason"], Text(event["note"]))
    screen.console.print(events)


def _policies(stage: Stage) -> Table:
    found: Any = stage.world.custom.list_namespaced_custom_object(
        GROUP, VERSION, stage.world.namespace, PLURAL, _headers=_AS_TABLE
    )
    columns = [(i, c["name"]) for i, c in enumerate(found["columnDefinitions"]) if c["priority"] == 0]
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False)
    for _, name in columns:
        table.add_column(name.upper(), no_wrap=True)
    for row in found["rows"]:
        table.add_row(*(str(row["cells"][i]) for i, _ in columns))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    return table


def _clock(at: str) -> str:
    """A moment of the API as a time of day, in UTC."""
    return f"{datetime.fromisoformat(at).astimezone(UTC):%H:%M:%S}" if at else "—"


def _yes(value: object) -> str:
    return "yes" if value else "—"
