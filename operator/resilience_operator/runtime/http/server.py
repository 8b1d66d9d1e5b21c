"""HTTP endpoints: probes and metrics on one port, the dashboard on another, or all of them on one port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from resilience_operator.resilience import CallError
from resilience_operator.runtime.dashboard.routes import Dashboard
from resilience_operator.runtime.http.access import Access, Reviewer
from resilience_operator.runtime.http.connections import ConnectionLimits, Connections
from resilience_operator.runtime.http.health import Check, Health
from resilience_operator.runtime.http.hosts import AllowedHosts

log = logging.getLogger(__name__)

END_TIME = 5.0
"""Seconds to finish responses when the process stops."""

PROBES = frozenset({"/healthz", "/readyz"})
"""Served without authentication: they show only the names of checks, and the kubelet has no token."""

METRICS = "/metrics"

DASHBOARD = "/dashboard"
"""The path that an account must be allowed to get in order to use the dashboard. The dashboard's own paths do not work:
the role system:discovery allows every account to get /api/*."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What is served, and to whom.

    port: for probes and metrics; 0 disables everything.
    dashboard_port: for the dashboard; the same number serves all on one port.
    hosts: host names under which the dashboard is served.
    reviewer: checks access to metrics and dashboard; None allows everybody.
    """

    health: Health
    listen: str
    port: int
    dashboard: Dashboard | None = None
    dashboard_port: int = 0
    hosts: AllowedHosts = field(default_factory=lambda: AllowedHosts(()))
    reviewer: Reviewer | None = None
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports in use."""
        if not self.port:
            return ()
        separate = self.dashboard is not None and self.dashboard_port not in (0, self.port)
        return (self.port, self.dashboard_port) if separate else (self.port,)


@asynccontextmanager
async def serve(endpoints: Endpoints) -> AsyncIterator[tuple[int, ...]]:
    """Serve until the block ends; yields the ports."""
    async with AsyncExitStack() as stack:
        for port in endpoints.ports:
            app = web.Application(client_max_size=1)
            if port == endpoints.port:
                app.add_routes(_Metrics(endpoints.health).routes())
            if endpoints.dashboard is not None and port == endpoints.dashboard_port:
                endpoints.dashboard.attach(app)
            await stack.enter_async_context(_listening(app, endpoints, port))
        yield endpoints.ports


@asynccontextmanager
async def _listening(app: web.Application, endpoints: Endpoints, port: int) -> AsyncIterator[None]:
    limits = endpoints.limits
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=END_TIME, keepalive_timeout=limits.idle, lingering_time=0.0
    )
    connections = Connections(lambda: _protocol(runner), limits)
    app.middlewares.append(_bounded(connections))
    app.middlewares.append(_guarded(endpoints.hosts, endpoints.reviewer))
    await runner.setup()
    server = None
    try:
        server = await asyncio.get_running_loop().create_server(
            connections, endpoints.listen, port, reuse_address=True, backlog=128
        )
        yield
    finally:
        if server is not None:
            server.close()
        await runner.cleanup()


def _protocol(runner: web.AppRunner) -> asyncio.Protocol:
    assert runner.server is not None
    return runner.server()


def _bounded(connections: Connections) -> Middleware:
    """Report request start and end to the connections. Refuse anything but a plain GET or HEAD before reading it."""

    @web.middleware
    async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = connections.of(request)
        if connection is not None:
            connection.begin()
        try:
            if request.method not in ("GET", "HEAD"):
                return _refused(405, "only GET and HEAD are answered")
            if request.body_exists:
                return _refused(413, "a request has no body here")
            return await handler(request)
        finally:
            if connection is not None:
                connection.end()

    return bounded


def _guarded(hosts: AllowedHosts, reviewer: Reviewer | None) -> Middleware:
    """Refuse requests with an unknown host name or without access to the path."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else ""
        if path in PROBES:
            return await handler(request)
        if path != METRICS and not _names_us(request, hosts):
            return _refused(421, "this name is not served here: add it to dashboard_hosts")
        if (
            path
            and reviewer is not None
            and (refusal := await _refusal(request, reviewer, METRICS if path == METRICS else DASHBOARD)) is not None
        ):
            return refusal
        return await handler(request)

    return guarded


def _names_us(request: web.Request, hosts: AllowedHosts) -> bool:
    named = request.headers.getall("Host", [])
    return len(named) == 1 and hosts.allows(named[0])


async def _refusal(request: web.Request, reviewer: Reviewer, path: str) -> web.Response | None:
    try:
        access = await reviewer.check(request.headers.get("Authorization", ""), path)
    except CallError as error:
        log.warning("cannot check access to %s: %s", path, error)
        return _refused(503, "access cannot be checked now")
    if access is Access.ALLOWED:
        return None
    refused = _refused(access.value, "a bearer token of an account that may get this path is needed")
    if access is Access.UNAUTHENTICATED:
        refused.headers["WWW-Authenticate"] = "Bearer"
    return refused


def _refused(status: int, why: str) -> web.Response:
    response = web.Response(status=status, text=f"{why}\n")
    response.force_close()
    return response


class _Metrics:
    """Serves probes and metrics."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._encoding = asyncio.Lock()
        self._pages: dict[str, asyncio.Task[bytes]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz), web.get(METRICS, self._metrics)]

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(self._health.live)

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._health.ready)

    async def _metrics(self, request: web.Request) -> web.Response:
        """Serve metrics in the requested format. Only OpenMetrics carries exemplars."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        page = self._pages.get(content_type)
        if page is None:
            page = self._pages[content_type] = asyncio.create_task(self._page(content_type, encode))
        return web.Response(body=await asyncio.shield(page), headers={"Content-Type": content_type})

    async def _page(self, content_type: str, encode: Callable[..., bytes]) -> bytes:
        """Render one page at a time; requests that arrive meanwhile share the next one."""
        async with self._encoding:
            del self._pages[content_type]
            # In a thread: collecting 10,000 policies takes tens of milliseconds, which must not delay evaluations.
            return await asyncio.to_thread(encode, REGISTRY)


def _answer(checks: dict[str, Check]) -> web.Response:
    failing = Health.failing(checks)
    body = {"status": "failing" if failing else "ok", "checks": {name: failing.get(name, "ok") for name in checks}}
    return web.json_response(body, status=503 if failing else 200)
