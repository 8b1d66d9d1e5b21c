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

from resilience_operator.cli.common.cluster import Access, deadline, with_kube
from resilience_operator.cli.common.console import Cell, CommandError, Output, columns, emit, out, print_note, show
from resilience_operator.cli.common.last_seen import stopped_operator
from resilience_operator.cli.status import view
from resilience_operator.explain.overview import Row, document
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes.policies import list_policies
from resilience_operator.resilience import NotFound

WATCH_INTERVAL = 2.0
"""Seconds between two reads of `status --watch`."""


def show_status(*, name: str | None, namespace: str | None, access: Access, output: Output, watch: bool) -> None:
    """Run `status`. namespace: None for all namespaces."""

    async def once(kube: KubeClient) -> tuple[list[Row], str]:
        rows, stopped = await asyncio.gather(_rows(kube, namespace, name), stopped_operator(kube, time.time()))
        return rows, stopped

    if not watch:
        rows, stopped = with_kube(access, once)
        if not rows:
            raise CommandError(_none(namespace, name))
        _show(rows, namespace is None, output)
        if stopped:
            print_note(stopped)
        return
    try:
        with_kube(access, lambda kube: _watch(kube, namespace, name, output))
    except KeyboardInterrupt:
        return


async def _rows(kube: KubeClient, namespace: str | None, name: str | None) -> list[Row]:
    try:
        found = await list_policies(kube, namespace, deadline=deadline())
    except NotFound:
        raise CommandError("the cluster has no ResiliencePolicy CRD: install it (crds/)") from None
    return view.overview(b for b in found.items if name is None or b["metadata"]["name"] == name)


async def _watch(kube: KubeClient, namespace: str | None, name: str | None, output: Output) -> None:
    """Watch: on a terminal, update the table in place; otherwise print it again after each change."""
    if output is Output.TABLE and sys.stdout.isatty():
        with Live(console=out(), auto_refresh=False) as live:
            while True:
                rows = await _rows(kube, namespace, name)
                shown = _table(rows, namespace is None) if rows else Text(_none(namespace, name))
                stamp = Text(time.strftime("%H:%M:%S"), style="dim")
                stopped = Text(await stopped_operator(kube, time.time()), style="bold red")
                live.update(Lines(shown, stamp, stopped), refresh=True)
                await asyncio.sleep(WATCH_INTERVAL)
    before: list[dict[str, Any]] | None = None
    while True:
        rows = await _rows(kube, namespace, name)
        now = [document(row) for row in rows]
        if now != before:
            before = now
            _show(rows, namespace is None, output)
            sys.stdout.flush()
        await asyncio.sleep(WATCH_INTERVAL)


def _show(rows: Sequence[Row], everywhere: bool, output: Output) -> None:
    if output is Output.TABLE:
        show(_table(rows, everywhere))
    else:
        emit([document(row) for row in rows], output)


def _table(rows: Sequence[Row], everywhere: bool) -> Table | Text | str:
    now = time.time()
    headers = ("NAMESPACE", *view.HEADERS) if everywhere else view.HEADERS
    before = [[Cell(row.namespace)] if everywhere else [] for row in rows]
    return columns(headers, [[*b, *view.cells(row, now)] for b, row in zip(before, rows, strict=True)])


def _none(namespace: str | None, name: str | None) -> str:
    where = "in any namespace" if namespace is None else f"in namespace {namespace}"
    return f"policy {name} not found {where}" if name else f"no policies found {where}"
