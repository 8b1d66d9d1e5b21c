"""Maps HTTP client exceptions and error responses to the errors of `resilience.errors`.

Exception texts are included only if they cannot contain a header's value.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping

import aiohttp as a
import urllib3.exceptions as u
from requests import exceptions as r

from resilience_operator.resilience.errors import (
    CallError,
    GiveUp,
    TryAgain,
    from_exception,
    from_status,
    parse_retry_after,
)
from resilience_operator.signals.prometheus import response


def error_from_response(status: int, headers: Mapping[str, str], body: bytes, dependency: str) -> CallError:
    """The error for a response with a status other than 200. body: the part of it that was read."""
    if 300 <= status < 400:
        return GiveUp(
            f"the server redirects (HTTP {status}): configure the target address instead",
            dependency=dependency,
            reason="redirect",
            status=status,
        )
    kind, text = _parse_error(body)
    if kind in ("execution", "bad_data") and text.endswith("context deadline exceeded"):
        kind = "timeout"  # Prometheus reports a time-out in its storage as HTTP 422, in its queue as HTTP 400
    if kind == "timeout":
        return TryAgain(
            f"the query took too long: {text}", dependency=dependency, reason="timeout", status=status, detail=kind
        )
    if status in (400, 422) and kind:
        return GiveUp(f"{kind}: {text}", dependency=dependency, reason="bad_query", status=status, detail=kind)
    return from_status(
        status,
        dependency=dependency,
        message=f"HTTP {status}" + (f": {text}" if text else ""),
        retry_after=parse_retry_after(headers.get("Retry-After")),
        detail=kind,
    )


def too_large(limit: int, dependency: str) -> CallError:
    """The error for a response with more than `limit` bytes."""
    return GiveUp(
        f"the response is larger than {limit} bytes: narrow the query, or raise max_answer_bytes",
        dependency=dependency,
        reason="too_large",
    )


def _parse_error(body: bytes) -> tuple[str, str]:
    """`errorType` and `error` of an error document; for any other text, its beginning."""
    try:
        found = response.decode(body)
    except ValueError:
        text = body[:1000].decode("utf-8", "replace")
        return "", "" if "<" in text else response.sanitize(text)
    if not isinstance(found, Mapping):
        return "", ""
    return response.sanitize(str(found.get("errorType", "")))[:40], response.sanitize(str(found.get("error", "")))


def error_from_exception(error: Exception, dependency: str) -> CallError:
    """The error for an exception of aiohttp, requests, urllib3 or the standard library."""
    if isinstance(error, CallError):
        return error
    causes = list(_causes(error))
    # Innermost first: urllib3 classifies a refused connection as a time-out.
    for cause in reversed(causes):
        if (known := _known(cause, dependency)) is not None:
            return known
    if any(isinstance(cause, a.SocketTimeoutError | r.Timeout | u.TimeoutError) for cause in causes):
        return TryAgain("no answer in time", dependency=dependency, reason="timeout")
    return TryAgain(type(error).__name__, dependency=dependency, reason="network")


def _known(cause: BaseException, dependency: str) -> CallError | None:
    match cause:
        case ssl.SSLCertVerificationError():
            return GiveUp(
                f"the server's certificate is not trusted: {response.sanitize(cause.verify_message)}",
                dependency=dependency,
                reason="tls_verify",
            )
        case a.ClientPayloadError() | r.ChunkedEncodingError() | r.ContentDecodingError():
            return response.bad_answer("the response ended early", dependency)
        case u.IncompleteRead() | u.DecodeError():
            return response.bad_answer("the response ended early", dependency)
        case u.NameResolutionError():
            return TryAgain("the host name cannot be resolved", dependency=dependency, reason="dns")
        case r.InvalidHeader() | UnicodeError():
            return GiveUp(
                "a header value contains invalid characters",
                dependency=dependency,
                reason="credentials",
            )
        case a.InvalidURL() | r.InvalidURL() | r.MissingSchema() | r.InvalidSchema() | u.LocationParseError():
            return GiveUp("the address is invalid", dependency=dependency, reason="address")
        case a.ServerDisconnectedError():
            return TryAgain("the server closed the connection", dependency=dependency, reason="reset")
        case a.ClientResponseError():
            return response.bad_answer("the response is not HTTP", dependency)
        case r.RequestException() | a.ClientError():
            return None
        case OSError(errno=int(number)) if number > 0 and not isinstance(cause, ssl.SSLError):
            # Without the address, which asyncio includes: anyone who may read policies can read the status.
            return from_exception(OSError(number, os.strerror(number)), dependency=dependency)
        case _:
            return from_exception(cause, dependency=dependency)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and everything that it wraps. requests and urllib3 wrap in arguments, `reason` and causes."""
    todo: list[BaseException] = [error]
    seen: set[int] = set()
    while todo:
        found = todo.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        causes = (getattr(found, "reason", None), *found.args, found.__cause__, found.__context__)
        todo += [cause for cause in causes if isinstance(cause, BaseException)]
