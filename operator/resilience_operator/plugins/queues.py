"""The queue of one notifier: fair to namespaces, decisions before notices."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from resilience_operator.plugins.protocols import Notification

QUEUE_LENGTH = 1000
"""Maximum queued notifications of one notifier."""

NAMESPACE_LENGTH = 500
"""Maximum queued notifications of one namespace."""

NOTICE_AFTER = 3
"""Consecutive decisions after which one notice is taken, so that notices never starve."""


@dataclass(slots=True)
class _Share:
    """The queued notifications of one namespace, the oldest first."""

    decisions: deque[Notification] = field(default_factory=deque)
    notices: deque[Notification] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.decisions) + len(self.notices)

    def of(self, kind: str) -> deque[Notification]:
        return self.decisions if kind == "decision" else self.notices


class FairQueue:
    """A queue of notifications by namespace: namespaces take turns, and decisions come before notices.

    A full queue drops an entry of the namespace with the most entries: its oldest notice, or its oldest decision if it
    has no notices. A flood therefore affects only the namespace that causes it.
    """

    def __init__(self, most: int = QUEUE_LENGTH, most_of_a_namespace: int = NAMESPACE_LENGTH) -> None:
        self._most, self._most_of_a_namespace = most, most_of_a_namespace
        self._shares: dict[str, _Share] = {}
        # Namespaces in turn, by kind; a namespace is listed while it has an entry of that kind.
        self._turns: dict[str, dict[str, None]] = {"decision": {}, "notice": {}}
        # Namespaces by number of entries, to find the longest share in constant time.
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
        """Add a notification and return the dropped one, if any, which may be the same."""
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
        """Wait for the next notification and remove it. Call `done` afterwards."""
        await self._filled.wait()
        return self._take()

    def take_all(self) -> list[Notification]:
        """Remove all queued notifications, in the order of `get`. Call `done` afterwards."""
        return [self._take() for _ in range(self._length)]

    def done(self, count: int) -> None:
        """Mark `count` removed notifications as processed."""
        self._unfinished -= count
        if not self._unfinished:
            self._idle.set()

    async def join(self) -> None:
        """Wait until all notifications are processed."""
        await self._idle.wait()

    def _take(self) -> Notification:
        kind = "decision"
        if not self._turns["decision"] or (self._turns["notice"] and self._decisions_in_a_row >= NOTICE_AFTER):
            kind = "notice"
        self._decisions_in_a_row = self._decisions_in_a_row + 1 if kind == "decision" else 0
        namespace = next(iter(self._turns[kind]))
        taken = self._remove(namespace, kind)
        if namespace in self._turns[kind]:
            # Move to the end: the others are next.
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
        """Return the namespace with the most entries; of several, prefer one with a notice."""
        longest = self._by_length[self._longest]
        notices = self._turns["notice"]
        few, many = (longest, notices) if len(longest) < len(notices) else (notices, longest)
        return next((namespace for namespace in few if namespace in many), next(iter(longest)))
