"""The HTTP beneath prometheus-api-client: a session that sends and reads by itself, and whose sockets can be cut.

The client hides `warnings` and `resultType`, reads answers of any size, and puts queries into the address
even of a POST. The session reads the body within bounds and parses it once; the client then finds the
result ready. How an address is reached (proxy, certificates, authorities, prefix) is for requests to say,
once; the queries then go to urllib3, since preparing each anew costs as much as sending it.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from requests.utils import check_header_validity
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection

from resilience_operator import __version__
from resilience_operator.resilience.errors import GiveUp
from resilience_operator.signals import failures, wire
from resilience_operator.signals.config import SourceConfig
from resilience_operator.signals.credentials import Credentials

_CHUNK = 256 * 1024
_MOST_OF_AN_ERROR = 64 * 1024


class Sockets:
    """The sockets of one client, so that another thread can end a read that would go on."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()

    def add(self, sock: socket.socket) -> None:
        """Remember a new connection; forget those that are closed."""
        self._open = {s for s in self._open if s.fileno() >= 0} | {sock}

    def cut(self) -> None:
        """End them all. A thread that waits in a read gets an end-of-file at once."""
        for sock in list(self._open):
            # Not SSLSocket.shutdown, which takes the TLS layer away under a reader.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Way(NamedTuple):
    """How an address is reached. pool: urllib3's, of its connection. target: what stands in the request's first line.
    headers: those of every request.
    """

    pool: Any
    target: str
    headers: dict[str, str]


class Adapter(HTTPAdapter):
    """An adapter of one connection, which tells of its sockets."""

    def __init__(self, sockets: Sockets) -> None:
        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                if self.sock is not None:
                    sockets.add(self.sock)

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                if self.sock is not None:
                    sockets.add(self.sock)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self._pools = {"http": PlainPool, "https": SecurePool}
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools with connections of ours."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """The same through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def way(self, request: requests.PreparedRequest, *, proxies: Any, verify: Any, cert: Any, **_: Any) -> Way:
        """How requests would send it."""
        pool = self.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        self.cert_verify(pool, request.url or "", verify, cert)  # type: ignore[no-untyped-call]
        return Way(pool, self.request_url(request, proxies), dict(request.headers))


class Read(NamedTuple):
    """A response that was read, checked and parsed: as much of one as the client looks at."""

    document: Any
    status_code: int = 200

    def json(self) -> Any:
        """What was parsed, not parsed again."""
        return self.document


class Session(requests.Session):
    """A session of one client. `warnings` are those of the answer read last, `seconds` is how long it was in coming."""

    def __init__(self, config: SourceConfig, dependency: str, credentials: Credentials) -> None:
        super().__init__()
        self.sockets = Sockets()
        self.warnings: tuple[str, ...] = ()
        self.seconds = 0.0
        self._dependency = dependency
        self._most = config.max_answer_bytes
        self._credentials = credentials
        self._checked: Mapping[str, str] = {}
        self._ways: dict[str, Way] = {}
        self._adapter = Adapter(self.sockets)
        self.verify = str(config.ca_file) if config.ca_file else True
        if config.cert_file:
            cert = str(config.cert_file)
            self.cert = (cert, str(config.key_file)) if config.key_file else cert
        self.headers["User-Agent"] = f"resilience-operator/{__version__}"
        self.headers["Accept"] = "application/json"
        if not config.compress:
            self.headers["Accept-Encoding"] = "identity"

    def request(  # type: ignore[override]
        self, method: str, url: str, *, params: Mapping[str, str], timeout: tuple[float, float], **_: Any
    ) -> Read:
        """Ask. timeout: seconds to connect, and between two pieces of the answer. Raises errors of
        `resilience.errors`, of requests and of urllib3; then the connection is closed.
        """
        way = self._ways.get(url)
        if way is None:
            way = self._ways[url] = self._way(method, url)
        asked = urlencode(params)
        # In the body a query may be as long as it must; addresses are cut or refused by proxies.
        target, body = (way.target, asked) if method == "POST" else (f"{way.target}?{asked}", None)
        begun = time.monotonic()
        response = way.pool.urlopen(
            method,
            target,
            body=body,
            headers={**way.headers, **self._secrets()},
            timeout=Timeout(*timeout),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
        )
        try:
            whole = self._read(response)
            self.seconds = time.monotonic() - begun
            return self._document(whole)
        except BaseException:
            response.close()
            raise
        finally:
            response.release_conn()

    def mount(self, prefix: str | bytes, adapter: Any) -> None:
        """The client mounts an adapter of its own, which is not used."""

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._adapter.close()

    def _way(self, method: str, url: str) -> Way:
        # The secrets come with each request; without any `auth`, requests would look for a ~/.netrc.
        prepared = self.prepare_request(requests.Request(method, url, auth=lambda request: request))
        if method == "POST":
            prepared.headers["Content-Type"] = "application/x-www-form-urlencoded"
        prepared.headers.pop("Content-Length", None)
        environment = self.merge_environment_settings(prepared.url, {}, True, self.verify, self.cert)
        return self._adapter.way(prepared, **environment)

    def _secrets(self) -> Mapping[str, str]:
        found = self._credentials.headers()
        if found is not self._checked:
            for header in found.items():
                check_header_validity(header)
            self._checked = found
        return found

    def _read(self, response: BaseHTTPResponse) -> bytes:
        """The body of an answer."""
        if response.status != 200:
            # Before it is cut to the length of a message, which could leave half of a secret.
            body = self._credentials.scrub(self._body(response, _MOST_OF_AN_ERROR, cut=True).decode("utf-8", "replace"))
            raise failures.of_response(response.status, response.headers, body.encode(), self._dependency)
        kind = response.headers.get("Content-Type", "")
        if "json" not in kind:
            raise wire.bad_answer(f"the answer is {wire.cut(kind) or 'of no type'}, not JSON", self._dependency)
        return self._body(response, self._most)

    def _document(self, body: bytes) -> Read:
        """What the client is to find in it."""
        found = wire.document(body, self._dependency)
        if told := found.get("warnings"):
            told = told if isinstance(told, list) else [told]
            found = {**found, "warnings": [self._credentials.scrub(str(warning)) for warning in told]}
        self.warnings = wire.warnings(found)
        return Read({"data": {"result": self._result(found)}})

    def _result(self, found: Mapping[str, Any]) -> list[Any]:
        return wire.result(found, self._dependency)

    def _body(self, response: BaseHTTPResponse, most: int, *, cut: bool = False) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in response.stream(_CHUNK):
            size += len(part)
            parts.append(part)
            if size > most:
                if cut:
                    break
                raise GiveUp(
                    f"the answer is larger than {most} bytes: narrow the query, or raise max_answer_bytes",
                    dependency=self._dependency,
                    reason="too_large",
                )
        return b"".join(parts)
