"""Places at work, shared between namespaces."""

from __future__ import annotations

import asyncio
from collections import Counter

from resilience_operator.runtime.scheduling.admission import FairSemaphore, Priority


async def test_a_crowded_namespace_leaves_places_to_the_others() -> None:
    admission, working, go = FairSemaphore(total=4, per_namespace=3), Counter[str](), asyncio.Event()

    async def work(namespace: str) -> None:
        async with admission.acquire(namespace, Priority.STATUS):
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


async def test_who_acts_goes_before_who_records() -> None:
    admission, order = FairSemaphore(total=1, per_namespace=1), list[Priority]()

    async def work(rank: Priority) -> None:
        async with admission.acquire("a", rank):
            order.append(rank)

    async with admission.acquire("a", Priority.STATUS):
        tasks = [asyncio.create_task(work(rank)) for rank in (Priority.STATUS, Priority.EVENT, Priority.ACT)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == [Priority.ACT, Priority.EVENT, Priority.STATUS]


async def work(admission: FairSemaphore) -> str:
    async with admission.acquire("a", Priority.STATUS):
        return "done"


async def test_who_gives_up_leaves_the_place_to_the_next() -> None:
    admission = FairSemaphore(total=1, per_namespace=1)
    async with admission.acquire("a", Priority.STATUS):
        first, second = asyncio.create_task(work(admission)), asyncio.create_task(work(admission))
        await asyncio.sleep(0)
    # The place is the first one's already, though it has not run yet.
    first.cancel()
    assert await second == "done"
    async with asyncio.timeout(5):
        assert await work(admission) == "done"


async def test_who_waits_behind_one_that_left_is_not_forgotten() -> None:
    admission = FairSemaphore(total=2, per_namespace=1)
    async with admission.acquire("a", Priority.STATUS):
        left, stays = asyncio.create_task(work(admission)), asyncio.create_task(work(admission))
        await asyncio.sleep(0)
        left.cancel()
    async with asyncio.timeout(5):
        assert await stays == "done"


async def test_fifty_policies_that_change_all_the_time_delay_no_other_namespace() -> None:
    """However many policies of one namespace act at each evaluation, another namespace's action waits for none."""
    admission, turns, stop = FairSemaphore(), 0, asyncio.Event()

    async def flaps() -> None:
        nonlocal turns
        while not stop.is_set():
            async with admission.acquire("crowded", Priority.ACT):
                for _ in range(20):  # a write is under way
                    await asyncio.sleep(0)
            turns += 1

    crowd = [asyncio.create_task(flaps()) for _ in range(50)]
    while turns < 100:
        await asyncio.sleep(0)
    waited = []
    for rank in (Priority.ACT, Priority.EVENT, Priority.STATUS) * 10:
        before = turns
        async with admission.acquire("other", rank):
            waited.append(turns - before)
        await asyncio.sleep(0)
    stop.set()
    await asyncio.gather(*crowd)
    assert max(waited) == 0, "turns of the crowd that ended first"
