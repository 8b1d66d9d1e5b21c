"""The endpoints on one port: /healthz, /readyz, /metrics, and the dashboard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from resilience_operator.runtime.dashboard.routes import Dashboard
from resilience_operator.runtime.health import Check, Health

HEALTH: web.AppKey[Health] = web.AppKey("health", Health)

END_TIME = 5.0
"""Seconds for answers under way when the process ends."""


def _answer(checks: dict[str, Check]) -> web.Response:
    failing = Health.failing(checks)
    body = {"status": "failing" if failing else "ok", "checks": {name: failing.get(name, "ok") for name in checks}}
    return web.json_response(body, status=503 if failing else 200)


async def _healthz(request: web.Request) -> web.Response:
    return _answer(request.app[HEALTH].live)


async def _readyz(request: web.Request) -> web.Response:
    return _answer(request.app[HEALTH].ready)


async def _metrics(request: web.Request) -> web.Response:
    """As Prometheus asks for them; exemplars are in the OpenMetrics form alone."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    # In a thread: ten thousand policies take tens of milliseconds to count, which no evaluation is to wait for.
    body = await asyncio.to_thread(encode, REGISTRY)
    return web.Response(body=body, headers={"Content-Type": content_type})


@asynccontextmanager
async def serve(health: Health, host: str, port: int, dashboard: Dashboard | None = None) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port, or 0 when turned off."""
    if port == 0:
        yield 0
        return
    app = web.Application()
    app[HEALTH] = health
    app.add_routes([web.get("/healthz", _healthz), web.get("/readyz", _readyz), web.get("/metrics", _metrics)])
    if dashboard is not None:
        dashboard.attach(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=END_TIME)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
        yield port
    finally:
        await runner.cleanup()
