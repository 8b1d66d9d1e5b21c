"""Measures how long an event loop was idle.

The wall clock alone does not show a peer's latency: while the loop is busy with other work, a response may have arrived
and wait unread. While the loop is idle, no response has arrived.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from weakref import WeakKeyDictionary


class IdleSelector(selectors.DefaultSelector):
    """A selector that adds up the seconds it has waited."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as the base class does, and add up the time."""
        started = time.monotonic()
        try:
            return super().select(timeout)
        finally:
            self.seconds += time.monotonic() - started


_selectors: WeakKeyDictionary[asyncio.AbstractEventLoop, IdleSelector] = WeakKeyDictionary()


def idle_tracking_loop() -> asyncio.AbstractEventLoop:
    """An event loop that measures its idle time, for `asyncio.Runner(loop_factory=…)`."""
    selector = IdleSelector()
    loop = asyncio.SelectorEventLoop(selector)
    _selectors[loop] = selector
    return loop


def idle_seconds() -> float:
    """Seconds for which the running loop was idle so far; the monotonic clock if the loop does not measure it."""
    selector = _selectors.get(asyncio.get_running_loop())
    return time.monotonic() if selector is None else selector.seconds
