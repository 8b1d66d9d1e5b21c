"""How long an event loop had nothing to do but wait.

What a peer took cannot be told from the clock alone: while the loop is busy with other work, an answer that came lies
unread. While it waits, no answer has come.
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
        """Wait, as ever."""
        begun = time.monotonic()
        try:
            return super().select(timeout)
        finally:
            self.seconds += time.monotonic() - begun


_counted: WeakKeyDictionary[asyncio.AbstractEventLoop, IdleSelector] = WeakKeyDictionary()


def idle_tracking_loop() -> asyncio.AbstractEventLoop:
    """A loop whose idle time is known: for `asyncio.Runner(loop_factory=…)`."""
    selector = IdleSelector()
    loop = asyncio.SelectorEventLoop(selector)
    _counted[loop] = selector
    return loop


def idle_seconds() -> float:
    """Seconds that the running loop has waited so far; of a loop that does not count them, the clock."""
    selector = _counted.get(asyncio.get_running_loop())
    return time.monotonic() if selector is None else selector.seconds
