"""`KubeClient`: a JSON client for the API server. Each call has a deadline and uses the shared retry policy.

It uses `kubernetes.aio`'s ApiClient for addresses, TLS, proxies and credentials, but not its generated methods and
models. The client's own retries are off: each call already retries, and nested retries would multiply.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp
import orjson
from kubernetes.aio.client import ApiClient
from requests.utils import get_environ_proxies, select_proxy

from resilience_operator import __version__
from resilience_operator.decision.model.target import MANAGER
from resilience_operator.kube.cache.unreadable import OnUnreadable, UnreadableObjects
from resilience_operator.kube.client.credentials import DEFAULT_PARTS, Credentials, KubeconfigParts
from resilience_operator.kube.client.decoding import Unreadable, decode_event, decode_list, decode_object
from resilience_operator.kube.client.errors import DEPENDENCY, from_answer, from_client, from_status_object
from resilience_operator.kube.client.paths import namespace_of
from resilience_operator.resilience import CallError, Deadline, GiveUp, Gone, Retry, RetryPolicy, TryAgain

log = logging.getLogger(__name__)

KubeObject = dict[str, Any]
"""An object in the form that the API server sent."""
Event = KubeObject | Unreadable
"""A watch event, or the object of an event that cannot be read."""
Query = Mapping[str, str | int | bool]

_Left = list[Unreadable]

Fence = Callable[[str], bool]
"""Returns whether this process may write in a namespace now."""

FIELD_MANAGER = MANAGER
CALL_TIMEOUT = 10.0
"""Maximum seconds of one attempt, if the deadline leaves more."""
CONNECT_TIMEOUT = 5.0
"""Seconds to open a connection."""
METADATA, METADATA_LIST = (f";as=PartialObjectMetadata{suffix};g=meta.k8s.io;v=v1" for suffix in ("", "List"))
"""Parameters of the media type of metadata alone: https://kubernetes.io/docs/reference/using-api/api-concepts/"""
PAGE = 500
"""Objects per page of a list, as in kubectl and client-go."""
WATCH_LIFETIME = 300.0
"""Seconds after which the server ends a watch. Reopening it spreads the watches over the API servers."""
WATCH_SILENCE = 90.0
"""Seconds without a byte after which a watch counts as dead. Bookmarks arrive about once a minute."""


class PatchKind(StrEnum):
    """The patch types: https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class Impersonation:
    """The user whose rights the calls are checked against, as `kubectl --as`."""

    user: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a list, and the resourceVersion at which a watch continues.

    unreadable: existing objects that are not in `items`, because they cannot be read.
    """

    items: list[KubeObject]
    resource_version: str
    unreadable: tuple[Unreadable, ...] = ()


class KubeClient:
    """A connection to one API server. Methods raise only `resilience.CallError`s, and cancellation."""

    def __init__(
        self,
        api: Any,
        credentials: Credentials,
        *,
        retry: Retry,
        field_manager: str = FIELD_MANAGER,
        call_timeout: float = CALL_TIMEOUT,
        fence: Fence | None = None,
        unreadable: UnreadableObjects | None = None,
        metadata_only: bool = False,
    ) -> None:
        self._api = api
        self.unreadable = unreadable or UnreadableObjects()
        self._fence = fence
        self._credentials = credentials
        self.retry = retry
        self.field_manager = field_manager
        self._call_timeout = call_timeout
        self._metadata_only = metadata_only

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        kubeconfig: str | os.PathLike[str] | None = None,
        *,
        parts: KubeconfigParts = DEFAULT_PARTS,
        impersonate: Impersonation | None = None,
        retry: RetryPolicy | Retry | None = None,
        field_manager: str = FIELD_MANAGER,
        user_agent: str = f"resilience-operator/{__version__}",
        call_timeout: float = CALL_TIMEOUT,
        connections: int = 100,
        on_unreadable: OnUnreadable | None = None,
    ) -> AsyncIterator[KubeClient]:
        """Open a connection pool for `kubeconfig`, else the pod's service account, else the default kubeconfig.

        parts: of the kubeconfig; default: the current context's.
        call_timeout: maximum seconds per attempt. connections: maximum number of sockets, watches included.
        on_unreadable: called with the resource's plural, once for each version of an object that cannot be read.
        Raises NoCluster if no cluster is configured. Sends no request.
        """
        credentials = await Credentials.find(kubeconfig, parts)
        api: Any = ApiClient(credentials.configuration)
        api.user_agent = user_agent
        api.rest_client.pool_manager = _session(api.rest_client.ssl_context, connections, impersonate)
        api.rest_client.proxy = api.rest_client.proxy or _proxy(credentials.configuration.host)
        if not isinstance(retry, Retry):
            retry = Retry(retry)
        try:
            yield cls(
                api,
                credentials,
                retry=retry,
                field_manager=field_manager,
                call_timeout=call_timeout,
                unreadable=UnreadableObjects(on_unreadable),
            )
        finally:
            await api.close()

    def with_fence(self, fence: Fence) -> KubeClient:
        """The same connection, which refuses writes in a namespace while `fence` is false for it."""
        return self._like_this(fence=fence)

    def metadata_only(self) -> KubeClient:
        """The same connection, for lists and watches of metadata: the server leaves out the rest of the objects."""
        return self._like_this(fence=self._fence, metadata_only=True)

    def _like_this(self, *, fence: Fence | None, metadata_only: bool = False) -> KubeClient:
        return KubeClient(
            self._api,
            self._credentials,
            retry=self.retry,
            field_manager=self.field_manager,
            call_timeout=self._call_timeout,
            fence=fence,
            unreadable=self.unreadable,
            metadata_only=metadata_only,
        )

    @property
    def host(self) -> str:
        """The API server's address."""
        return str(self._credentials.configuration.host)

    async def get(self, path: str, *, deadline: Deadline, params: Query | None = None) -> KubeObject:
        """Get one object, or any other JSON document of the API. Raises GiveUp if it cannot be read.

        If only `metadata.managedFields` is nested too deeply, that field is truncated and the rest is unchanged.
        """
        return await self._call("GET", path, params, deadline=deadline)

    async def list(self, path: str, *, deadline: Deadline, params: Query | None = None, page: int = PAGE) -> Listing:
        """List all objects of a collection. `pages` needs less memory."""
        items: list[KubeObject] = []
        unreadable: tuple[Unreadable, ...] = ()
        version = ""
        async for listing in self.pages(path, deadline=deadline, params=params, page=page):
            items += listing.items
            unreadable += listing.unreadable
            version = listing.resource_version
        return Listing(items, version, unreadable)

    async def pages(
        self, path: str, *, deadline: Deadline, params: Query | None = None, page: int = PAGE
    ) -> AsyncIterator[Listing]:
        """List a collection page by page, all at the same resourceVersion.

        An object that cannot be read is in the page's `unreadable` instead of its items.
        Raises Gone if the server no longer keeps that version: the caller must list again from the start.
        """
        token = ""
        while True:
            query = {**(params or {}), "limit": page, **({"continue": token} if token else {})}
            unreadable: _Left = []
            answer = await self._call("GET", path, query, deadline=deadline, unreadable=unreadable)
            meta = answer.get("metadata") or {}
            yield Listing(answer.get("items") or [], str(meta.get("resourceVersion", "")), tuple(unreadable))
            token = str(meta.get("continue") or "")
            if not token:
                return

    async def create(self, path: str, body: KubeObject, *, deadline: Deadline) -> KubeObject:
        """Create an object in the collection `path`. Raises AlreadyExists.

        Also raises AlreadyExists if an earlier attempt created it and its response was lost.
        """
        query = {"fieldManager": self.field_manager}
        return await self._call("POST", path, query, body=body, deadline=deadline)

    async def patch(
        self,
        path: str,
        body: Any,
        *,
        kind: PatchKind,
        deadline: Deadline,
        field_manager: str = "",
        dry_run: bool = False,
    ) -> KubeObject:
        """Patch an object or a subresource. dry_run: the API server and its webhooks only compute the result.

        An attempt whose response was lost is sent again, although it may have succeeded. A patch that must not be
        applied twice needs a precondition. Raises Conflict if a resourceVersion in the patch is outdated, and
        Unprocessable if a `test` of a JSON patch fails or the result is invalid.
        """
        query: dict[str, str | int | bool] = {"fieldManager": field_manager or self.field_manager}
        if dry_run:
            query["dryRun"] = "All"
        return await self._call("PATCH", path, query, body=body, content_type=kind.value, deadline=deadline)

    async def delete(self, path: str, *, deadline: Deadline, body: KubeObject | None = None) -> KubeObject:
        """Delete an object. body: DeleteOptions, for example with `preconditions`. Raises NotFound."""
        return await self._call("DELETE", path, None, body=body, deadline=deadline)

    @asynccontextmanager
    async def watch(
        self,
        path: str,
        resource_version: str,
        *,
        params: Query | None = None,
        lifetime: float = WATCH_LIFETIME,
        silence: float = WATCH_SILENCE,
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Watch a collection: events `{"type": ADDED|MODIFIED|DELETED|BOOKMARK, "object": …}` after that version.

        If the object of an event cannot be read, the event is an `Unreadable`.
        Entering opens the watch under the retry policy. The iterator ends when the server ends the watch, after
        `lifetime` seconds or sooner. Raises Gone if the version is no longer kept. Raises TryAgain if the connection
        breaks or is silent for `silence` seconds: watch again from the last version seen.
        """
        query = {
            **(params or {}),
            "watch": True,
            "resourceVersion": resource_version,
            "allowWatchBookmarks": True,
            "timeoutSeconds": max(1, round(lifetime)),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=silence)

        async def open_it() -> aiohttp.ClientResponse:
            try:
                async with asyncio.timeout(self._call_timeout):
                    response = await self._send("GET", path, query, timeout)
                    if response.status != 200:
                        raise from_answer(response.status, response.headers, await _read(response))
                    return response
            except Exception as error:
                raise _mapped(error) from error

        response = await self.retry.call(
            open_it,
            deadline=Deadline.after(3 * self._call_timeout),
            dependency=DEPENDENCY,
            login=self.refresh_credentials,
        )
        try:
            yield _events(response)
        finally:
            # Unread events may still be in transit, so the connection cannot be reused.
            response.close()

    async def refresh_credentials(self) -> None:
        """Fetch new credentials."""
        try:
            await self._credentials.login()
        except Exception as error:
            raise _mapped(error) from error

    async def _call(
        self,
        method: str,
        path: str,
        query: Query | None,
        *,
        deadline: Deadline,
        body: Any = None,
        content_type: str | None = None,
        unreadable: _Left | None = None,
    ) -> KubeObject:
        """Send a request and decode the response. unreadable: for a list, collects the objects that cannot be read."""

        async def attempt() -> KubeObject:
            # Checked before each attempt, not each call: a retry may be sent long after the first attempt.
            if self._fence is not None and method != "GET" and not self._fence(namespace_of(path)):
                raise GiveUp("this process may not write any more", dependency=DEPENDENCY, reason="fenced")
            timeout = aiohttp.ClientTimeout(
                total=max(0.001, deadline.timeout(self._call_timeout)), sock_connect=CONNECT_TIMEOUT
            )
            try:
                response = await self._send(method, path, query, timeout, body=body, content_type=content_type)
                data = await _read(response)
                if not 200 <= response.status < 300:
                    raise from_answer(response.status, response.headers, data)
                try:
                    answer = orjson.loads(data)
                except orjson.JSONDecodeError:
                    # In a thread: decoding a page of several megabytes takes up to a second.
                    if unreadable is not None:
                        page = await asyncio.to_thread(decode_list, data)
                        unreadable[:] = page.unreadable
                        return {**page.rest, "items": page.items}
                    answer = _readable(await asyncio.to_thread(decode_object, data), written=method != "GET")
                if not isinstance(answer, dict):
                    raise TryAgain("the answer is no object", dependency=DEPENDENCY, reason="malformed")
                return answer
            except Exception as error:
                raise _mapped(error) from error

        return await self.retry.call(attempt, deadline=deadline, dependency=DEPENDENCY, login=self.refresh_credentials)

    async def _send(
        self,
        method: str,
        path: str,
        query: Query | None,
        timeout: aiohttp.ClientTimeout,
        *,
        body: Any = None,
        content_type: str | None = None,
    ) -> aiohttp.ClientResponse:
        accept = "application/json"
        if self._metadata_only:
            accept += METADATA if "watch" in (query or {}) else METADATA_LIST
        headers = {"Accept": accept, "Content-Type": content_type or "application/json"}
        request = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            auth_settings=["BearerToken"],
        )
        method, url, headers, _, _ = request
        # The body bypasses `param_serialize`, which searches each of its values for models.
        answer = await self._api.call_api(method, url, headers, body, _request_timeout=timeout)
        response: aiohttp.ClientResponse = answer.response
        return response


def _mapped(error: Exception) -> Exception:
    if isinstance(error, CallError):
        return error
    return from_client(error) or error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the whole body. Releases the connection in every case."""
    try:
        return await response.read()
    finally:
        response.release()


def _readable(found: KubeObject | Unreadable, *, written: bool) -> KubeObject:
    """The object, or GiveUp. written: a write succeeded, so a partly readable response is accepted."""
    if not isinstance(found, Unreadable):
        return found
    if written:
        return found.partial or {"metadata": found.metadata}
    raise GiveUp(f"{found.described()} cannot be read: {found.reason}", dependency=DEPENDENCY, reason="undecodable")


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    try:
        async for line in lines(response.content):
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                event = await asyncio.to_thread(decode_event, line)
            if isinstance(event, Unreadable):
                yield event
                continue
            if event.get("type") == "ERROR":
                error = from_status_object(event.get("object") or {})
                if error.detail == "Expired":  # a watch reports 410 with this reason
                    raise Gone(error.message, dependency=DEPENDENCY, reason="status_410", status=410)
                raise error
            yield event
    except Exception as error:
        raise _mapped(error) from error


async def lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The stream's lines, of any length: an object of 1.5 MB exceeds the limit of `readline`."""
    pending = bytearray()
    async for chunk in stream.iter_any():
        scanned = len(pending)
        pending += chunk
        start = 0
        while (end := pending.find(b"\n", max(start, scanned))) >= 0:
            if end > start:
                yield bytes(memoryview(pending)[start:end])
            start = end + 1
        del pending[:start]
    if pending.strip():
        raise TryAgain("the watch was cut off in an event", dependency=DEPENDENCY, reason="cut_off")


def _session(tls: ssl.SSLContext, connections: int, impersonate: Impersonation | None) -> aiohttp.ClientSession:
    headers: list[tuple[str, str]] = []
    if impersonate is not None:
        headers = [("Impersonate-User", impersonate.user), *(("Impersonate-Group", g) for g in impersonate.groups)]
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=tls, socket_factory=_keepalive_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
    )
    # aiohttp itself resends a GET, PUT or DELETE when the connection drops. It has no public switch for this; its own
    # test client turns it off in the same way.
    session._retry_connection = False
    return session


def _proxy(host: str) -> str | None:
    """The proxy for an address from the environment; None if there is none.

    aiohttp would search for it, and for a ~/.netrc in another thread, at each request.
    """
    return select_proxy(host, get_environ_proxies(host))


def _keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket that detects a lost peer within 30 s; the kernel's default is two hours."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock
