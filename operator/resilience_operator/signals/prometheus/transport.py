"""HTTP transport of a source: one address, a small connection pool, and responses of limited size."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
from requests.structures import CaseInsensitiveDict

from resilience_operator import __version__
from resilience_operator.resilience.errors import GiveUp
from resilience_operator.resilience.loop_idle import idle_seconds
from resilience_operator.signals.prometheus import errors
from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.prometheus.credentials import Credentials, Fingerprint
from resilience_operator.signals.prometheus.proxy import ProxyConfig
from resilience_operator.signals.prometheus.reader import MAX_ERROR_BODY, ResponseReader

_BUFFER = 1 << 20
"""Maximum number of received bytes that are buffered unread."""

_KEEP_SECONDS = 50.0
"""Keep-alive of an idle connection: less than one minute, after which load balancers often close it."""


def default_headers(config: SourceConfig) -> dict[str, str]:
    """The headers of every request to a source."""
    return {
        "User-Agent": f"resilience-operator/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate" if config.compress else "identity",
    }


class HttpTransport:
    """Sends requests to one address. Headers and TLS settings are rebuilt only when their files change."""

    def __init__(
        self, config: SourceConfig, dependency: str, credentials: Credentials, reader: ResponseReader, path: str
    ) -> None:
        self._config = config
        self._dependency = dependency
        self._credentials = credentials
        self._reader = reader
        self._url = config.url + path
        self._secure = self._url.startswith("https:")
        self._proxy_config: ProxyConfig | None = None
        self._session: aiohttp.ClientSession | None = None
        self._secrets: Mapping[str, str] | None = None
        self._headers: dict[str, str] = {}
        self._tls_of: Fingerprint | None = None
        self._tls: ssl.SSLContext | bool = True

    async def send(self, parameters: Mapping[str, str], connect: float, read: float) -> tuple[bytes, float]:
        """Send a query. Returns the body, and the seconds of the response time in which this process was idle.

        connect, read: time-outs in seconds for the connection, and between two chunks of the response. Raises errors of
            `resilience.errors` and of aiohttp. The connection is then closed, as it is when the task is cancelled.
        """
        session, proxy_config = self._open_session()
        encoded = urlencode(parameters)
        # Proxies truncate or reject long URLs. A body may have any length.
        url, body = (self._url, encoded) if self._config.method == "POST" else (f"{self._url}?{encoded}", None)
        idle_before = idle_seconds()
        async with session.request(
            self._config.method,
            url,
            data=body,
            headers=self._request_headers(proxy_config),
            proxy=proxy_config.proxy,
            proxy_headers=proxy_config.proxy_headers,
            ssl=self._tls_context(proxy_config),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=read),
            allow_redirects=False,
        ) as response:
            return await self._read(response), idle_seconds() - idle_before

    async def close(self) -> None:
        """Close the connections. Requests in flight end with an error."""
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> tuple[aiohttp.ClientSession, ProxyConfig]:
        if self._proxy_config is None:
            authorities = str(self._config.ca_file) if self._config.ca_file else None
            self._proxy_config = ProxyConfig.for_url(self._config.url, authorities, self._dependency)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._config.concurrency, keepalive_timeout=_KEEP_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=_BUFFER,
            )
        return self._session, self._proxy_config

    def _request_headers(self, proxy_config: ProxyConfig) -> Mapping[str, str]:
        """The headers of a request, with credentials."""
        found = self._credentials.headers()
        if found is not self._secrets:
            "".join(found.values()).encode("ascii")
            headers = CaseInsensitiveDict(proxy_config.proxy_headers if not self._secure else {})
            headers.update(default_headers(self._config))
            if self._config.method == "POST":
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers.update(found)
            self._headers, self._secrets = dict(headers.items()), found
        return self._headers

    def _tls_context(self, proxy_config: ProxyConfig) -> ssl.SSLContext | bool:
        """CA certificates and the client certificate. Only requests with the same context share a connection."""
        seen = self._credentials.tls_fingerprint()
        if None in seen:
            raise GiveUp(
                "a certificate, key or CA file cannot be read",
                dependency=self._dependency,
                reason="credentials",
            )
        if self._secure and seen != self._tls_of:
            file, folder = (
                (None, proxy_config.authorities)
                if Path(proxy_config.authorities).is_dir()
                else (proxy_config.authorities, None)
            )
            context = ssl.create_default_context(cafile=file, capath=folder)
            if self._config.cert_file:
                context.load_cert_chain(self._config.cert_file, self._config.key_file)
            self._tls, self._tls_of = context, seen
        return self._tls

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body of a response. Raises for an error response."""
        if response.status != 200:
            body = await self._body(response, MAX_ERROR_BODY, truncate=True)
            raise self._reader.error(response.status, response.headers, body)
        self._reader.check_kind(response.headers)
        return await self._body(response, self._config.max_answer_bytes)

    async def _body(self, response: aiohttp.ClientResponse, limit: int, *, truncate: bool = False) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            parts.append(part)
            if size > limit:
                if truncate:
                    break
                raise errors.too_large(limit, self._dependency)
        return b"".join(parts)
