"""Server-sent events: a bounded number of clients, and nothing at all while there are none.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

MAX_CLIENTS = 20
"""Clients that are served at once. Further ones are told to ask now and then."""

TICK = 2.0
"""Seconds between two looks at what a client looks at."""

TIMEOUT = 10.0
"""Seconds that a client may take to read. After as many without news it is sent a sign of life."""

LONGEST = 600.0
"""Seconds after which a stream ends. The browser asks again, and so its right to is checked again."""

Changed = Callable[[], Awaitable[str | None]]
"""What there is to see, as JSON; None when that is what was told last."""


class EventStream:
    """Everyone who is looking now."""

    def __init__(self) -> None:
        self.clients = 0
        self._ending = asyncio.Event()

    def end(self) -> None:
        """The process ends: let everybody go."""
        self._ending.set()

    async def follow(self, request: web.Request, changed: Changed) -> web.StreamResponse:
        """Tell a client whatever changes, for as long as it listens."""
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
        told = -TIMEOUT
        end = loop.time() + LONGEST
        while not self._ending.is_set() and loop.time() < end:
            text = await changed()
            if text is not None or loop.time() - told >= TIMEOUT:
                async with asyncio.timeout(TIMEOUT):
                    await response.write(f"data: {text}\n\n".encode() if text is not None else b": here\n\n")
                told = loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._ending.wait()
