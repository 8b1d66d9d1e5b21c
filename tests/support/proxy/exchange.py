"""One request on its way through the proxy, and what can be done with it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from tests.support.proxy.rules import Asked

_HOP = {"host", "connection", "content-length", "transfer-encoding", "keep-alive", "upgrade", "te", "trailer"}
"""Headers that are about one connection (RFC 9110 7.6.1)."""

LOST = 0
"""The status in the log of an exchange whose answer never came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the real server answered, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """A request, the way to the real server, and the connection to whoever asked.

    status: what the asker got, LOST for nothing. reached: the real server's status, LOST when it was never asked.
    """

    def __init__(self, request: web.BaseRequest, asked: Asked, session: aiohttp.ClientSession, upstream: str) -> None:
        self.asked = asked
        self.status = LOST
        self.reached = LOST
        self._request = request
        self._session = session
        self._upstream = upstream

    async def forward(self) -> Answer:
        """Ask the real server, and read all that it answers."""
        async with self._ask() as answer:
            return Answer(answer.status, _carried(answer.headers, encoded=False), await answer.read())

    async def pass_on(
        self, *, cut_after: float | None = None, mute: Callable[[], bool] = lambda: False
    ) -> web.StreamResponse:
        """Ask the real server and hand on what comes, as it comes; cut the stream after so many seconds.

        mute: while it is true, nothing is handed on; what came is lost.
        """
        async with self._ask() as answer:
            self.status = answer.status
            response = web.StreamResponse(status=answer.status, headers=_carried(answer.headers, encoded=False))
            response.enable_chunked_encoding()
            await response.prepare(self._request)
            try:
                async with asyncio.timeout(cut_after):
                    async for chunk in answer.content.iter_any():
                        if not mute():
                            await response.write(chunk)
                    await response.write_eof()
            except TimeoutError:
                self.cut()
            return response

    def reply(self, answer: Answer) -> web.StreamResponse:
        """Answer whole."""
        self.status = answer.status
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def reply_half(self, answer: Answer) -> web.StreamResponse:
        """Promise the whole answer, send half of it, and cut."""
        self.status = answer.status
        headers = {**answer.headers, "Content-Length": str(len(answer.body))}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(self._request)
        await response.write(answer.body[: len(answer.body) // 2])
        self.cut(hard=False)
        return response

    async def stream(self, status: int, content_type: str, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
        """Answer bit by bit, without knowing how much it will be."""
        self.status = status
        response = web.StreamResponse(status=status, headers={"Content-Type": content_type})
        response.enable_chunked_encoding()
        await response.prepare(self._request)
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
        return response

    def cut(self, *, hard: bool = True) -> web.StreamResponse:
        """End the asker's connection; hard: with a reset, as a crashed peer's kernel would."""
        transport = self._request.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if hard and sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return web.Response(status=503)  # nobody is left to read it

    @asynccontextmanager
    async def _ask(self) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask the real server. A patch on its way is carried out, and counted, even if the asker dies meanwhile."""
        headers = {k: v for k, v in self._request.headers.items() if k.lower() not in _HOP}
        headers.pop("Accept-Encoding", None)  # a fault may want to read and change what comes
        asking = asyncio.ensure_future(
            self._session.request(
                self.asked.method,
                self._upstream + self._request.raw_path,
                headers=headers,
                data=self.asked.body or None,
                allow_redirects=False,
            )
        )
        try:
            answer = await asyncio.shield(asking)
        except asyncio.CancelledError:
            if self.asked.method == "PATCH":
                with suppress(aiohttp.ClientError):
                    async with await asking as answer:
                        self.reached = answer.status
            else:
                asking.cancel()
            raise
        async with answer:
            self.reached = answer.status
            yield answer


def _carried(headers: Mapping[str, str], *, encoded: bool) -> dict[str, str]:
    dropped = _HOP if encoded else _HOP | {"content-encoding"}
    return {k: v for k, v in headers.items() if k.lower() not in dropped}
