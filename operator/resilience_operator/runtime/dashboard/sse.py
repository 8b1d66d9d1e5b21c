"""Server-sent events for a limited number of clients. Costs nothing without clients.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

MAX_CLIENTS = 20
"""Maximum concurrent clients. Further clients are asked to poll instead."""

TICK = 2.0
"""Seconds between two checks for changes."""

TIMEOUT = 10.0
"""Seconds a client may take to read. After as many seconds without data, a keep-alive is sent."""

LONGEST = 600.0
"""Maximum duration of a stream in seconds. The browser reconnects, which checks its access again."""

Changed = Callable[[], Awaitable[str | None]]
"""Returns the data to send as JSON; None if it equals what was last sent."""


class EventStream:
    """All connected clients."""

    def __init__(self) -> None:
        self.clients = 0
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Disconnect all clients; the process is stopping."""
        self._ending.set()

    async def follow(self, request: web.Request, changed: Changed) -> web.StreamResponse:
        """Send changes to a client until it disconnects or `LONGEST` has passed."""
        if self.clients >= MAX_CLIENTS:
            return web.Response(status=503, text="too many clients: poll instead")
        self.clients += 1
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
            await response.prepare(request)
            with suppress(ConnectionError, TimeoutError):
                await self._notify(response, changed)
            return response
        finally:
            self.clients -= 1

    async def _notify(self, response: web.StreamResponse, changed: Changed) -> None:
        loop = asyncio.get_running_loop()
        last_sent = -TIMEOUT
        end = loop.time() + LONGEST
        while not self._ending.is_set() and loop.time() < end:
            text = await changed()
            if text is not None or loop.time() - last_sent >= TIMEOUT:
                async with asyncio.timeout(TIMEOUT):
                    await response.write(f"data: {text}\n\n".encode() if text is not None else b": here\n\n")
                last_sent = loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._ending.wait()
