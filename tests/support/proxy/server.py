"""The proxy itself: a thread with an event loop of its own, so that a test may block while it serves."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from tests.support.proxy.exchange import LOST, Exchange
from tests.support.proxy.rules import Asked, Fault, Rule

T = TypeVar("T")

MOST_KEPT = 100_000
"""Entries of the log; older ones are dropped."""


@dataclass(frozen=True, slots=True)
class Passed:
    """One request that went through. at: seconds on the monotonic clock, when it came in.

    status: what the asker got; reached: what the real server answered; LOST (0) where there was none.
    fault: the name of the rule that harmed it, or empty.
    """

    at: float
    asked: Asked
    status: int
    reached: int
    fault: str


class Proxy:
    """Serves `upstream` on loopback. With `tls`, it serves TLS; `trust` verifies an upstream that does."""

    def __init__(
        self, upstream: str, port: int, *, tls: ssl.SSLContext | None = None, trust: ssl.SSLContext | None = None
    ) -> None:
        self.upstream = upstream.rstrip("/")
        self.port = port
        self.log: deque[Passed] = deque(maxlen=MOST_KEPT)
        self._tls = tls
        self._trust = trust
        self._rules: list[Rule] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {port}", daemon=True)
        self._session: aiohttp.ClientSession | None = None
        self._server: web.Server[web.BaseRequest] | None = None
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return self.at("127.0.0.1")

    def at(self, host: str) -> str:
        """Its address under another name of loopback."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._do(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def add(self, fault: Fault, method: str = "", path: str = "", **options: Any) -> Rule:
        """Harm the requests that a new `Rule` meets; rules are asked in the order in which they were added."""
        rule = Rule(fault, method, path, **options)
        self._rules = [*self._rules, rule]
        return rule

    def remove(self, *rules: Rule) -> None:
        """Harm no more by these."""
        self._rules = [r for r in self._rules if not any(r is gone for gone in rules)]

    def clear(self) -> None:
        """Harm nothing any more."""
        self._rules = []

    def seen(self, wanted: Callable[[Passed], bool] = lambda _: True) -> list[Passed]:
        """What went through, oldest first."""
        return [p for p in self.log.copy() if wanted(p)]

    def close_door(self) -> None:
        """Be away: connections are refused, and those that are open are lost."""
        self._do(self._close_door())

    def open_door(self) -> None:
        """Be there again, on the same port."""
        self._do(self._listen())

    def cut_all(self) -> None:
        """Lose every open connection, idle ones and watches among them."""
        self._do(self._cut_all())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _begin(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._trust or True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._session._retry_connection = False  # what goes through once must be asked once
        self._server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(self._server)
        await self._runner.setup()
        await self._listen()

    async def _end(self) -> None:
        await self._cut_all()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _listen(self) -> None:
        assert self._runner is not None
        if self._site is None:
            self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True)
            await self._site.start()

    async def _close_door(self) -> None:
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()
        await self._cut_all()

    async def _cut_all(self) -> None:
        assert self._server is not None
        for connection in list(self._server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._session is not None
        at = time.monotonic()
        asked = Asked(request.method, request.path, dict(request.query), await request.read())
        rule = next((r for r in self._rules if r.takes(asked)), None)
        exchange = Exchange(request, asked, self._session, self.upstream)
        try:
            return await (exchange.pass_on() if rule is None else rule.fault(exchange))
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            exchange.status = LOST
            return exchange.cut()
        finally:
            name = rule.name or "fault" if rule is not None else ""
            self.log.append(Passed(at, asked, exchange.status, exchange.reached, name))
