"""What can go wrong with a request. Each function makes a fault for a rule."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from aiohttp import web

from tests.support.proxy.exchange import Answer, Exchange
from tests.support.proxy.rules import Fault

JSON = "application/json"


def answer(status: int, body: bytes | str | None = None, *, content_type: str = JSON, retry_after: int = 0) -> Fault:
    """A false answer; the real server is never asked. Without a body: a Kubernetes Status of that code."""
    content = _status(status) if body is None else body.encode() if isinstance(body, str) else body
    headers = {"Content-Type": content_type} | ({"Retry-After": str(retry_after)} if retry_after else {})

    async def fault(exchange: Exchange) -> web.StreamResponse:
        return exchange.reply(Answer(status, headers, content))

    return fault


def delay(seconds: float) -> Fault:
    """The right answer, late."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await exchange.pass_on()

    return fault


def hang() -> Fault:
    """No answer, and no end, until the asker gives up."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        await asyncio.Event().wait()
        return exchange.cut()

    return fault


def reset(*, after: bool = False) -> Fault:
    """The connection is lost: before the real server was asked, or after it answered, so that it did what it did."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        if after:
            await exchange.forward()
        return exchange.cut()

    return fault


def call(hook: Callable[[], object], *, after: bool = False) -> Fault:
    """Call a hook at that very moment (to kill the asker, say), and lose the connection: see `reset`."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        if after:
            await exchange.forward()
        hook()
        return exchange.cut()

    return fault


def half() -> Fault:
    """The beginning of the right answer."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        return await exchange.reply_half(await exchange.forward())

    return fault


def rewrite(change: Callable[[bytes], bytes]) -> Fault:
    """The real answer, changed. change: must not fail for any body."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        found = await exchange.forward()
        return exchange.reply(replace(found, body=change(found.body)))

    return fault


def big(size: int, begin: bytes = b'{"status":"success","data":{"resultType":"vector","result":[') -> Fault:
    """An answer that begins well and does not end for `size` bytes."""

    async def chunks() -> AsyncIterator[bytes]:
        yield begin
        filler = b" " * (1 << 20)
        for _ in range(size // len(filler) + 1):
            yield filler

    async def fault(exchange: Exchange) -> web.StreamResponse:
        return await exchange.stream(200, JSON, chunks())

    return fault


def cut_stream(seconds: float) -> Fault:
    """A stream (a watch) that is lost after so many seconds."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        return await exchange.pass_on(cut_after=seconds)

    return fault


def mute_stream(when: Callable[[], bool] = lambda: True) -> Fault:
    """A stream (a watch) that stays open and brings nothing, from the moment that `when` says."""

    async def fault(exchange: Exchange) -> web.StreamResponse:
        return await exchange.pass_on(mute=when)

    return fault


def gone() -> Fault:
    """The version asked for is no longer kept: an ERROR event on a watch, else an answer of status 410."""
    told = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version",
    }  # fmt: skip

    async def fault(exchange: Exchange) -> web.StreamResponse:
        if not exchange.asked.watch:
            return exchange.reply(Answer(410, {"Content-Type": JSON}, json.dumps(told).encode()))
        line = json.dumps({"type": "ERROR", "object": told}).encode() + b"\n"
        return exchange.reply(Answer(200, {"Content-Type": JSON}, line))

    return fault


_REASONS = {
    409: "Conflict", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip


def _status(code: int) -> bytes:
    told = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": _REASONS.get(code, ""), "message": f"a false answer of status {code}",
    }  # fmt: skip
    return json.dumps(told).encode()
