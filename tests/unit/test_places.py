"""Places at work, shared between namespaces."""

from __future__ import annotations

import asyncio
from collections import Counter

from resilience_operator.runtime.places import Places


async def test_a_crowded_namespace_leaves_places_to_the_others() -> None:
    places, working, go = Places(total=4, most=3), Counter[str](), asyncio.Event()

    async def work(namespace: str) -> None:
        async with places.one(namespace):
            working[namespace] += 1
            await go.wait()
            working[namespace] -= 1

    tasks = [asyncio.create_task(work("crowded")) for _ in range(20)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(work("other")) for _ in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert working == {"crowded": 3, "other": 1}
    go.set()
    await asyncio.gather(*tasks)
    assert working.total() == 0
