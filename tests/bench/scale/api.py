"""Many requests to the API server at once, and watches: for the benchmark itself, as its administrator."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp

from tests.cluster import Cluster
from tests.cluster.pki import ADMIN

Obj = dict[str, Any]
T = TypeVar("T")

AT_ONCE = 48
"""Requests under way."""

_MERGE = "application/merge-patch+json"


class Refused(Exception):  # noqa: N818
    """The API server said no; the text is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


class Api:
    """One session. Administrators are exempt from the server's fair queueing."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session, self._server = session, server
        self._admission = asyncio.Semaphore(AT_ONCE)

    @classmethod
    @asynccontextmanager
    async def connect(cls, cluster: Cluster) -> AsyncIterator[Api]:
        """Log in with the administrator's certificate."""
        pki = cluster.layout.pki
        context = ssl.create_default_context(cafile=str(pki.ca))
        context.load_cert_chain(pki.cert(ADMIN.name), pki.key(ADMIN.name))
        connector = aiohttp.TCPConnector(limit=AT_ONCE + 8, ssl=context)
        # An event may be one long line.
        async with aiohttp.ClientSession(connector=connector, read_bufsize=1 << 20) as session:
            yield cls(session, cluster.server)

    async def call(self, method: str, path: str, body: Obj | None = None, **params: str) -> Obj:
        """One request. Raises Refused."""
        kind = _MERGE if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body)
        async with (
            self._admission,
            self._session.request(
                method, self._server + path, data=data, params=params, headers={"Content-Type": kind}
            ) as answer,
        ):
            found: Obj = json.loads(await answer.read())
            if answer.status >= 400:
                raise Refused(answer.status, str(found.get("message")))
            return found

    async def watch(self, path: str, version: str) -> AsyncIterator[Obj]:
        """Events of a collection from `version` on, until the caller goes away."""
        params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "7200"}
        forever = aiohttp.ClientTimeout(total=None)
        async with self._session.get(self._server + path, params=params, timeout=forever) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                event: Obj = json.loads(line)
                if event["type"] == "ERROR":
                    raise Refused(int(event["object"].get("code", 0)), str(event["object"].get("message")))
                yield event

    async def version(self, path: str) -> str:
        """A resource version from which a collection can be watched."""
        return str((await self.call("GET", path, limit="1"))["metadata"]["resourceVersion"])


async def for_all(items: Iterable[T], do: Callable[[T], Awaitable[object]]) -> None:
    """Do something with each, many at once; the first failure ends it."""
    todo = iter(items)

    async def work() -> None:
        for item in todo:
            await do(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
