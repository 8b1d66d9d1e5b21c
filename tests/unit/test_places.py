"""Places at work, shared between namespaces."""

from __future__ import annotations

import asyncio
from collections import Counter

from resilience_operator.runtime.places import Places, Rank


async def test_a_crowded_namespace_leaves_places_to_the_others() -> None:
    places, working, go = Places(total=4, most=3), Counter[str](), asyncio.Event()

    async def work(namespace: str) -> None:
        async with places.one(namespace, Rank.RECORD):
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
    places, order = Places(total=1, most=1), list[Rank]()

    async def work(rank: Rank) -> None:
        async with places.one("a", rank):
            order.append(rank)

    async with places.one("a", Rank.RECORD):
        tasks = [asyncio.create_task(work(rank)) for rank in (Rank.RECORD, Rank.TELL, Rank.ACT)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == [Rank.ACT, Rank.TELL, Rank.RECORD]


async def work(places: Places) -> str:
    async with places.one("a", Rank.RECORD):
        return "done"


async def test_who_gives_up_leaves_the_place_to_the_next() -> None:
    places = Places(total=1, most=1)
    async with places.one("a", Rank.RECORD):
        first, second = asyncio.create_task(work(places)), asyncio.create_task(work(places))
        await asyncio.sleep(0)
    # The place is the first one's already, though it has not run yet.
    first.cancel()
    assert await second == "done"
    async with asyncio.timeout(5):
        assert await work(places) == "done"


async def test_who_waits_behind_one_that_left_is_not_forgotten() -> None:
    places = Places(total=2, most=1)
    async with places.one("a", Rank.RECORD):
        left, stays = asyncio.create_task(work(places)), asyncio.create_task(work(places))
        await asyncio.sleep(0)
        left.cancel()
    async with asyncio.timeout(5):
        assert await stays == "done"


async def test_fifty_policies_that_change_all_the_time_delay_no_other_namespace() -> None:
    """However many policies of one namespace act at each evaluation, another namespace's action waits for none."""
    places, turns, stop = Places(), 0, asyncio.Event()

    async def flaps() -> None:
        nonlocal turns
        while not stop.is_set():
            async with places.one("crowded", Rank.ACT):
                for _ in range(20):  # a write is under way
                    await asyncio.sleep(0)
            turns += 1

    crowd = [asyncio.create_task(flaps()) for _ in range(50)]
    while turns < 100:
        await asyncio.sleep(0)
    waited = []
    for rank in (Rank.ACT, Rank.TELL, Rank.RECORD) * 10:
        before = turns
        async with places.one("other", rank):
            waited.append(turns - before)
        await asyncio.sleep(0)
    stop.set()
    await asyncio.gather(*crowd)
    assert max(waited) == 0, "turns of the crowd that ended first"
