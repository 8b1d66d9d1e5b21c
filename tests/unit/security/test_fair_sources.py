"""No namespace takes a metric source from the others: a real HTTP server that is as slow as its queries are heavy."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from resilience_operator.decision.model.observation import Observation
from resilience_operator.resilience.breaker import State
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.prometheus.source import PrometheusSource
from resilience_operator.signals.query.breakers import SourceBreakers
from resilience_operator.signals.query.query_seconds import QuerySeconds
from resilience_operator.signals.query.slots import FairSlots
from resilience_operator.signals.sources.registry import SourceRegistry
from tests.support.observed import observed

LONG = 167 * 3600
BEATS = 3


class Server:
    """Answers every query with one series, after as many seconds as `cost` says."""

    def __init__(self, cost: Callable[[str], float]) -> None:
        self.cost = cost
        self.asked: list[str] = []
        self.under_way: list[str] = []
        self.most_heavy = 0

    async def answer(self, request: web.Request) -> web.Response:
        query = str((await request.post())["query"])
        self.asked.append(query)
        self.under_way.append(query)
        self.most_heavy = max(self.most_heavy, sum(self.cost(one) > 0.1 for one in self.under_way))
        try:
            await asyncio.sleep(self.cost(query))
        finally:
            self.under_way.remove(query)
        parts = re.findall(r'"part", "(\w+)"', query) or [""]
        result = [
            {
                "metric": {"namespace": "tenant-b", "owner": "web-1"} | ({"part": part} if part else {}),
                "value": [time.time(), "1"],
            }
            for part in parts
        ]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


class Stage:
    """A collector with its breakers on one server."""

    def __init__(self, server: Server, port: int, **config: object) -> None:
        self.server = server
        self.source = PrometheusSource(
            SourceConfig.model_validate({"name": "default", "url": f"http://127.0.0.1:{port}", **config})
        )
        self.breakers = SourceBreakers()
        self.results: list[str] = []
        self.collector = SignalCollector(
            SourceRegistry({"default": self.source}),
            breakers=self.breakers,
            on_custom=lambda source, result: self.results.append(result),
        )

    async def look(self, *requests: SignalRequest, seconds: float = 4.0) -> list[Observation]:
        return await observed(self.collector, requests, now=time.time(), deadline=Deadline.after(seconds))


@pytest.fixture
async def stage() -> AsyncIterator[Callable[..., Stage]]:
    runners: list[web.AppRunner] = []
    stages: list[Stage] = []

    async def start(cost: Callable[[str], float], **config: object) -> Stage:
        server = Server(cost)
        app = web.Application()
        app.router.add_post("/api/v1/query", server.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        runners.append(runner)
        stages.append(Stage(server, runner.addresses[0][1], **config))
        return stages[-1]

    yield start
    for one in stages:
        await one.collector.close()
        await one.source.close()
    for runner in runners:
        await runner.cleanup()


def ask(namespace: str, name: str, **signal: object) -> SignalRequest:
    return SignalRequest(namespace, "web", "Deployment", {"web-1": "1"}, Signal(name, **signal))  # type: ignore[arg-type]


NEIGHBOUR = ask("tenant-b", "cpu", preset="cpu")


def heavy_by_window(query: str) -> float:
    windows = [int(number) for number in re.findall(r"\[(\d+)s", query)]
    return 30.0 if max(windows, default=0) > 1000 else 0.02


async def test_long_windows_of_presets_take_the_source_from_nobody(stage: Callable[..., Stage]) -> None:
    """64 windows, each of which the source cannot answer in time."""
    found = await stage(heavy_by_window, read_timeout_seconds=1.0)
    attack = [ask("tenant-a", f"s{n}", preset="cpu", window_seconds=LONG + n) for n in range(64)]
    for _ in range(BEATS):
        attacking = asyncio.create_task(found.look(*attack))
        await asyncio.sleep(0.2)
        [cpu] = await found.look(NEIGHBOUR)
        assert cpu.measured, cpu.message
        assert found.breakers.all["default"].state is State.CLOSED
        attacked = await attacking
        assert {o.reason for o in attacked} <= {"SourceTimedOut", "SourceBusy"}
    assert found.server.most_heavy <= 2, "half of the places"
    assert all('namespace="tenant-a"' in query for query in found.server.asked if heavy_by_window(query) > 1)


async def test_windows_of_presets_are_few(stage: Callable[..., Stage]) -> None:
    """Whatever authors write, the fleet-wide queries are of six windows."""
    found = await stage(lambda query: 0.0)
    requests = [ask("tenant-a", f"s{n}", preset="cpu", window_seconds=1 + n * 9.36) for n in range(64)]
    assert all(o.reason == "NoData" for o in await found.look(*requests))
    # One for the signal, one a minute for the containers without a request, and one for the interval of the scrapes.
    assert len(found.server.asked) == 2 * 6 + 1
    assert {int(n) for query in found.server.asked for n in re.findall(r"\[(\d+)s\]", query)} == {
        10, 30, 60, 120, 300, 600,
    }  # fmt: skip


async def test_own_queries_of_one_namespace_leave_places_to_others(stage: Callable[..., Stage]) -> None:
    """64 queries that are heavy and never time out, beside a query of 20 ms: it is answered at every beat."""
    found = await stage(lambda query: 0.6 if "heavy" in query else 0.02)
    attack = [ask("tenant-a", f"s{n}", query=f"heavy + {n}") for n in range(64)]
    light = ask("tenant-b", "light", query="light")
    for _ in range(BEATS):
        attacking = asyncio.create_task(found.look(*attack, seconds=6.0))
        await asyncio.sleep(0.2)
        [own, cpu] = await found.look(light, NEIGHBOUR)
        assert own.measured, own.message
        assert cpu.measured, cpu.message
        attacked = await attacking
        # What was never sent is told as that.
        waited = [o for o in attacked if not o.measured]
        assert waited
        assert {o.reason for o in waited} == {"SourceBusy"}
        assert "waited too long for a free slot" in waited[0].message
    assert found.server.most_heavy <= 2, "half of the places"
    assert "busy" in found.results


async def test_a_query_that_was_never_sent_is_not_punished(stage: Callable[..., Stage]) -> None:
    found = await stage(lambda query: 3.0 if "heavy" in query else 0.02, concurrency=1)
    light = ask("tenant-b", "light", query="light")
    for _ in range(4):  # more than a query may time out before it rests
        attacking = asyncio.create_task(found.look(ask("tenant-a", "own", query="heavy"), seconds=3.9))
        while not found.server.under_way:
            await asyncio.sleep(0.01)
        [own] = await found.look(light, seconds=0.3)
        assert own.reason == "SourceBusy"
        attacking.cancel()
        await asyncio.wait([attacking])
        while found.server.under_way:
            await asyncio.sleep(0.01)
    assert found.breakers.all["default"].stats.failed == 0
    [own] = await found.look(light)
    assert own.measured, own.message


async def test_query_seconds_have_a_budget(stage: Callable[..., Stage]) -> None:
    found = await stage(lambda query: 0.3 if "heavy" in query else 0.02, query_seconds_per_minute=1.0)
    heavy = [ask("tenant-a", f"s{n}", query=f"heavy + {n}") for n in range(12)]
    attacked = await found.look(*heavy, seconds=10.0)
    spent = [o for o in attacked if o.reason == "QueryBudgetSpent"]
    assert spent
    budget = "namespace tenant-a have used their 1 query seconds per minute at metric source 'default' and resume in "
    assert budget in spent[0].message
    asked = len(found.server.asked)
    assert asked < 8
    assert {o.reason for o in await found.look(*heavy)} == {"QueryBudgetSpent"}
    assert len(found.server.asked) == asked, "nothing is sent until a part of the budget is there again"
    [own, cpu] = await found.look(ask("tenant-b", "own", query="light"), NEIGHBOUR)
    assert own.measured
    assert cpu.measured
    assert set(found.results) == {"sent", "throttled"}


async def test_too_many_series_are_told(stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    found = await stage(lambda query: 0.0)
    monkeypatch.setattr("resilience_operator.signals.query.client.MAX_SERIES", 0)
    [own] = await found.look(ask("tenant-b", "own", query="light"))
    assert own.reason == "BadAnswer"
    assert "it must return one series, or one per pod" in own.message


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_budget_comes_back_with_time() -> None:
    clock = Clock()
    seconds = QuerySeconds(60.0, clock)
    seconds.spend("a", 59.0)
    assert seconds.wait("a") == 0
    seconds.spend("a", 3.0)
    assert seconds.wait("a") == pytest.approx(17.0)
    assert seconds.wait("b") == 0
    clock.now += 16.9
    assert seconds.wait("a") > 0
    clock.now += 0.2
    assert seconds.wait("a") == 0
    seconds.spend("a", 1.0)
    assert seconds.wait("a") == 0, "a quarter of the budget is free"


def test_namespaces_that_owe_nothing_are_forgotten() -> None:
    clock = Clock()
    seconds = QuerySeconds(60.0, clock)
    for number in range(5000):
        seconds.spend(f"n{number}", 0.1)
        clock.now += 0.01
    assert len(seconds._spent) <= 1001


class TestFairSlots:
    async def test_namespaces_take_turns(self) -> None:
        slots, order = FairSlots(1, 1), []

        async def work(namespace: str, number: int) -> None:
            async with slots.acquire(namespace):
                order.append(f"{namespace}{number}")
                await asyncio.sleep(0)

        await asyncio.gather(*(work("a", n) for n in range(4)), *(work("b", n) for n in range(2)), work("c", 0))
        assert order == ["a0", "a1", "b0", "c0", "a2", "b1", "a3"]

    async def test_one_that_gives_up_leaves_no_trace(self) -> None:
        slots = FairSlots(2, 1)
        async with slots.acquire("a"):
            waiting = [asyncio.create_task(slots.acquire("a").__aenter__()) for _ in range(3)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            async with slots.acquire("b"):
                pass
        assert not slots._queues
        assert not slots._held
        async with slots.acquire("a"), slots.acquire("b"):
            pass

    async def test_a_namespace_has_no_more_than_its_share(self) -> None:
        slots, running, most = FairSlots(3, 2), {"a": 0, "b": 0}, {"a": 0, "b": 0}

        async def work(namespace: str) -> None:
            async with slots.acquire(namespace):
                running[namespace] += 1
                most[namespace] = max(most[namespace], running[namespace])
                assert sum(running.values()) <= 3
                await asyncio.sleep(0.001)
                running[namespace] -= 1

        await asyncio.gather(*(work("a") for _ in range(20)), *(work("b") for _ in range(20)))
        assert most == {"a": 2, "b": 2}
