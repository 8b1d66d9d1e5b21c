"""The commands that read the cluster: `status`, `explain`, `history`."""

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

from resilience_operator.cli.cluster import Access, deadline, read_policy, read_target, with_kube
from resilience_operator.cli.console import Cell, Failed, Output, columns, emit, out, show
from resilience_operator.cli.views import history, overview
from resilience_operator.cli.views.explained import explain, paper
from resilience_operator.explain.explain import document as explained
from resilience_operator.explain.overview import Row, document, entry
from resilience_operator.kube.client import Kube
from resilience_operator.kube.policies import list_policies
from resilience_operator.resilience import NotFound

EVERY = 2.0
"""Seconds between two looks of `status --watch`."""


def look_at_all(*, name: str | None, namespace: str | None, access: Access, output: Output, watch: bool) -> None:
    """`status`. namespace: None for all of them."""

    async def once(kube: Kube) -> list[Row]:
        return await _rows(kube, namespace, name)

    if not watch:
        rows = with_kube(access, once)
        if not rows:
            raise Failed(_none(namespace, name))
        _show(rows, namespace is None, output)
        return
    try:
        with_kube(access, lambda kube: _watch(kube, namespace, name, output))
    except KeyboardInterrupt:
        return


async def _rows(kube: Kube, namespace: str | None, name: str | None) -> list[Row]:
    try:
        found = await list_policies(kube, namespace, deadline=deadline())
    except NotFound:
        raise Failed("the cluster does not know ResiliencePolicies: install the CRD (crds/)") from None
    return overview.overview(b for b in found.items if name is None or b["metadata"]["name"] == name)


async def _watch(kube: Kube, namespace: str | None, name: str | None, output: Output) -> None:
    """On a terminal the table stands still and changes; else it is printed again whenever it changed."""
    if output is Output.TABLE and sys.stdout.isatty():
        with Live(console=out(), auto_refresh=False) as live:
            while True:
                rows = await _rows(kube, namespace, name)
                shown = _table(rows, namespace is None) if rows else Text(_none(namespace, name))
                stamp = Text(time.strftime("%H:%M:%S"), style="dim")
                live.update(Lines(shown, stamp), refresh=True)
                await asyncio.sleep(EVERY)
    before: list[dict[str, Any]] | None = None
    while True:
        rows = await _rows(kube, namespace, name)
        now = [document(row) for row in rows]
        if now != before:
            before = now
            _show(rows, namespace is None, output)
            sys.stdout.flush()
        await asyncio.sleep(EVERY)


def _show(rows: Sequence[Row], everywhere: bool, output: Output) -> None:
    if output is Output.TABLE:
        show(_table(rows, everywhere))
    else:
        emit([document(row) for row in rows], output)


def _table(rows: Sequence[Row], everywhere: bool) -> Table | Text | str:
    now = time.time()
    headers = ("NAMESPACE", *overview.HEADERS) if everywhere else overview.HEADERS
    before = [[Cell(row.namespace)] if everywhere else [] for row in rows]
    return columns(headers, [[*b, *overview.cells(row, now)] for b, row in zip(before, rows, strict=True)])


def _none(namespace: str | None, name: str | None) -> str:
    where = "in any namespace" if namespace is None else f"in namespace {namespace}"
    return f"there is no policy {name} {where}" if name else f"there is no policy {where}"


def look_closely(name: str, namespace: str, access: Access, output: Output) -> None:
    """`explain`."""

    async def read(kube: Kube) -> tuple[dict[str, Any], Any]:
        body = await read_policy(kube, namespace, name)
        reference = (body.get("spec") or {}).get("targetRef") or {}
        if reference.get("kind") != "Deployment":
            return body, f"{reference.get('kind')} is no kind that can be read"
        return body, await read_target(kube, namespace, str(reference.get("name")))

    body, target = with_kube(access, read)
    explanation = explain(body, target, time.time())
    if output is Output.TABLE:
        show(paper(explanation))
    else:
        emit(explained(explanation), output)


def look_back(name: str, namespace: str, access: Access, output: Output) -> None:
    """`history`."""
    body = with_kube(access, lambda kube: read_policy(kube, namespace, name))
    status = overview.read_status(body)
    if status is None:
        raise Failed(f"the status of policy {name} was written by another version of the operator")
    if output is not Output.TABLE:
        emit([entry(decision) for decision in status.history], output)
    elif not status.history:
        raise Failed(f"policy {name} has decided nothing yet")
    else:
        show(columns(history.HEADERS, history.rows(status.history, time.time())))
