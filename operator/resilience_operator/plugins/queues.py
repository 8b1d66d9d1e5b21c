"""The queue of one notifier: a share for each namespace, decisions before notices."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from resilience_operator.plugins.protocols import Notification

QUEUE_LENGTH = 1000
"""Notifications that wait for one notifier, of all namespaces."""

NAMESPACE_LENGTH = 500
"""Of them, those of one namespace."""

NOTICE_AFTER = 3
"""Decisions in a row after which one notice is taken, so that notices of other namespaces are never starved."""


@dataclass(slots=True)
class _Share:
    """What waits of one namespace, the oldest first."""

    decisions: deque[Notification] = field(default_factory=deque)
    notices: deque[Notification] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.decisions) + len(self.notices)

    def of(self, kind: str) -> deque[Notification]:
        return self.decisions if kind == "decision" else self.notices


class FairQueue:
    """Notifications by namespace. The namespaces take turns; of each, decisions come before notices.

    A full queue drops what the namespace with the most entries can best spare: its oldest notice, or its oldest
    decision where it has no notices. So a flood costs the namespace that it comes from, and no other.
    """

    def __init__(self, most: int = QUEUE_LENGTH, most_of_a_namespace: int = NAMESPACE_LENGTH) -> None:
        self._most, self._most_of_a_namespace = most, most_of_a_namespace
        self._shares: dict[str, _Share] = {}
        # Namespaces in turn, for each kind; a namespace is in it while it has one of that kind.
        self._turns: dict[str, dict[str, None]] = {"decision": {}, "notice": {}}
        # Namespaces by how much of each waits, so that the longest share is found at once.
        self._by_length: list[dict[str, None]] = [{} for _ in range(most_of_a_namespace + 2)]
        self._longest = 0
        self._length = 0
        self._decisions_in_a_row = 0
        self._unfinished = 0
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return self._length

    def put(self, notification: Notification) -> Notification | None:
        """Add one; what was dropped in its favour, which may be itself."""
        namespace = notification.namespace
        share = self._shares.setdefault(namespace, _Share())
        share.of(notification.kind).append(notification)
        self._turns[notification.kind].setdefault(namespace)
        self._resize(namespace, len(share) - 1, len(share))
        self._filled.set()
        self._idle.clear()
        self._unfinished += 1
        if len(share) > self._most_of_a_namespace:
            return self._drop(namespace)
        if self._length > self._most:
            return self._drop(self._with_most())
        return None

    async def get(self) -> Notification:
        """Wait for the next one, and take it. To be followed by `done`."""
        await self._filled.wait()
        return self._take()

    def take_all(self) -> list[Notification]:
        """Take whatever waits, in the order of `get`. To be followed by `done`."""
        return [self._take() for _ in range(self._length)]

    def done(self, count: int) -> None:
        """So many of those that were taken are dealt with."""
        self._unfinished -= count
        if not self._unfinished:
            self._idle.set()

    async def join(self) -> None:
        """Wait until everything is dealt with."""
        await self._idle.wait()

    def _take(self) -> Notification:
        kind = "decision"
        if not self._turns["decision"] or (self._turns["notice"] and self._decisions_in_a_row >= NOTICE_AFTER):
            kind = "notice"
        self._decisions_in_a_row = self._decisions_in_a_row + 1 if kind == "decision" else 0
        namespace = next(iter(self._turns[kind]))
        taken = self._remove(namespace, kind)
        if namespace in self._turns[kind]:
            # To the end: the others are next.
            del self._turns[kind][namespace]
            self._turns[kind][namespace] = None
        return taken

    def _drop(self, namespace: str) -> Notification:
        kind = "notice" if self._shares[namespace].notices else "decision"
        dropped = self._remove(namespace, kind)
        self.done(1)
        return dropped

    def _remove(self, namespace: str, kind: str) -> Notification:
        share = self._shares[namespace]
        waiting = share.of(kind)
        found = waiting.popleft()
        if not waiting:
            del self._turns[kind][namespace]
        self._resize(namespace, len(share) + 1, len(share))
        if not share:
            del self._shares[namespace]
        if not self._length:
            self._filled.clear()
        return found

    def _resize(self, namespace: str, before: int, after: int) -> None:
        self._length += after - before
        self._by_length[before].pop(namespace, None)
        if after:
            self._by_length[after][namespace] = None
        self._longest = max(self._longest, after)
        while self._longest and not self._by_length[self._longest]:
            self._longest -= 1

    def _with_most(self) -> str:
        """The namespace with the longest share; of several, one that has a notice to spare."""
        longest = self._by_length[self._longest]
        notices = self._turns["notice"]
        few, many = (longest, notices) if len(longest) < len(notices) else (notices, longest)
        return next((namespace for namespace in few if namespace in many), next(iter(longest)))
