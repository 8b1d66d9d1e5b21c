"""kopf's connection to the API server: an aiohttp session that returns only JSON that Python's `json` can parse.

kopf parses lists and watch lines with `json`; any parse error ends kopf, and the process with it. `json` fails on input
that the API server accepts. It fails on about 1,000 nested levels (fewer in a deep call stack), and on numbers of more
than 4,300 digits. This session decodes each response first, object by object. A policy that cannot be decoded is
skipped and reported. `managedFields` are dropped: nothing here reads them, and clients may nest them without limit.
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
"""Called with each policy in the watch that cannot be decoded. Exceptions are logged."""

_LIST_AGAIN = b'{"type":"ERROR","object":{"code":410}}\n'
"""The one error on which kopf lists again. Any other error ends the watch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Session(kopf.AiohttpSession):
    """Compares equal when the credentials are equal: this is how kopf detects new credentials after a login."""

    aiohttp_session: aiohttp.ClientSession = dataclasses.field(compare=False)
    credentials: kopf.ConnectionInfo


def session(credentials: kopf.ConnectionInfo, on_unreadable: OnUnreadable) -> kopf.AiohttpSession:
    """Return a session with these credentials, which kopf closes. Must be called in the event loop."""

    class Response(_Response):
        report = staticmethod(on_unreadable)

    return _Session(
        server=credentials.server,
        default_namespace=credentials.default_namespace,
        priority=credentials.priority,
        expiration=credentials.expiration,
        credentials=credentials,
        # Built in the same way as kopf's own session.
        aiohttp_session=aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=credentials.as_ssl_context()),
            headers=credentials.as_http_headers(),
            proxy=credentials.proxy_url,
            trust_env=credentials.trust_env,
            response_class=Response,
        ),
    )


class _Response(aiohttp.ClientResponse):
    """Response decoded object by object. report: set by `session`."""

    report: OnUnreadable

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the response headers."""
        await super().start(connection)
        if self.status == 200 and self.url.query.get("watch") == "true":
            self.content = _Lines(self.content, type(self).report)  # type: ignore[assignment]
        return self

    async def json(self, **options: Any) -> Any:
        """Return the body. Raises ClientPayloadError if it is truncated; kopf then lists again."""
        del options
        data = await self.read()
        if self.status >= 400:
            return orjson.loads(data)  # kopf turns this error into an API error without details
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
    """Content of a watch. kopf uses only `iter_chunked`; each chunk is one whole event."""

    def __init__(self, content: aiohttp.StreamReader, report: OnUnreadable) -> None:
        self._content = content
        self._report = report

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield events with their line ends. size: ignored. Raises ClientPayloadError if the last one is truncated."""
        del size
        try:
            async for line in lines(self._content):
                if event := await self._plain(line):
                    yield event
        except TryAgain as error:
            raise aiohttp.ClientPayloadError(str(error)) from error

    async def _plain(self, line: bytes) -> bytes:
        """Return the event as JSON that Python's `json` can parse; empty if kopf needs no event."""
        try:
            return _dumped(orjson.loads(line))
        except (ValueError, TypeError, LookupError, AttributeError):
            pass
        try:
            event = await asyncio.to_thread(decode_event, line, shallow=True)
            if not isinstance(event, Unreadable):
                return _dumped(event)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.warning("the policy watch delivered an invalid event; listing again: %s", error)
            return _LIST_AGAIN
        if not event.deleted:
            _report(self._report, event)
        return _bookmark(event.resource_version)


def _dumped(event: dict[str, Any]) -> bytes:
    """Serialize the event without managedFields. Raises TypeError beyond orjson's nesting limit (254 levels)."""
    if event["type"] == "ERROR":
        return _LIST_AGAIN
    event["object"]["metadata"].pop("managedFields", None)
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def _bookmark(version: str) -> bytes:
    """Build a bookmark event, which only advances the resourceVersion of kopf's watch."""
    if not version:
        return b""
    return orjson.dumps(
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}, option=orjson.OPT_APPEND_NEWLINE
    )


def _is_plain(item: Any, report: OnUnreadable) -> bool:
    """Return True if an item of a list is shallow enough for all that kopf does with it."""
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
        log.exception("failed to report an unreadable policy; the next full list retries it")
