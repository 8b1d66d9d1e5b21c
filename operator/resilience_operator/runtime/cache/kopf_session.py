"""kopf's connection to the API server: an aiohttp session whose answers Python's `json` can always read.

kopf reads lists and watch lines with `json`, and any error in that ends it, and the process with it. `json` fails on
what the API server allows: some 1,000 nested levels, fewer the deeper the call stack, and on numbers of more than
4,300 digits. So each answer is decoded here first, object by object. A policy that cannot be read is left out and
reported. `managedFields`, which nothing here reads and which clients may nest as deep as they like, are dropped.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import kopf
import orjson

from resilience_operator.kube.client.client import lines
from resilience_operator.kube.client.decoding import Unreadable, decode_event, decode_list, identified
from resilience_operator.resilience import TryAgain

log = logging.getLogger(__name__)

OnUnreadable = Callable[[Unreadable], None]
"""Called with each policy that the watch tells of and that cannot be read. What it raises is logged."""

_LIST_AGAIN = b'{"type":"ERROR","object":{"code":410}}\n'
"""The one error on which kopf lists anew. On any other it ends."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Session(kopf.AiohttpSession):
    """Equal when the credentials are: by that kopf tells whether a login brought new ones."""

    aiohttp_session: aiohttp.ClientSession = dataclasses.field(compare=False)
    credentials: kopf.ConnectionInfo


def session(credentials: kopf.ConnectionInfo, on_unreadable: OnUnreadable) -> kopf.AiohttpSession:
    """A session with these credentials, which kopf closes. Must be called in the event loop."""

    class Response(_Response):
        report = staticmethod(on_unreadable)

    return _Session(
        server=credentials.server,
        default_namespace=credentials.default_namespace,
        priority=credentials.priority,
        expiration=credentials.expiration,
        credentials=credentials,
        # As kopf makes its own.
        aiohttp_session=aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=credentials.as_ssl_context()),
            headers=credentials.as_http_headers(),
            proxy=credentials.proxy_url,
            trust_env=credentials.trust_env,
            response_class=Response,
        ),
    )


class _Response(aiohttp.ClientResponse):
    """An answer that is decoded object by object. report: set by `session`."""

    report: OnUnreadable

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Reads the head of the answer."""
        await super().start(connection)
        if self.status == 200 and self.url.query.get("watch") == "true":
            self.content = _Lines(self.content, type(self).report)  # type: ignore[assignment]
        return self

    async def json(self, **options: Any) -> Any:
        """The body. Raises ClientPayloadError, on which kopf lists again, when it is cut off."""
        del options
        data = await self.read()
        if self.status >= 400:
            return orjson.loads(data)  # of its error kopf makes a refusal without details
        try:
            try:
                document = orjson.loads(data)
            except orjson.JSONDecodeError:
                page = await asyncio.to_thread(decode_list, data)
                for found in page.unreadable:
                    _report(type(self).report, found)
                document = {**page.rest, "items": page.items}
        except ValueError as error:
            raise aiohttp.ClientPayloadError(f"not JSON: {error}") from error
        if isinstance(document, dict) and isinstance(document.get("items"), list):
            document["items"] = [item for item in document["items"] if _is_plain(item, type(self).report)]
        return document


class _Lines:
    """The content of a watch, of which kopf takes `iter_chunked` alone: one whole event a chunk."""

    def __init__(self, content: aiohttp.StreamReader, report: OnUnreadable) -> None:
        self._content = content
        self._report = report

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Events, each with its line end. size: not heeded. Raises ClientPayloadError when the last one is cut off."""
        del size
        try:
            async for line in lines(self._content):
                if event := await self._plain(line):
                    yield event
        except TryAgain as error:
            raise aiohttp.ClientPayloadError(str(error)) from error

    async def _plain(self, line: bytes) -> bytes:
        """The event as JSON that Python's `json` reads; empty when there is nothing to tell."""
        try:
            return _dumped(orjson.loads(line))
        except (ValueError, TypeError, LookupError, AttributeError):
            pass
        try:
            event = await asyncio.to_thread(decode_event, line, shallow=True)
            if not isinstance(event, Unreadable):
                return _dumped(event)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.warning("the watch of policies brought what is no event, listing again: %s", error)
            return _LIST_AGAIN
        if not event.deleted:
            _report(self._report, event)
        return _bookmark(event.resource_version)


def _dumped(event: dict[str, Any]) -> bytes:
    """The event without managedFields. Raises TypeError when it is nested deeper than orjson writes (254 levels)."""
    if event["type"] == "ERROR":
        return _LIST_AGAIN
    event["object"]["metadata"].pop("managedFields", None)
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def _bookmark(version: str) -> bytes:
    """An event that moves kopf's watch past a version, and no more."""
    if not version:
        return b""
    return orjson.dumps(
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}, option=orjson.OPT_APPEND_NEWLINE
    )


def _is_plain(item: Any, report: OnUnreadable) -> bool:
    """Whether an item of a list is nested no deeper than whatever kopf does to it can bear."""
    try:
        if isinstance(item.get("metadata"), dict):
            item["metadata"].pop("managedFields", None)
        orjson.dumps(item)
    except (TypeError, AttributeError):
        _report(report, identified(item, "it is nested more than 254 levels deep"))
        return False
    return True


def _report(report: OnUnreadable, found: Unreadable) -> None:
    try:
        report(found)
    except Exception:
        log.exception("an unreadable policy could not be taken in; the next full list mends it")
