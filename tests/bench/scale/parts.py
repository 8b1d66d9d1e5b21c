"""The experiments, in an order in which each leaves the stage as the next one needs it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tests.bench.scale import reaction, window
from tests.bench.scale.crowd import Member
from tests.bench.scale.reaction import Reactions, Sample
from tests.bench.scale.stage import Stage, say
from tests.bench.scale.window import Window

PARTS = ("linear", "start", "cpu", "latency", "burst", "writes", "churn", "custom")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. window, soak: seconds of a measurement, and of the one at the default interval."""

    policies: int
    parts: frozenset[str]
    intervals: tuple[float, ...]
    window: float
    soak: float
    steps: int
    crossing: int
    asking: int
    scrape: float
    peer: int | None = None

    @property
    def small(self) -> int:
        """A tenth, to compare the whole with."""
        return max(1, self.policies // 10)


@dataclass
class Results:
    """What was measured; what is not there was not. Windows by policies and interval, the rest by interval; seconds."""

    plan: Plan
    windows: dict[tuple[int, float], Window] = field(default_factory=dict)
    refused: set[float] = field(default_factory=set)
    first_start: tuple[float, float] | None = None
    """Policies that were never evaluated: until as many evaluations as policies, and until all are Ready."""
    restart: float | None = None
    reactions: dict[float, Reactions] = field(default_factory=dict)
    burst: tuple[float, Reactions] | None = None
    quiet: Window | None = None
    control_plane_alone: float | None = None
    churn: tuple[float, float] | None = None
    custom: Window | None = None


class Experiment:
    """Runs a plan on a stage. results: what is known so far, also when it is broken off."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage, self._plan = stage, plan
        self.results = Results(plan)
        self._sample = Sample(stage.members)
        self._interval = plan.intervals[0]

    async def run(self) -> Results:
        """All parts of the plan."""
        stage, plan = self._stage, self._plan
        some = stage.members[: plan.small]
        rest = stage.members
        if "linear" in plan.parts:
            await self._grow(some)
            await stage.scraped()
            for interval in plan.intervals[:2]:
                if await self._at(some, interval):
                    await self._window(some, interval, plan.window)
            stage.stop()
            await self._at(some, plan.intervals[0])
            rest = stage.members[plan.small :]
        await self._grow(rest)
        if "custom" in plan.parts:
            await stage.controller.make(stage.asking)
        await stage.scraped()
        if "start" in plan.parts:
            await self._first_start({m.name for m in rest})
        for interval in plan.intervals:
            if not await self._at(stage.members, interval):
                continue
            if "cpu" in plan.parts:
                soak = interval == _main(plan)
                await self._window(stage.members, interval, plan.soak if soak else plan.window)
            if "latency" in plan.parts and interval <= 5:
                await self._latency(interval)
            if "burst" in plan.parts and interval == _main(plan):
                await self._burst(interval)
        if {"writes", "churn"} & plan.parts:
            await self._at(stage.members, _main(plan))
        if "churn" in plan.parts:
            await self._churn()
        if "writes" in plan.parts:
            await self._writes()
        if "custom" in plan.parts:
            await self._custom()
        return self.results

    async def _grow(self, members: list[Member]) -> None:
        began = time.monotonic()
        say(f"creating {len(members)} Deployments with a ReplicaSet each …")
        await self._stage.controller.make(members)
        say(f"  {time.monotonic() - began:.0f} s; {len(members)} policies …")
        began = time.monotonic()
        await self._stage.guard(members, self._interval)
        say(f"  {time.monotonic() - began:.0f} s")

    async def _at(self, members: list[Member], interval: float) -> bool:
        """Let policies have an interval; False when they cannot."""
        if interval != self._interval:
            say(f"{len(members)} policies at {interval:g} s …")
            # Ten thousand changes at once are no steady state, and would only make the way to it longer.
            self._stage.stop()
            if not await self._stage.set_interval(members, interval):
                self.results.refused.add(interval)
                return False
            self._interval = interval
        return True

    async def _started(self, policies: int, **environment: str) -> float:
        """Start an operator; seconds until as many evaluations as there are policies."""
        took = await reaction.first_evaluations(self._stage, policies, **environment)
        say(f"  operator {self._stage.pid}: {policies} evaluations after {took:.1f} s")
        return took

    async def _running(self, policies: int) -> None:
        """A running operator in a steady state."""
        if self._stage.operator is None:
            await self._started(policies)
        await self._stage.until_calm()

    async def _first_start(self, names: set[str]) -> None:
        say("first start: no policy of these was ever evaluated")
        async with reaction.Readiness.watching(self._stage) as readiness:
            began = time.monotonic()
            evaluated = await self._started(self._plan.policies)
            done = await readiness.until(names)
            ready = time.monotonic() - began if done else float("inf")
        self.results.first_start = evaluated, ready
        say(f"  all Ready after {ready:.1f} s")

    async def _window(self, members: list[Member], interval: float, seconds: float) -> None:
        stage = self._stage
        await self._running(len(members))
        say(f"{len(members)} policies at {interval:g} s, for {seconds:.0f} s …")
        found = await window.measure(stage, seconds, interval, len(members), self._plan.peer)
        self.results.windows[len(members), interval] = found
        say(
            f"  {found.cores:.3f} core, {found.resident / 1e6:.0f} MB, "
            f"{found.queries_an_interval:.1f} queries an interval, lag p99 {found.lag[1]:.3f} s, "
            f"{found.missed:.0f} missed, control plane {found.control_plane:.3f} core, writes {dict(found.writes)}"
        )

    async def _latency(self, interval: float) -> None:
        plan = self._plan
        await self._running(plan.policies)
        say(f"{plan.steps} policies of {plan.policies} cross, one by one, at {interval:g} s …")
        found = await reaction.one_by_one(self._stage, self._sample.take(plan.steps), interval)
        self.results.reactions[interval] = found
        say(f"  p50 {found.quantile(0.5):.2f} s, p99 {found.quantile(0.99):.2f} s, {found.missing} never")

    async def _burst(self, interval: float) -> None:
        plan = self._plan
        await self._running(plan.policies)
        say(f"{plan.crossing} policies of {plan.policies} cross at once, at {interval:g} s …")
        found = await reaction.together(self._stage, self._sample.take(plan.crossing))
        self.results.burst = interval, found
        say(f"  all patched after {found.quantile(1.0):.2f} s")

    async def _churn(self) -> None:
        stage, plan = self._stage, self._plan
        await self._running(plan.policies)
        members = self._sample.take(plan.crossing)
        say(f"{len(members)} policies applied at once, and deleted …")
        # They had policies before: what is applied now is new to the operator all the same.
        await reaction.deleted(stage, members, plan.policies - len(members))
        self.results.churn = await reaction.applied_and_deleted(
            stage, members, self._interval, plan.policies - len(members)
        )
        say(f"  all Ready after {self.results.churn[0]:.1f} s, all gone after {self.results.churn[1]:.1f} s")
        await stage.guard(members, self._interval)

    async def _writes(self) -> None:
        stage, plan = self._stage, self._plan
        stage.stop()
        self.results.restart = await self._started(plan.policies, RESILIENCE_REFRESH_SECONDS="0")
        await stage.until_calm()
        say(f"no refresh of what is only shown, for {plan.window:.0f} s …")
        found = await window.measure(stage, plan.window, self._interval, plan.policies)
        self.results.quiet = found
        stage.stop()
        say(f"  writes {dict(found.writes)}; the control plane without an operator …")
        self.results.control_plane_alone = alone = await window.control_plane_alone(stage, plan.window)
        say(f"  control plane {found.control_plane:.3f} core with, {alone:.3f} core without")

    async def _custom(self) -> None:
        stage, plan = self._stage, self._plan
        stage.stop()
        await stage.guard(stage.asking, 15.0)
        await stage.start("--namespace", stage.asking[0].namespace)
        await stage.until_calm()
        say(f"{plan.asking} policies with two queries of their own at 15 s, for {plan.window:.0f} s …")
        found = await window.measure(stage, plan.window, 15.0, plan.asking)
        self.results.custom = found
        say(f"  {found.cores:.3f} core, {found.resident / 1e6:.0f} MB, {found.queries / found.seconds:.1f} queries/s")


def _main(plan: Plan) -> float:
    """The interval that is the default for shared signals, or the nearest there is."""
    return min(plan.intervals, key=lambda interval: abs(interval - 5.0))
