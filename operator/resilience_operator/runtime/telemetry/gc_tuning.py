"""Python's garbage collector and a heap that mostly stays.

Ten thousand policies are some millions of objects that live as long as the process. The collector would walk over all
of them again and again, for as much time as everything else takes together. So what is there once all is known is set
aside, and only what came since is walked over. Every now and then all of it is walked over once and set aside anew.
"""

from __future__ import annotations

import asyncio
import gc

YOUNG = 50_000
"""New objects after which the youngest are looked through. One evaluation of ten thousand makes some hundred thousand
that end with it."""

FIRST_AFTER = 20.0
"""Seconds after which what a start makes is there."""

REFREEZE_EVERY = 1800.0
"""Seconds until the whole is looked through again, for circles among what was set aside: a pause of less than a second
with ten thousand policies."""


def raise_gc_threshold() -> None:
    """Look through objects less often, from the start on: what a start makes stays, and is not to be found again."""
    gc.set_threshold(YOUNG, 20, 20)


def freeze_heap() -> None:
    """Look through the whole heap once, and leave what is left out of all collections to come."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def refreeze_periodically() -> None:
    """Do so for as long as this is not cancelled."""
    await asyncio.sleep(FIRST_AFTER)
    while True:
        freeze_heap()
        await asyncio.sleep(REFREEZE_EVERY)
