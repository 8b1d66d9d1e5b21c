"""The idle time of an event loop, on real loops."""

from __future__ import annotations

import asyncio
import time

from resilience_operator.resilience.loop_idle import idle_seconds, idle_tracking_loop

PAUSE = 0.05


async def busy_then_waiting() -> tuple[float, float, float]:
    """Seconds of work, idle seconds, and seconds altogether."""
    began, idle = time.monotonic(), idle_seconds()
    while (worked := time.monotonic() - began) < PAUSE:
        pass
    await asyncio.sleep(PAUSE)
    return worked, idle_seconds() - idle, time.monotonic() - began


def test_work_is_not_idle_time() -> None:
    with asyncio.Runner(loop_factory=idle_tracking_loop) as runner:
        worked, idle, took = runner.run(busy_then_waiting())
    assert 0.9 * PAUSE <= idle <= took - worked


def test_without_a_count_it_is_the_clock() -> None:
    _, idle, took = asyncio.run(busy_then_waiting())
    assert 2 * PAUSE <= idle <= took
