"""The HTTP beneath a source: one address, asked over a few connections, its answers read within bounds."""

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
from resilience_operator.signals.prometheus import errors as failures
from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.prometheus.credentials import Credentials, Fingerprint
from resilience_operator.signals.prometheus.proxy import ProxyConfig
from resilience_operator.signals.prometheus.reader import MAX_ERROR_BODY, ResponseReader

_BUFFER = 1 << 20
"""Bytes of an answer that may lie unread."""

_KEEP_SECONDS = 50.0
"""Seconds that a connection is kept unused: less than the minute after which load balancers cut it."""


def default_headers(config: SourceConfig) -> dict[str, str]:
    """What stands in every request to a source."""
    return {
        "User-Agent": f"resilience-operator/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate" if config.compress else "identity",
    }


class HttpTransport:
    """Asks one address. Everything that belongs to a request is made anew only when its files change."""

    def __init__(
        self, config: SourceConfig, dependency: str, credentials: Credentials, reader: ResponseReader, path: str
    ) -> None:
        self._config = config
        self._dependency = dependency
        self._credentials = credentials
        self._reader = reader
        self._url = config.url + path
        self._secure = self._url.startswith("https:")
        self._way: ProxyConfig | None = None
        self._session: aiohttp.ClientSession | None = None
        self._secrets: Mapping[str, str] | None = None
        self._headers: dict[str, str] = {}
        self._tls_of: Fingerprint | None = None
        self._tls: ssl.SSLContext | bool = True

    async def send(self, parameters: Mapping[str, str], connect: float, read: float) -> tuple[bytes, float]:
        """The body of the answer, and seconds that it was in coming: those in which this process only waited.

        connect, read: seconds for the connection, and between two pieces of the answer. Raises errors of
        `resilience.errors` and of aiohttp; the connection is then closed, as it is when the task is cancelled.
        """
        session, way = self._opened()
        asked = urlencode(parameters)
        # In the body a query may be as long as it must; addresses are cut or refused by proxies.
        url, body = (self._url, asked) if self._config.method == "POST" else (f"{self._url}?{asked}", None)
        begun = idle_seconds()
        async with session.request(
            self._config.method,
            url,
            data=body,
            headers=self._with_secrets(way),
            proxy=way.proxy,
            proxy_headers=way.proxy_headers,
            ssl=self._certificates(way),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=read),
            allow_redirects=False,
        ) as response:
            return await self._read(response), idle_seconds() - begun

    async def close(self) -> None:
        """Close the connections; what is under way ends with an error."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> tuple[aiohttp.ClientSession, ProxyConfig]:
        if self._way is None:
            authorities = str(self._config.ca_file) if self._config.ca_file else None
            self._way = ProxyConfig.for_url(self._config.url, authorities, self._dependency)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._config.concurrency, keepalive_timeout=_KEEP_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=_BUFFER,
            )
        return self._session, self._way

    def _with_secrets(self, way: ProxyConfig) -> Mapping[str, str]:
        """The headers of a request."""
        found = self._credentials.headers()
        if found is not self._secrets:
            "".join(found.values()).encode("ascii")
            headers = CaseInsensitiveDict(way.proxy_headers if not self._secure else {})
            headers.update(default_headers(self._config))
            if self._config.method == "POST":
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers.update(found)
            self._headers, self._secrets = dict(headers.items()), found
        return self._headers

    def _certificates(self, way: ProxyConfig) -> ssl.SSLContext | bool:
        """Whom to trust, and who we are. Only requests with the same of both share a connection."""
        seen = self._credentials.tls_fingerprint()
        if None in seen:
            raise GiveUp(
                "a certificate, key or authorities file cannot be read",
                dependency=self._dependency,
                reason="credentials",
            )
        if self._secure and seen != self._tls_of:
            file, folder = (None, way.authorities) if Path(way.authorities).is_dir() else (way.authorities, None)
            context = ssl.create_default_context(cafile=file, capath=folder)
            if self._config.cert_file:
                context.load_cert_chain(self._config.cert_file, self._config.key_file)
            self._tls, self._tls_of = context, seen
        return self._tls

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body of an answer."""
        if response.status != 200:
            body = await self._body(response, MAX_ERROR_BODY, cut=True)
            raise self._reader.error(response.status, response.headers, body)
        self._reader.check_kind(response.headers)
        return await self._body(response, self._config.max_answer_bytes)

    async def _body(self, response: aiohttp.ClientResponse, most: int, *, cut: bool = False) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            parts.append(part)
            if size > most:
                if cut:
                    break
                raise failures.too_large(most, self._dependency)
        return b"".join(parts)
