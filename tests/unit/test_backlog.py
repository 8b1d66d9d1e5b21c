"""Notes that wait to be written: whose turn it is, and what becomes of those that are out of date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from resilience_operator.runtime.backlog import OF_A_NAMESPACE, Backlog, Note
from resilience_operator.runtime.entry import Entry
from resilience_operator.runtime.pace import Pace
from resilience_operator.runtime.places import Places, Rank


def an_entry(name: str, namespace: str = "a") -> Entry:
    return Entry(f"{namespace}/{name}", namespace, name, 1, "1", 0.0, ("Deployment", namespace, name))


class Desk:
    """A backlog, and what it wrote. go: nothing is written to the end before it is set."""

    def __init__(self, places: Places | None = None, pace: Pace | None = None) -> None:
        self.places = places or Places()
        self.pace = pace or Pace()
        self.backlog = Backlog(self.places, self.pace)
        self.begun: list[str] = []
        self.go = asyncio.Event()

    def put(self, entry: Entry, text: str = "") -> None:
        self.backlog.put(entry, partial(self._note, text or entry.name))

    async def _note(self, text: str) -> None:
        self.begun.append(text)
        await self.go.wait()
        self.pace.written()

    async def _write(self, entry: Entry, note: Note) -> None:
        assert entry.busy
        await note()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.backlog.run(self._write, stop))
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
    desk, entry = Desk(), an_entry("one")
    async with desk.working():
        desk.put(entry)
        await turns()
        assert (desk.begun, entry.busy, len(desk.backlog)) == (["one"], True, 0)
        desk.go.set()
        await turns()
        assert not entry.busy


async def test_only_the_newest_note_of_a_policy_is_written() -> None:
    desk, entry = Desk(), an_entry("one")
    desk.put(entry, "older")
    desk.put(entry, "newer")
    async with desk.working():
        assert desk.begun == ["newer"]


async def test_who_has_its_turn_keeps_its_turn_and_holds_nobody_up() -> None:
    desk, busy = Desk(), an_entry("busy")
    busy.busy = True
    desk.put(busy)
    desk.put(an_entry("next"))
    desk.go.set()
    async with desk.working():
        assert (desk.begun, len(desk.backlog)) == (["next"], 1)
        busy.busy = False
        desk.put(busy, "what its evaluation came to")
        await turns()
        assert desk.begun == ["next", "what its evaluation came to"]


async def test_what_is_dropped_is_not_written() -> None:
    desk, entry = Desk(), an_entry("one")
    desk.put(entry)
    desk.backlog.drop(entry)
    desk.backlog.drop(entry)
    async with desk.working():
        assert (desk.begun, len(desk.backlog)) == ([], 0)


async def test_namespaces_take_turns() -> None:
    desk = Desk(Places(total=1, most=1))
    for n in range(3):
        desk.put(an_entry(f"crowded-{n}", "crowded"))
    desk.put(an_entry("other", "other"))
    desk.go.set()
    async with desk.working():
        assert sorted(desk.begun[:2]) == ["crowded-0", "other"]
        assert desk.begun[2:] == ["crowded-1", "crowded-2"]


async def test_a_crowded_namespace_leaves_some_at_once_to_the_others() -> None:
    desk = Desk()
    for n in range(50):
        desk.put(an_entry(f"crowded-{n}", "crowded"))
    async with desk.working():
        desk.put(an_entry("other", "other"))
        await turns()
        assert desk.begun == [*(f"crowded-{n}" for n in range(OF_A_NAMESPACE)), "other"]


async def test_who_acts_goes_first_and_a_note_waits_until_its_turn_without_holding_its_policy() -> None:
    desk, entry = Desk(Places(total=1, most=1)), an_entry("one")
    async with desk.working():
        async with desk.places.one("a", Rank.ACT):
            desk.put(entry)
            await turns()
            assert (desk.begun, entry.busy) == ([], False)
        await turns()
        assert desk.begun == ["one"]


async def test_notes_that_are_in_the_way_are_written_few_at_a_time() -> None:
    pace = Pace()
    pace.slow_down()
    desk = Desk(pace=pace)
    desk.go.set()
    async with desk.working():
        for number in range(7):
            desk.put(an_entry(str(number)))
        await turns()
        assert len(desk.begun) == OF_A_NAMESPACE
        async with asyncio.timeout(30):
            while len(desk.begun) < 7:
                await asyncio.sleep(0.01)
