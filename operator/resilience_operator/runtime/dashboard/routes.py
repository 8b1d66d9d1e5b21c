"""HTTP routes of the dashboard. All answer GET, and all links are relative, so any proxy prefix works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from resilience_operator.decision.model.target import TargetState
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, TargetKey
from resilience_operator.runtime.dashboard.policy_detail import PolicyDetail, span_of
from resilience_operator.runtime.dashboard.policy_list import PolicyList, Search
from resilience_operator.runtime.dashboard.row_cache import Owns
from resilience_operator.runtime.dashboard.sse import Changed, EventStream
from resilience_operator.runtime.telemetry.recorded_history import RecordedHistory

STATIC = Path(__file__).parent / "static"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Security headers of every response on this port: scripts and styles only from files, no framing."""

REFRESH = 10.0
"""Seconds after which the explanation is refreshed, because it contains relative times."""


class Dashboard:
    """Serves the dashboard's pages and data."""

    def __init__(
        self,
        store: PolicyCache,
        owns: Owns,
        target: Callable[[TargetKey], TargetState | None],
        clock: Callable[[], float],
        recorded: RecordedHistory | None = None,
    ) -> None:
        self._list = PolicyList(store, owns)
        self._detail = PolicyDetail(store, owns, target, clock, recorded)
        self._stream = EventStream()

    def attach(self, app: web.Application) -> None:
        """Register the routes in an application."""
        app.add_routes(
            [
                web.get("/", _file("index.html")),
                web.get("/policy", _file("policy.html")),
                web.static("/static", STATIC),
                web.get("/api/policies", self._policies),
                web.get("/api/policy", self._policy),
                web.get("/events/policies", self._policies_stream),
                web.get("/events/policy", self._policy_stream),
            ]
        )
        app.on_response_prepare.append(_secure)
        app.on_shutdown.append(self._end)

    async def _end(self, _: web.Application) -> None:
        self._stream.end()

    async def _policies(self, request: web.Request) -> web.Response:
        return web.json_response(await self._list.page(_search(request)), dumps=_dumps)

    async def _policies_stream(self, request: web.Request) -> web.StreamResponse:
        search, sent = _search(request), ""

        async def changed() -> str | None:
            nonlocal sent
            text = _dumps(await self._list.page(search))
            if text == sent:
                return None
            sent = text
            return text

        return await self._stream.follow(request, changed)

    async def _policy(self, request: web.Request) -> web.Response:
        entry = self._named(request)
        if entry is None:
            return web.json_response(None, status=404)
        return web.json_response(self._detail.document(entry, _span(request)), dumps=_dumps)

    async def _policy_stream(self, request: web.Request) -> web.StreamResponse:
        return await self._stream.follow(request, self._watch(request))

    def _watch(self, request: web.Request) -> Changed:
        """Return a change detector for one policy. It yields `null` if no policy has that name."""
        loop = asyncio.get_running_loop()
        entry: PolicyEntry | None = None
        version: object = None
        due = 0.0
        span = _span(request)

        async def changed() -> str | None:
            nonlocal entry, version, due
            if entry is None or entry.deleted:
                entry = self._named(request)
            now = self._detail.version(entry, span) if entry is not None else "none"
            if now == version and (entry is None or loop.time() < due):
                return None
            version, due = now, loop.time() + REFRESH
            return _dumps(None if entry is None else self._detail.document(entry, span))

        return changed

    def _named(self, request: web.Request) -> PolicyEntry | None:
        return self._detail.find(request.query.get("namespace", ""), request.query.get("name", ""))


def _span(request: web.Request) -> float:
    return span_of(request.query.get("hours", ""))


def _search(request: web.Request) -> Search:
    query = request.query
    return Search.of(query.get("q", ""), query.get("state", ""), query.get("page", ""))


def _file(name: str) -> Callable[[web.Request], Any]:
    async def answer(_: web.Request) -> web.FileResponse:
        return web.FileResponse(STATIC / name)

    return answer


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _dumps(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
