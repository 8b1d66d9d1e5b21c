"""The HTTP endpoints on real sockets: who is answered, and what clients that only wait may cost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.dashboard.routes import Dashboard
from resilience_operator.runtime.http.connections import ConnectionLimits
from resilience_operator.runtime.http.health import Health
from resilience_operator.runtime.http.hosts import AllowedHosts, service_names
from resilience_operator.runtime.http.server import Endpoints, serve
from tests.support.operator import free_port

NAMES = service_names("resilience-operator", "resilience-system")


def endpoints(**more: Any) -> Endpoints:
    dashboard = Dashboard(PolicyCache(), lambda _: True, lambda _: None, lambda: 0.0)
    given = {"port": free_port(), "dashboard_port": free_port(), "hosts": AllowedHosts(NAMES), **more}
    return Endpoints(Health(), "127.0.0.1", dashboard=dashboard, **given)


@asynccontextmanager
async def served(**more: Any) -> AsyncIterator[Endpoints]:
    found = endpoints(**more)
    async with serve(found):
        yield found


async def ask(port: int, head: str, *, source: str = "127.0.0.1") -> str:
    """What comes back on a connection of its own, whose head of a request is this; empty when it is closed."""
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
            writer.write(head.replace("\n", "\r\n").encode())
            text = (await reader.read()).decode()
            writer.close()
            return text
    except ConnectionError:
        return ""


async def get(port: int, path: str, host: str = "127.0.0.1", more: str = "", **where: str) -> int:
    """The status of an answer; 0 when there is none."""
    answer = await ask(port, f"GET {path} HTTP/1.1\nHost: {host}\nConnection: close\n{more}\n", **where)
    return int(answer.split()[1]) if answer else 0


PAGES = ("/", "/policy", "/static/policy.js", "/api/policies", "/api/policy", "/events/policies", "/events/policy")
REBOUND = (
    "rebound.evil.example:8081",
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "resilience-operator.resilience-system.svc.evil.example",
    "resilience-operator.evil",
    "evil@127.0.0.1",
    "127.0.0.1#.evil.example",
    "127.0.0.1 evil.example",
    "0x7f.1",
    "",
)


@pytest.mark.parametrize("host", REBOUND)
async def test_a_name_that_is_not_ours_is_shown_nothing(host: str) -> None:
    async with served() as found:
        statuses = {await get(found.dashboard_port, page, host) for page in PAGES}
    assert statuses <= {400, 421}


async def test_two_host_headers_are_one_too_many() -> None:
    async with served() as found:
        assert await get(found.dashboard_port, "/api/policies", more="Host: evil.example\n") in (400, 421)
        answer = await ask(found.dashboard_port, "GET /api/policies HTTP/1.0\n\n")
    assert " 421 " in answer.splitlines()[0], "an HTTP/1.0 client that names no host"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]:8081", "10.1.2.3:8081", "localhost:9", "LOCALHOST.", *NAMES, "dash.example.org"]
)
async def test_addresses_and_names_of_ours_are_answered(host: str) -> None:
    async with served(hosts=AllowedHosts((*NAMES, "dash.example.org"))) as found:
        assert await get(found.dashboard_port, "/api/policies", host) == 200


async def test_any_name_where_that_is_configured() -> None:
    async with served(hosts=AllowedHosts(["*"])) as found:
        assert await get(found.dashboard_port, "/api/policies", "evil.example") == 200


def test_a_short_service_name_that_could_be_a_site_is_none_of_ours() -> None:
    assert "resilience-operator.dev" not in service_names("resilience-operator", "dev")
    assert "resilience-operator.resilience-system" in NAMES


async def test_probes_and_metrics_are_on_a_port_of_their_own() -> None:
    async with served() as found:
        assert [await get(found.port, path) for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        assert [await get(found.port, page) for page in PAGES] == [404] * len(PAGES)
        assert [await get(found.dashboard_port, path) for path in ("/healthz", "/readyz", "/metrics")] == [404] * 3


async def test_all_on_one_port_where_that_is_configured() -> None:
    port = free_port()
    async with served(port=port, dashboard_port=port) as found:
        assert found.ports == (port,)
        assert [await get(port, path) for path in ("/healthz", "/metrics", "/", "/api/policies")] == [200] * 4
        assert await get(port, "/api/policies", "evil.example") == 421
        assert await get(port, "/healthz", "evil.example") == 200, "the kubelet may have another name for us"


async def test_no_endpoints_at_all() -> None:
    async with served(port=0) as found:
        assert found.ports == ()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "X"])
async def test_only_reading_is_answered(method: str) -> None:
    async with served() as found:
        answer = await ask(found.port, f"{method} /metrics HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n")
    assert answer.split()[1] in ("400", "405")


async def test_a_body_is_refused_unread() -> None:
    async with served() as found:
        for body in ("Content-Length: 1000000000", "Transfer-Encoding: chunked"):
            answer = await ask(found.dashboard_port, f"GET / HTTP/1.1\nHost: 127.0.0.1\n{body}\n\nabc")
            assert answer.split()[1] in ("400", "413")


async def test_half_a_head_is_given_up() -> None:
    async with served(limits=ConnectionLimits(head=0.3)) as found:
        for port in found.ports:
            for head in ("", "GET /metrics HTTP/1.1\nHost: 127", "GET /metrics HTTP/1.1\nX-Slow: "):
                answer = await ask(port, head)
                assert " 408 " in answer.splitlines()[0]


async def test_a_head_that_drips_is_given_up() -> None:
    async with served(limits=ConnectionLimits(head=0.3)) as found:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
        writer.write(b"GET / HTTP/1.1\r\n")
        ended = asyncio.create_task(reader.read())
        async with asyncio.timeout(10):
            while not ended.done():
                writer.write(b"X: 1\r\n")
                await asyncio.sleep(0.05)
        assert isinstance(ended.exception(), ConnectionError) or b" 408 " in ended.result()
        writer.close()


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with served(limits=ConnectionLimits(idle=0.3)) as found:
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(one, ("127.0.0.1", found.port))
            many = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 5_000
            sending = asyncio.create_task(loop.sock_sendall(one, many))
            async with asyncio.timeout(60):
                # Not one byte of the answers is taken from the socket: what is left of it is the reset.
                while not one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    await asyncio.sleep(0.05)
            sending.cancel()


async def test_a_connection_that_is_kept_is_closed_when_nothing_comes() -> None:
    async with served(limits=ConnectionLimits(idle=0.3)) as found:
        answer = await ask(found.port, "GET /healthz HTTP/1.1\nHost: 127.0.0.1\n\n")
    assert " 200 " in answer.splitlines()[0]


async def test_a_connection_is_kept_for_further_requests() -> None:
    async with served() as found:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            length = next(
                int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")
            )
            await reader.readexactly(length)
            assert b" 200 " in head
        writer.close()


def is_open(one: socket.socket) -> bool:
    try:
        return one.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-More: "])
async def test_two_thousand_idle_connections_cost_a_bounded_number_and_hold_nobody_up(sent: bytes) -> None:
    limits = ConnectionLimits(head=600.0)
    loop = asyncio.get_running_loop()
    async with served(limits=limits) as found:
        for port in found.ports:
            with ExitStack() as stack:
                idle: list[socket.socket] = []
                for number in range(2000):
                    one = stack.enter_context(socket.socket())
                    one.setblocking(False)
                    one.bind((f"127.0.1.{number % 50 + 1}", 0))
                    await loop.sock_connect(one, ("127.0.0.1", port))
                    if sent:
                        await loop.sock_sendall(one, sent)
                    idle.append(one)
                    if number % 500 == 499:
                        path = "/healthz" if port == found.port else "/api/policies"
                        assert await get(port, path) == 200, f"beside {number + 1} idle connections"
                async with asyncio.timeout(30):
                    while sum(map(is_open, idle)) > limits.connections:
                        await asyncio.sleep(0.05)


async def test_one_address_does_not_take_the_places_of_others() -> None:
    limits = ConnectionLimits(head=600.0)
    async with served(limits=limits) as found:
        with ExitStack() as stack:
            loop = asyncio.get_running_loop()
            early = stack.enter_context(socket.socket())
            early.setblocking(False)
            early.bind(("127.0.1.1", 0))
            await loop.sock_connect(early, ("127.0.0.1", found.port))
            many: list[socket.socket] = []
            for _ in range(1000):
                one = stack.enter_context(socket.socket())
                one.setblocking(False)
                one.bind(("127.0.1.2", 0))
                await loop.sock_connect(one, ("127.0.0.1", found.port))
                many.append(one)
            async with asyncio.timeout(30):
                while sum(map(is_open, many)) > limits.of_an_address:
                    await asyncio.sleep(0.05)
            assert is_open(early)
            assert await get(found.port, "/healthz", source="127.0.1.2") == 200
