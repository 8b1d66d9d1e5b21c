"""Ten thousand calls that fail, in every way a connection can, and not one socket is left behind."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience_operator.kube.client.client import KubeClient
from resilience_operator.resilience import CallError, Deadline, RetryPolicy
from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.prometheus.source import PrometheusSource
from tests.cluster import kubeconfig
from tests.support.operator import free_port
from tests.support.proxy import Proxy, faults

CALLS = 10_000
AT_ONCE = 20


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy in front of nothing: a call that is forwarded is refused."""
    with Proxy(f"http://127.0.0.1:{free_port()}", free_port()) as found:
        chance = random.Random(3).random
        found.add(faults.reset(), share=0.1, random=chance)
        found.add(faults.answer(200, '{"status": "succ'), share=0.1, random=chance)
        found.add(faults.answer(429, retry_after=1), share=0.1, random=chance)
        found.add(faults.big(1 << 20, b"{"), share=0.01, random=chance)
        found.add(faults.answer(409), share=0.1, random=chance)
        found.add(faults.reset(after=True), share=0.1, random=chance)
        found.add(faults.answer(500))
        yield found


def sockets() -> int:
    """Sockets that this process has open."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue  # it was the listing's own
    return count


async def fail(call: object, times: int) -> int:
    """Call so often; how often it failed."""
    admission = asyncio.Semaphore(AT_ONCE)

    async def once() -> int:
        async with admission:
            try:
                await call()  # type: ignore[operator]
            except CallError:
                return 1
            return 0

    return sum(await asyncio.gather(*(once() for _ in range(times))))


async def settled(before: int) -> int:
    """How many sockets there are once closed ones have had a moment to go."""
    for _ in range(100):
        gc.collect()
        if sockets() <= before:
            break
        await asyncio.sleep(0.1)
    return sockets()


async def test_calls_to_the_api_server(proxy: Proxy, tmp_path: Path) -> None:
    file = kubeconfig.write_kubeconfig(tmp_path / "kubeconfig", proxy.url, b"", token="t")
    before = sockets()
    async with KubeClient.connect(file, retry=RetryPolicy(attempts=1)) as kube:

        async def call() -> object:
            return await kube.get("/api/v1/namespaces/none", deadline=Deadline.after(10))

        assert await fail(call, CALLS) == CALLS
        # What is kept open for the next call, at both its ends, and no more.
        assert sockets() - before <= 2 * AT_ONCE
    proxy.cut_all()
    assert await settled(before) <= before
    assert len(proxy.log) == CALLS


async def test_calls_to_prometheus(proxy: Proxy) -> None:
    before = sockets()
    source = PrometheusSource(SourceConfig(name="broken", url=proxy.url, concurrency=4, max_answer_bytes=64 << 10))

    async def call() -> object:
        return await source.query("up", deadline=Deadline.after(60))

    try:
        assert await fail(call, CALLS) == CALLS
        assert sockets() - before <= 2 * AT_ONCE
    finally:
        await source.close()
    proxy.cut_all()
    assert await settled(before) <= before
    assert len(proxy.log) == CALLS
