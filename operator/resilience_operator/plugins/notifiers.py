"""Sends notifications through plugins: each has a bounded queue that is fair to namespaces and never blocks callers.

A notifier that supports groups gets notifications in one message, at most one per group interval. Later notifications
wait for the next message. Group wait and group interval are those of Alertmanager.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Protocol

from resilience_operator.plugins.bulkhead import PluginRunner
from resilience_operator.plugins.config import NotifierConfig
from resilience_operator.plugins.discovery import UnavailablePlugin, load
from resilience_operator.plugins.failures import RETRY, FailureReason, Kind, OnFailure, PluginFailed, ignore
from resilience_operator.plugins.protocols import Notification
from resilience_operator.plugins.queues import FairQueue
from resilience_operator.resilience import CallError, Deadline, Retry, RetryPolicy

log = logging.getLogger(__name__)

NOTIFY_SECONDS = 10.0
"""Seconds for one notification, including retries."""

GROUP_SECONDS = 60.0
"""The same for a group: longer, because more would be lost and later notifications are grouped meanwhile."""

GROUP_RETRY = RetryPolicy(base=0.5, cap=15.0, attempts=8)

REMEMBERED = 1000
"""Sent keys that are remembered per notifier with groups, so that nothing is sent twice."""

CONTENT_REFUSED = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)
"""Status codes with which a receiver rejects the content of a message."""

DROPS_LOGGED_EVERY = 60.0
"""Seconds between two log lines about a full queue. Each drop is counted."""

DRAIN_SECONDS = 2.0
"""Seconds at shutdown to send queued notifications."""


def nothing(answer: object) -> None:
    """Ignore the return value of a notifier."""
    del answer


class OnResult(Protocol):
    """Callback for the results of notifications: for metrics."""

    def __call__(self, notifier: str, count: int, result: str) -> None:
        """Record a result: sent, failed (after all retries) or dropped (the queue is full)."""
        ...


def count_nothing(notifier: str, count: int, result: str) -> None:
    """An `OnResult` that does nothing."""
    del notifier, count, result


class _NotifierWorker:
    """One notifier with its queue."""

    def __init__(
        self, plugin: Any, cell: PluginRunner, config: NotifierConfig, retry: Retry, on_result: OnResult
    ) -> None:
        self.cell = cell
        self.queue: FairQueue = FairQueue()
        self.closing = asyncio.Event()
        self._plugin = plugin
        self._config = config
        self._groups = callable(getattr(plugin, "notify_group", None))
        self._retry = retry.under(GROUP_RETRY) if self._groups else retry
        self._on_result = on_result
        self._sent: dict[str, None] = {}
        self._next = 0.0
        self._dropped = 0
        self._drops_logged_at = -DROPS_LOGGED_EVERY

    def put(self, notification: Notification) -> None:
        if self.queue.put(notification) is None:
            return
        self._on_result(self.cell.name, 1, "dropped")
        self._dropped += 1
        now = asyncio.get_running_loop().time()
        if now - self._drops_logged_at >= DROPS_LOGGED_EVERY:
            message = f"its queue is full: {self._dropped} dropped, from the busiest namespaces, notices first"
            self.cell.fail(FailureReason.QUEUE_FULL, message)
            self._drops_logged_at, self._dropped = now, 0

    async def work(self) -> None:
        """Send notifications or groups in turn: namespaces round-robin, decisions before notices."""
        while True:
            taken = [await self.queue.get()]
            try:
                if self._groups:
                    await self._gather(taken)
                    await self._send_group(taken)
                else:
                    await self._send(taken, self._plugin.notify, taken[0], seconds=NOTIFY_SECONDS)
            except (PluginFailed, CallError):
                pass  # counted and logged by the runner
            except Exception:
                log.exception("notifier %s: a notification was dropped", self.cell.name)
            finally:
                self.queue.done(len(taken))

    async def _gather(self, taken: list[Notification]) -> None:
        """Add notifications that arrive within the group wait or interval. At shutdown, do not wait."""
        now = asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(self._config.group_wait_seconds, self._next - now)):
                await self.closing.wait()
        taken.extend(self.queue.take_all())

    async def _send_group(self, taken: list[Notification]) -> None:
        group = tuple({n.key: n for n in taken if n.key not in self._sent}.values())
        if not group:
            return
        self._next = asyncio.get_running_loop().time() + self._config.group_interval_seconds
        await self._send_or_split(group)
        for key in list(self._sent)[:-REMEMBERED]:
            del self._sent[key]

    async def _send_or_split(self, group: Sequence[Notification]) -> None:
        """Send a group. If its content is rejected, split it by namespace, so that only one loses its message."""
        try:
            await self._send(group, self._plugin.notify_group, group, seconds=GROUP_SECONDS)
        except CallError as error:
            namespaces = list(dict.fromkeys(n.namespace for n in group))
            if error.status not in CONTENT_REFUSED or len(namespaces) < 2:
                raise
            first = frozenset(namespaces[: len(namespaces) // 2])
            for belongs in (True, False):
                with suppress(CallError, PluginFailed):  # counted and logged by the runner
                    await self._send_or_split([n for n in group if (n.namespace in first) is belongs])
        else:
            self._sent |= dict.fromkeys(n.key for n in group)

    async def _send(self, group: Sequence[Notification], send: Any, what: object, *, seconds: float) -> None:
        deadline = Deadline.after(seconds)

        async def attempt() -> None:
            await self.cell.call(send, what, deadline, check=nothing, deadline=deadline)

        result = "failed"
        try:
            await self._retry.call(
                attempt, deadline=Deadline.after(seconds + 0.5), dependency=f"{Kind.NOTIFIER}/{self.cell.name}"
            )
            result = "sent"
        finally:
            self._on_result(self.cell.name, len(group), result)


class Notifiers:
    """The configured notifiers."""

    def __init__(
        self,
        *,
        retry: Retry | None = None,
        on_failure: OnFailure = ignore,
        on_result: OnResult = count_nothing,
    ) -> None:
        self._retry = retry or Retry(RETRY)
        self._on_failure = on_failure
        self._on_result = on_result
        self._held: list[_NotifierWorker] = []
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def load(self, configs: Iterable[NotifierConfig]) -> None:
        """Load the notifiers. One that cannot be loaded is counted, logged and skipped."""
        for config in configs:
            cell = PluginRunner(Kind.NOTIFIER, config.name, on_failure=self._on_failure)
            plugin = await load(cell, config.type, config.options)
            if isinstance(plugin, UnavailablePlugin):
                cell.fail(FailureReason.NOT_LOADED, plugin.message)
                self._on_result(config.name, 0, "failed")
            else:
                self._on_result(config.name, 0, "sent")
                self._held.append(_NotifierWorker(plugin, cell, config, self._retry, self._on_result))

    def enqueue(self, notification: Notification) -> None:
        """Queue a notification for every notifier. Never blocks or raises."""
        for held in self._held:
            held.put(notification)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Send notifications until the block ends, then drain the queues for `DRAIN_SECONDS`."""
        self.tasks = tasks = tuple(
            asyncio.create_task(held.work(), name=f"notifier {held.cell.name}") for held in self._held
        )
        try:
            yield
        finally:
            for held in self._held:
                held.closing.set()
            drained = [asyncio.create_task(held.queue.join()) for held in self._held]
            if drained:
                await asyncio.wait(drained, timeout=DRAIN_SECONDS)
            for task in (*tasks, *drained):
                task.cancel()
            await asyncio.gather(*tasks, *drained, return_exceptions=True)
            for held in self._held:
                held.cell.close()
