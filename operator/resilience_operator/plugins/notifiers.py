"""Telling people through plugins: a bounded queue for each, and nobody waits for one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from resilience_operator.plugins.cell import Cell
from resilience_operator.plugins.config import PluginConfig
from resilience_operator.plugins.discovery import Missing, load
from resilience_operator.plugins.failures import RETRY, Kind, OnFailure, PluginFailed, Why, say_nothing
from resilience_operator.plugins.protocols import Notification
from resilience_operator.resilience import CallError, Deadline, Retry

log = logging.getLogger(__name__)

QUEUE_LENGTH = 1000
"""Notifications that wait for one notifier. Beyond them the newest is dropped and counted."""

NOTIFY_SECONDS = 10.0
"""Time for telling one thing, with all that is tried again."""

DRAIN_SECONDS = 2.0
"""Time at the end for what is still queued."""


def nothing(answer: object) -> None:
    """A notifier has nothing to answer; what it returns all the same is let pass."""
    del answer


class _Held:
    """One notifier with its queue."""

    def __init__(self, plugin: Any, cell: Cell, retry: Retry) -> None:
        self.cell = cell
        self.queue: asyncio.Queue[Notification] = asyncio.Queue(QUEUE_LENGTH)
        self._plugin = plugin
        self._retry = retry

    def put(self, notification: Notification) -> None:
        try:
            self.queue.put_nowait(notification)
        except asyncio.QueueFull:
            self.cell.fail(Why.QUEUE_FULL, f"{QUEUE_LENGTH} notifications wait for it already: this one is dropped")

    async def work(self) -> None:
        """Tell one after the other, in the order in which things happened."""
        while True:
            notification = await self.queue.get()
            try:
                await self._tell(notification)
            except (PluginFailed, CallError):
                pass  # counted and logged by the cell
            except Exception:
                log.exception("notifier %s: a notification was dropped", self.cell.name)
            finally:
                self.queue.task_done()

    async def _tell(self, notification: Notification) -> None:
        deadline = Deadline.after(NOTIFY_SECONDS)

        async def attempt() -> None:
            await self.cell.call(self._plugin.notify, notification, deadline, check=nothing, deadline=deadline)

        await self._retry.call(
            attempt, deadline=Deadline.after(NOTIFY_SECONDS + 0.5), dependency=f"{Kind.NOTIFIER}/{self.cell.name}"
        )


class Notifiers:
    """All configured notifiers."""

    def __init__(self, *, retry: Retry | None = None, on_failure: OnFailure = say_nothing) -> None:
        self._retry = retry or Retry(RETRY)
        self._on_failure = on_failure
        self._held: list[_Held] = []

    async def load(self, configs: Iterable[PluginConfig]) -> None:
        """Make them. One that is missing is counted and logged, and left out."""
        for config in configs:
            cell = Cell(Kind.NOTIFIER, config.name, on_failure=self._on_failure)
            plugin = await load(cell, config.type, config.options)
            if isinstance(plugin, Missing):
                cell.fail(Why.NOT_LOADED, plugin.message)
            else:
                self._held.append(_Held(plugin, cell, self._retry))

    def tell(self, notification: Notification) -> None:
        """Queue it with every notifier. Never blocks and never raises."""
        for held in self._held:
            held.put(notification)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Tell until the block ends; what is queued then still has a moment."""
        tasks = [asyncio.create_task(held.work(), name=f"notifier {held.cell.name}") for held in self._held]
        try:
            yield
        finally:
            drained = [asyncio.create_task(held.queue.join()) for held in self._held]
            if drained:
                await asyncio.wait(drained, timeout=DRAIN_SECONDS)
            for task in (*tasks, *drained):
                task.cancel()
            await asyncio.gather(*tasks, *drained, return_exceptions=True)
            for held in self._held:
                held.cell.close()
