"""Notes that wait to be written: whose turn it is, and what becomes of those that are out of date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from resilience_operator.runtime.cache.policy_entry import CompiledPolicy, PolicyEntry
from resilience_operator.runtime.reporting.status_queue import PER_NAMESPACE, StatusQueue
from resilience_operator.runtime.scheduling.admission import FairSemaphore, Priority
from resilience_operator.runtime.scheduling.rate_limit import AdaptiveRateLimiter
from resilience_operator.runtime.scheduling.work_queue import WorkQueue


def an_entry(name: str, namespace: str = "a") -> PolicyEntry:
    return PolicyEntry(
        f"{namespace}/{name}", namespace, name, "1", 0.0, CompiledPolicy(("Deployment", namespace, name))
    )


class Desk:
    """A status queue, and what it wrote. go: nothing is written to the end before it is set."""

    def __init__(self, admission: FairSemaphore | None = None, rate_limiter: AdaptiveRateLimiter | None = None) -> None:
        self.admission = admission or FairSemaphore()
        self.rate_limiter = rate_limiter or AdaptiveRateLimiter()
        self.work = WorkQueue()
        self.status_queue = StatusQueue(self.work, self.admission, self.rate_limiter)
        self.begun: list[str] = []
        self.go = asyncio.Event()

    def put(self, entry: PolicyEntry, text: str = "") -> None:
        entry.reported.pending = text or entry.name
        self.status_queue.add(entry)

    def locked(self, entry: PolicyEntry) -> bool:
        return self.work.is_processing(entry.uid)

    async def _write(self, entry: PolicyEntry) -> None:
        assert self.locked(entry)
        self.begun.append(str(entry.reported.pending))
        await self.go.wait()
        self.rate_limiter.record()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.status_queue.run(self._write, stop))
        await turns()
        try:
            yield
        finally:
            stop.set()
            await task


async def turns() -> None:
    """Let everybody who can go on do so."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_note_is_written_and_its_policy_is_free_again() -> None:
    query_client, entry = Desk(), an_entry("one")
    async with query_client.working():
        query_client.put(entry)
        await turns()
        assert (query_client.begun, query_client.locked(entry), len(query_client.status_queue)) == (["one"], True, 0)
        query_client.go.set()
        await turns()
        assert not query_client.locked(entry)


async def test_only_the_newest_note_of_a_policy_is_written() -> None:
    query_client, entry = Desk(), an_entry("one")
    query_client.put(entry, "older")
    query_client.put(entry, "newer")
    async with query_client.working():
        assert query_client.begun == ["newer"]


async def test_who_has_its_turn_keeps_its_turn_and_holds_nobody_up() -> None:
    query_client, busy = Desk(), an_entry("busy")
    query_client.work.start(busy, "its evaluation")
    query_client.put(busy)
    query_client.put(an_entry("next"))
    query_client.go.set()
    async with query_client.working():
        assert (query_client.begun, len(query_client.status_queue)) == (["next"], 1)
        query_client.put(busy, "what its evaluation came to")
        await turns()
        assert query_client.begun == ["next"]
        query_client.work.done(busy)
        await turns()
        assert query_client.begun == ["next", "what its evaluation came to"]


async def test_what_is_dropped_is_not_written() -> None:
    query_client, entry = Desk(), an_entry("one")
    query_client.put(entry)
    entry.reported.pending = None
    async with query_client.working():
        assert (query_client.begun, len(query_client.status_queue)) == ([], 0)


async def test_namespaces_take_turns() -> None:
    query_client = Desk(FairSemaphore(total=1, per_namespace=1))
    for n in range(3):
        query_client.put(an_entry(f"crowded-{n}", "crowded"))
    query_client.put(an_entry("other", "other"))
    query_client.go.set()
    async with query_client.working():
        assert sorted(query_client.begun[:2]) == ["crowded-0", "other"]
        assert query_client.begun[2:] == ["crowded-1", "crowded-2"]


async def test_a_crowded_namespace_leaves_some_at_once_to_the_others() -> None:
    query_client = Desk()
    for n in range(50):
        query_client.put(an_entry(f"crowded-{n}", "crowded"))
    async with query_client.working():
        query_client.put(an_entry("other", "other"))
        await turns()
        assert query_client.begun == [*(f"crowded-{n}" for n in range(PER_NAMESPACE)), "other"]


async def test_who_acts_goes_first_and_a_note_waits_until_its_turn_without_holding_its_policy() -> None:
    query_client, entry = Desk(FairSemaphore(total=1, per_namespace=1)), an_entry("one")
    async with query_client.working():
        async with query_client.admission.acquire("a", Priority.ACT):
            query_client.put(entry)
            await turns()
            assert (query_client.begun, query_client.locked(entry)) == ([], False)
        await turns()
        assert query_client.begun == ["one"]


async def test_notes_that_are_in_the_way_are_written_few_at_a_time() -> None:
    rate_limiter = AdaptiveRateLimiter()
    rate_limiter.back_off()
    query_client = Desk(rate_limiter=rate_limiter)
    query_client.go.set()
    async with query_client.working():
        for number in range(7):
            query_client.put(an_entry(str(number)))
        await turns()
        assert len(query_client.begun) == PER_NAMESPACE
        async with asyncio.timeout(30):
            while len(query_client.begun) < 7:
                await asyncio.sleep(0.01)
