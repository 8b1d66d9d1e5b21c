"""Maps failures of the client and of the API server to `resilience.errors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
from kubernetes.aio.client.exceptions import ApiException, OpenApiException
from kubernetes.aio.config.config_exception import ConfigException

from resilience_operator.resilience import CallError, GiveUp, TryAgain, from_exception, from_status
from resilience_operator.resilience.errors import parse_retry_after

DEPENDENCY = "kubernetes"
# Characters kept of a message. The error of a refused patch contains the whole object, and a pod's environment must not
# be logged. A proxy may respond with a web page.
_MOST_MESSAGE = 300

_EXCEPTIONS: tuple[tuple[type[BaseException], type[CallError], str], ...] = (
    # The first match wins, so a subclass precedes its base class. These classes derive from nothing that
    # `from_exception` maps, or from a class that it maps differently.
    (aiohttp.ClientConnectorCertificateError, GiveUp, "tls_verify"),
    (aiohttp.ClientSSLError, TryAgain, "tls"),
    (aiohttp.ServerTimeoutError, TryAgain, "timeout"),
    (aiohttp.ClientConnectorDNSError, TryAgain, "dns"),
    (aiohttp.ServerFingerprintMismatch, GiveUp, "tls_verify"),
    (aiohttp.ServerDisconnectedError, TryAgain, "reset"),
    (aiohttp.ClientPayloadError, TryAgain, "cut_off"),
    (aiohttp.InvalidURL, GiveUp, "bad_request"),
    (json.JSONDecodeError, TryAgain, "malformed"),
    (UnicodeDecodeError, TryAgain, "malformed"),
    (ConfigException, TryAgain, "credentials"),
    (OpenApiException, GiveUp, "bad_request"),
)


def from_client(error: Exception) -> CallError | None:
    """Map an exception from the client's libraries; None for a fault of our own, which is not handled here."""
    if isinstance(error, ApiException) and error.status:
        return from_status(error.status, dependency=DEPENDENCY, message=str(error.reason))
    for kind, expected, reason in _EXCEPTIONS:
        if isinstance(error, kind):
            return expected(str(error) or type(error).__name__, dependency=DEPENDENCY, reason=reason)
    if isinstance(error, aiohttp.ClientConnectorError):
        # "Cannot connect": the underlying system error gives the reason.
        cause = from_exception(error.os_error, dependency=DEPENDENCY)
        if cause is not None:
            return cause
    known = from_exception(error, dependency=DEPENDENCY)
    if known is None and isinstance(error, aiohttp.ClientError):
        return TryAgain(str(error) or type(error).__name__, dependency=DEPENDENCY, reason="network")
    return known


def from_answer(status: int, headers: Mapping[str, str], body: bytes) -> CallError:
    """Map an error response: a `Status` object of the API server, or the response of a proxy."""
    try:
        answer = orjson.loads(body)  # unlike `json`, it raises one exception type for all invalid input
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        text = body[:_MOST_MESSAGE].decode("utf-8", "replace").strip()
        answer = {"message": text}
    return from_status_object(answer, status, parse_retry_after(headers.get("Retry-After")))


def from_status_object(answer: Mapping[str, Any], status: int = 0, retry_after: float | None = None) -> CallError:
    """Map a `Status` object, from a response or from an ERROR event of a watch."""
    code = answer.get("code")
    status = status or (code if isinstance(code, int) else 500)
    details = answer.get("details")
    if retry_after is None and isinstance(details, dict) and details.get("retryAfterSeconds"):
        retry_after = parse_retry_after(str(details["retryAfterSeconds"]))
    return from_status(
        status,
        dependency=DEPENDENCY,
        message=str(answer.get("message") or f"HTTP {status}")[:_MOST_MESSAGE],
        retry_after=retry_after,
        detail=str(answer.get("reason") or ""),
    )
