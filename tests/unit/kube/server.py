"""A server that answers as it is told, for what a real API server cannot be made to do: hang, cut off, refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import yaml
from aiohttp import web

from resilience_operator.kube.client.client import KubeClient
from resilience_operator.resilience import Jitter, Retry, RetryPolicy

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

EAGER = RetryPolicy(base=0.001, cap=0.001, attempts=4, jitter=Jitter.NONE)


def status(code: int, body: object = None, **headers: str) -> Answer:
    """Answers with a status and a JSON body."""

    async def answer(_: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body if body is not None else {"code": code})
        return web.Response(status=code, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


async def hang(_: web.Request) -> web.StreamResponse:
    """Never answers."""
    await asyncio.sleep(60)
    raise AssertionError


async def drop(request: web.Request) -> web.StreamResponse:
    """Closes the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    """Promises more than it sends."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"items": [')
    assert request.transport is not None
    request.transport.close()
    return response


def stream(*chunks: bytes, then: str = "end") -> Answer:
    """Sends the chunks, one write each, and then ends, aborts or hangs."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0)
        if then == "hang":
            await asyncio.sleep(60)
        if then == "abort":
            await asyncio.sleep(0.01)
            assert request.transport is not None
            request.transport.abort()
        return response

    return answer


class Server:
    """Answers each request by the next of `answers`; the last of them for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[web.Request] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        await request.read()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@asynccontextmanager
async def serving(
    tmp_path: Path, *answers: Answer, retry: RetryPolicy | Retry = EAGER, **user: str
) -> AsyncIterator[tuple[Server, KubeClient]]:
    """A server, and a `Kube` that is connected to it."""
    server = Server(*answers)
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    config = tmp_path / "kubeconfig"
    config.write_text(yaml.safe_dump(kubeconfig(server.url, **user)))
    try:
        async with KubeClient.connect(config, retry=retry, call_timeout=0.5) as kube:
            yield server, kube
    finally:
        await runner.cleanup()


def kubeconfig(url: str, **user: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}],
    }
