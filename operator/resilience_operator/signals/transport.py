"""The HTTP beneath prometheus-api-client: a session that reads answers itself, and whose sockets can be cut.

The client hides `warnings` and `resultType`, reads answers of any size, and puts queries into the address
even of a POST. A response hook reads the body within bounds and parses it once; the client then finds the
result ready.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.retry import Retry

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


class Adapter(HTTPAdapter):
    """An adapter without retries, one connection, which tells of its sockets."""

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
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=Retry(0, read=False))

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools with connections of ours."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """The same through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


class Read(requests.Response):
    """A response that was read, checked and parsed."""

    document: Any = None

    def json(self, **_: Any) -> Any:
        """What was parsed, not parsed again."""
        return self.document


class Session(requests.Session):
    """A session of one client. `warnings` are those of the answer read last, `seconds` is how long it was in coming."""

    def __init__(self, config: SourceConfig, dependency: str, credentials: Credentials) -> None:
        super().__init__()
        self.warnings: tuple[str, ...] = ()
        self.seconds = 0.0
        self._begun = 0.0
        self._dependency = dependency
        self._most = config.max_answer_bytes
        self._scrub = credentials.scrub
        self.auth = credentials
        self.verify = str(config.ca_file) if config.ca_file else True
        if config.cert_file:
            cert = str(config.cert_file)
            self.cert = (cert, str(config.key_file)) if config.key_file else cert
        self.headers["User-Agent"] = f"resilience-operator/{__version__}"
        self.headers["Accept"] = "application/json"
        if not config.compress:
            self.headers["Accept-Encoding"] = "identity"
        self.hooks["response"] = [self._read]
        self._environment: Any = None

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send; the hook has read the response when this returns."""
        if method == "POST":
            # In the body a query may be as long as it must; addresses are cut or refused by proxies.
            kwargs["data"] = kwargs.pop("params", None)
        kwargs.update(stream=True, allow_redirects=False)
        self._begun = time.monotonic()
        return super().request(method, url, *args, **kwargs)

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
        """Proxies and the like for the one address that is asked: looked up once, since it costs as much as sending."""
        if self._environment is None:
            self._environment = super().merge_environment_settings(*args, **kwargs)
        return self._environment

    def _read(self, response: requests.Response, *_: Any, **__: Any) -> Read:
        """Read and check. Raises errors of `resilience.errors` and of requests; then the connection is
        closed.
        """
        try:
            if response.status_code != 200:
                # Before it is cut to the length of a message, which could leave half of a secret.
                body = self._scrub(self._body(response, _MOST_OF_AN_ERROR, cut=True).decode("utf-8", "replace"))
                raise failures.of_response(response, body.encode(), self._dependency)
            kind = response.headers.get("Content-Type", "")
            if "json" not in kind:
                raise wire.bad_answer(f"the answer is {wire.cut(kind) or 'of no type'}, not JSON", self._dependency)
            whole = self._body(response, self._most)
            self.seconds = time.monotonic() - self._begun
            found = wire.document(whole, self._dependency)
        except BaseException:
            response.close()
            raise
        if told := found.get("warnings"):
            told = told if isinstance(told, list) else [told]
            found = {**found, "warnings": [self._scrub(str(warning)) for warning in told]}
        self.warnings = wire.warnings(found)
        read = Read()
        read.status_code, read.headers, read.url = response.status_code, response.headers, response.url
        read.raw, read.request = response.raw, response.request
        read.document = {"data": {"result": wire.result(found, self._dependency)}}
        return read

    def _body(self, response: requests.Response, most: int, *, cut: bool = False) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in response.iter_content(_CHUNK):
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
