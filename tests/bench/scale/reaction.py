"""What is measured from an event to its effect. Seconds."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.bench.scale.api import for_all
from tests.bench.scale.crowd import CALM, CRAZY, Member
from tests.bench.scale.stage import Stage
from tests.support.world import GROUP, PLURAL, VERSION

PATIENCE = 120.0
_ALL = f"/apis/{GROUP}/{VERSION}/{PLURAL}"


@dataclass(frozen=True, slots=True)
class Reactions:
    """Seconds from a step to the patch, of those that were patched; missing: how many never were."""

    seconds: list[float]
    missing: int

    def quantile(self, share: float) -> float:
        """Nearest rank; infinite where so many were never patched."""
        ranked = [*sorted(self.seconds), *[float("inf")] * self.missing]
        return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


class Sample:
    """Members in an arbitrary order, each handed out once."""

    def __init__(self, members: list[Member], seed: int = 7) -> None:
        self._left = list(members)
        random.Random(seed).shuffle(self._left)

    def take(self, count: int) -> list[Member]:
        """The next ones."""
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def stride(interval: float, least: float = 0.75) -> float:
    """Seconds between two steps, `least` or more, with which they fall evenly over intervals of 2 s and more.

    When in its interval a step falls is most of a reaction's time; left to chance, the median of a hundred steps at 5 s
    would be good to a quarter of a second. Strides of a golden section, or of a power of it, leave no part of an
    interval out (Knuth, The Art of Computer Programming, volume 3, section 6.4, theorem S).
    """
    golden = (math.sqrt(5) - 1) / 2
    found = interval
    while found * golden >= least:
        found *= golden
    return found


async def one_by_one(stage: Stage, members: list[Member], interval: float) -> Reactions:
    """Let one after the other cross its threshold, evenly over the interval; calm again once it was scaled."""
    between = stride(interval)
    steps: dict[int, float] = {}
    calming: set[asyncio.Task[None]] = set()

    async def calm(member: Member) -> None:
        await stage.controller.until_scaled({member.number}, PATIENCE)
        await stage.rate_limiter([member], CALM)

    began = time.monotonic()
    for place, member in enumerate(members):
        await asyncio.sleep(max(0.0, began + place * between - time.monotonic()))
        steps[member.number] = await stage.rate_limiter([member], CRAZY)
        calming.add(asyncio.create_task(calm(member)))
    await asyncio.gather(*calming)
    return _reactions(stage, steps)


async def together(stage: Stage, members: list[Member]) -> Reactions:
    """Let all of them cross at once."""
    at = await stage.rate_limiter(members, CRAZY)
    await stage.controller.until_scaled({m.number for m in members}, PATIENCE)
    await stage.rate_limiter(members, CALM)
    return _reactions(stage, dict.fromkeys((m.number for m in members), at))


def _reactions(stage: Stage, steps: dict[int, float]) -> Reactions:
    scaled = stage.controller.scaled
    return Reactions([scaled[n] - at for n, at in steps.items() if n in scaled], len(steps.keys() - scaled.keys()))


class Readiness:
    """Which policies the operator calls Ready, as their watch tells."""

    def __init__(self) -> None:
        self.ready: set[str] = set()
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def watching(cls, stage: Stage) -> AsyncIterator[Readiness]:
        """Follow the changes from now on until the block ends."""
        found = cls()
        task = asyncio.create_task(found._follow(stage, await stage.api.version(_ALL)))
        try:
            yield found
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def until(self, names: set[str]) -> bool:
        """Return when all of them are Ready; False when time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not names <= self.ready:
                    self._changed.clear()
                    await self._changed.wait()
        return names <= self.ready

    async def _follow(self, stage: Stage, version: str) -> None:
        async for event in stage.api.watch(_ALL, version):
            conditions = event["object"].get("status", {}).get("conditions", ())
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                self.ready.add(event["object"]["metadata"]["name"])
                self._changed.set()


async def first_evaluations(stage: Stage, policies: int, **environment: str) -> float:
    """Start an operator; from its start to as many evaluations as there are policies."""
    began = time.monotonic()
    await stage.start(**environment)
    while (await stage.page()).total("resilience_evaluations_total", result="evaluated") < policies:
        if time.monotonic() - began > PATIENCE:
            return float("inf")
        await asyncio.sleep(0.2)
    return time.monotonic() - began


async def applied_and_deleted(stage: Stage, members: list[Member], interval: float, others: int) -> tuple[float, float]:
    """Apply policies at once, until all are Ready; delete them, until the operator knows of none."""
    async with Readiness.watching(stage) as readiness:
        began = time.monotonic()
        await stage.guard(members, interval)
        ready = await readiness.until({m.name for m in members})
        applied = time.monotonic() - began if ready else float("inf")
    return applied, await deleted(stage, members, others)


async def deleted(stage: Stage, members: list[Member], others: int) -> float:
    """Delete policies, until the operator knows of the others alone."""
    began = time.monotonic()
    await for_all(members, lambda m: stage.api.call("DELETE", m.policy_path))
    while (await stage.page()).total("resilience_policies") > others:
        if time.monotonic() - began > PATIENCE:
            return float("inf")
        await asyncio.sleep(0.1)
    return time.monotonic() - began
