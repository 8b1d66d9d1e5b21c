"""The one place where the client's and the API server's failures become `resilience.errors`."""

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
# Characters kept of a message. A refused patch is told with the whole object, and what stands in a pod's
# environment has no place in a log; a proxy answers with a web page.
_MOST_MESSAGE = 300

_EXCEPTIONS: tuple[tuple[type[BaseException], type[CallError], str], ...] = (
    # Read from the top: a subclass stands before the class it derives from. What stands here derives from
    # nothing that `from_exception` knows, or from the wrong one of them.
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
    """The error that an exception from below the client stands for; None: a fault of our own, let it pass."""
    if isinstance(error, ApiException) and error.status:
        return from_status(error.status, dependency=DEPENDENCY, message=str(error.reason))
    for kind, wanted, reason in _EXCEPTIONS:
        if isinstance(error, kind):
            return wanted(str(error) or type(error).__name__, dependency=DEPENDENCY, reason=reason)
    if isinstance(error, aiohttp.ClientConnectorError):
        # "Cannot connect": the system's own error underneath says why.
        cause = from_exception(error.os_error, dependency=DEPENDENCY)
        if cause is not None:
            return cause
    known = from_exception(error, dependency=DEPENDENCY)
    if known is None and isinstance(error, aiohttp.ClientError):
        return TryAgain(str(error) or type(error).__name__, dependency=DEPENDENCY, reason="network")
    return known


def from_answer(status: int, headers: Mapping[str, str], body: bytes) -> CallError:
    """The error that an answer of the API server stands for: a `Status` object, or whatever a proxy says."""
    try:
        answer = orjson.loads(body)  # unlike `json`, with one kind of error for all that it cannot read
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        text = body[:_MOST_MESSAGE].decode("utf-8", "replace").strip()
        answer = {"message": text}
    return from_status_object(answer, status, parse_retry_after(headers.get("Retry-After")))


def from_status_object(answer: Mapping[str, Any], status: int = 0, retry_after: float | None = None) -> CallError:
    """The error that a `Status` object stands for, as an answer carries it, or a watch's ERROR event."""
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
