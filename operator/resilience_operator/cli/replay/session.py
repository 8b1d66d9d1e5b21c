"""The session for range queries of prometheus-api-client: bounds responses, parses them once, keeps warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import requests

from resilience_operator.signals.prometheus import errors as failures
from resilience_operator.signals.prometheus import response as wire
from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.prometheus.credentials import Credentials
from resilience_operator.signals.prometheus.reader import MAX_ERROR_BODY, ResponseReader
from resilience_operator.signals.prometheus.transport import default_headers

_CHUNK = 1 << 20


class Read(NamedTuple):
    """A response that was read, checked and parsed, with the attributes that the client uses."""

    document: Any
    status_code: int = 200

    def json(self) -> Any:
        """The parsed document."""
        return self.document


class Session(requests.Session):
    """Reads range vectors. warnings: those of the last response."""

    def __init__(self, config: SourceConfig, dependency: str, credentials: Credentials) -> None:
        super().__init__()
        self.warnings: tuple[str, ...] = ()
        self._dependency = dependency
        self._most = config.max_answer_bytes
        self._reader = ResponseReader(dependency, credentials)
        self.auth = credentials
        self.verify = str(config.ca_file) if config.ca_file else True
        if config.cert_file:
            cert = str(config.cert_file)
            self.cert = (cert, str(config.key_file)) if config.key_file else cert
        self.headers.update(default_headers(config))

    def request(  # type: ignore[override]
        self, method: str, url: str, *, params: Mapping[str, str], timeout: tuple[float, float], **_: Any
    ) -> Read:
        """Send the query. timeout: seconds to connect, and between two parts of the response.

        Raises errors of `resilience.errors` and of requests, and then closes the connection.
        """
        # Sent in the body, since proxies truncate or refuse long URLs.
        address, form = (None, params) if method == "POST" else (params, None)
        with super().request(
            method, url, params=address, data=form, timeout=timeout, stream=True, allow_redirects=False
        ) as response:
            if response.status_code != 200:
                body = self._body(response, MAX_ERROR_BODY)
                raise self._reader.error(response.status_code, response.headers, body)
            self._reader.check_kind(response.headers)
            body = self._body(response, self._most)
            if len(body) > self._most:
                raise failures.too_large(self._most, self._dependency)
        found = self._reader.document(body)
        data = found.get("data")
        if found.get("status") != "success" or not isinstance(data, dict) or data.get("resultType") != "matrix":
            raise wire.bad_answer("the response is not a range vector", self._dependency)
        self.warnings = wire.warnings(found)
        return Read({"data": {"result": data.get("result") or []}})

    @staticmethod
    def _body(response: requests.Response, most: int) -> bytes:
        """The body, or its start if it is longer than `most`."""
        body = bytearray()
        for part in response.iter_content(_CHUNK):
            body += part
            if len(body) > most:
                break
        return bytes(body)
