"""Lists policies and prints their state, once or until interrupted."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Group as Lines
from rich.live import Live
from rich.table import Table
from rich.text import Text

from resilience_operator.cli.common.cluster import Access, with_kube
from resilience_operator.cli.common.console import Cell, CommandError, columns, out, print_note, show
from resilience_operator.cli.common.last_seen import stopped_operator
from resilience_operator.cli.common.policies import Selected, read_selected
from resilience_operator.cli.common.selection import Selection
from resilience_operator.cli.output.formats import ObjectOutput
from resilience_operator.cli.status import view
from resilience_operator.explain.overview import Row, document
from resilience_operator.kube.client.client import KubeClient

WATCH_INTERVAL = 2.0
"""Seconds between two reads of `status --watch`."""


def show_status(chosen: Selection, *, access: Access, output: ObjectOutput, watch: bool) -> None:
    """Run `status`. Raises CommandError if a policy is missing, or none is found."""

    async def once(kube: KubeClient) -> tuple[Selected, str]:
        found, stopped = await asyncio.gather(read_selected(kube, chosen), stopped_operator(kube, time.time()))
        return found, stopped

    if not watch:
        found, stopped = with_kube(access, once)
        if found.bodies:
            _show(view.overview(found.bodies), chosen, output)
        if found.bodies and stopped:
            print_note(stopped)
        found.raise_problems()
        if not found.bodies:
            raise CommandError(_none(chosen))
        return
    try:
        with_kube(access, lambda kube: _watch(kube, chosen, output))
    except KeyboardInterrupt:
        return


async def _watch(kube: KubeClient, chosen: Selection, output: ObjectOutput) -> None:
    """Watch: on a terminal, update the table in place; otherwise print it again after each change."""
    if output.for_people and sys.stdout.isatty():
        with Live(console=out(), auto_refresh=False) as live:
            while True:
                rows = view.overview((await read_selected(kube, chosen)).bodies)
                shown = _table(rows, chosen, output) if rows else Text(_none(chosen))
                stamp = Text(time.strftime("%H:%M:%S"), style="dim")
                stopped = Text(await stopped_operator(kube, time.time()), style="bold red")
                live.update(Lines(shown, stamp, stopped), refresh=True)
                await asyncio.sleep(WATCH_INTERVAL)
    before: list[dict[str, Any]] | None = None
    while True:
        rows = view.overview((await read_selected(kube, chosen)).bodies)
        now = [document(row) for row in rows]
        if now != before:
            before = now
            _show(rows, chosen, output)
            sys.stdout.flush()
        await asyncio.sleep(WATCH_INTERVAL)


def _show(rows: Sequence[Row], chosen: Selection, output: ObjectOutput) -> None:
    if output.for_people:
        show(_table(rows, chosen, output))
        return
    documents = [document(row) for row in rows]
    output.print(documents[0] if chosen.only and documents else documents, (row.name for row in rows))


def _table(rows: Sequence[Row], chosen: Selection, output: ObjectOutput) -> Table | Text | str:
    now = time.time()
    everywhere = chosen.namespace is None
    headers = (*(("NAMESPACE",) if everywhere else ()), *view.HEADERS, *(view.WIDE_HEADERS if output.wide else ()))
    cells = [
        [
            *([Cell(row.namespace)] if everywhere else []),
            *view.cells(row, now),
            *(view.wide_cells(row, now) if output.wide else []),
        ]
        for row in rows
    ]
    return columns(headers, cells)


def _none(chosen: Selection) -> str:
    if chosen.only:
        return f"policy {chosen.only[1]} not found in namespace {chosen.namespace}"
    return f"no policies found {chosen}"
