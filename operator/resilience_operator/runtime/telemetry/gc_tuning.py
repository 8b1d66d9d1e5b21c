"""Tunes Python's garbage collector for a large, mostly static heap.

10,000 policies are millions of objects that live as long as the process. Collections that traverse them take as much
time as all other work. Therefore the heap is frozen once the caches are filled, and only newer objects are traversed.
At long intervals the whole heap is collected and frozen again.
"""

from __future__ import annotations

import asyncio
import gc

YOUNG = 50_000
"""Allocations before a collection of the youngest generation. One evaluation of 10,000 policies creates some 100,000
short-lived objects."""

FIRST_AFTER = 20.0
"""Seconds until start-up has allocated its objects."""

REFREEZE_EVERY = 1800.0
"""Seconds between full collections, which find reference cycles among frozen objects. Each pauses the process for less
than a second with 10,000 policies."""


def raise_gc_threshold() -> None:
    """Collect less often, from the start on: most objects created at start-up stay."""
    gc.set_threshold(YOUNG, 20, 20)


def freeze_heap() -> None:
    """Collect the whole heap once, and exclude the survivors from further collections."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def refreeze_periodically() -> None:
    """Freeze the heap after start-up, then at every `REFREEZE_EVERY`, until cancelled."""
    await asyncio.sleep(FIRST_AFTER)
    while True:
        freeze_heap()
        await asyncio.sleep(REFREEZE_EVERY)
