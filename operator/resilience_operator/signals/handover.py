"""What threads found, handed to the event loop a few at a time: to wake it for each costs as much as a query."""

from __future__ import annotations

import asyncio
import threading
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 0.005
"""Seconds that what is there waits for what is still under way, at most."""


class Handover(Generic[T]):
    """Between threads and one event loop. Who gives the last that is under way wakes the loop for all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._given: list[tuple[asyncio.Future[T], T | Exception]] = []
        self._waits = False
        self._hurry = False

    def begin(self) -> asyncio.Future[T]:
        """In the loop: what a thread is going to give."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._under_way += 1
            self._hurry = False
        if not self._waits:
            self._waits = True
            loop.call_later(PATIENCE, self._enough)
        return loop.create_future()

    def give(self, future: asyncio.Future[T], found: T | Exception) -> None:
        """In a thread, once for each that was begun: its result, or what it failed with."""
        with self._lock:
            self._given.append((future, found))
            self._under_way -= 1
            wake = self._hurry or not self._under_way
        if wake:
            future.get_loop().call_soon_threadsafe(self._deliver)

    def _enough(self) -> None:
        """What is still under way takes long: from here on nothing waits for it."""
        self._waits = False
        with self._lock:
            self._hurry = self._under_way > 0
        self._deliver()

    def _deliver(self) -> None:
        with self._lock:
            given, self._given = self._given, []
        for future, found in given:
            if future.done():
                continue
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(found)
