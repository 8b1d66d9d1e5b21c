"""Errors named after what the caller does next, and the table that maps failures to them.

    TryAgain          the same call may succeed later       time-out, dropped or refused connection, DNS, 429, 5xx
    Conflict          read again, then decide again         409 conflict, a precondition that no longer holds
    Unauthorized      once more, with new credentials       401
    GiveUp            the call itself is wrong or forbidden 400, 403, 404 (NotFound), 409 exists (AlreadyExists),
                                                            410 (Gone), 422 (Unprocessable), every other 4xx
    DeadlineExceeded  the deadline passed

501 and 505 are 5xx but permanent: a server that does not support a method will not support it a second later.
`reason` is the label of a metric: it is one of a bounded set, never taken from a response.
Status codes: RFC 9110 section 15; 429: RFC 6585; status codes of the Kubernetes API server:
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#http-status-codes
"""

# ruff: noqa: N818 - the names say what to do; an "Error" suffix would add nothing
from __future__ import annotations

import socket
import ssl


class CallError(Exception):
    """A call to a dependency failed.

    dependency: what was called ("kubernetes", "prometheus", …), the label of a metric.
    reason: why, from a bounded set ("timeout", "reset", "status_503", …), the label of a metric.
    retry_after: seconds that the dependency asked us to wait, or None.
    status: the HTTP status; 0 if there was none.
    detail: a machine-readable word of the dependency (`reason` of a Kubernetes Status), or empty.
    """

    def __init__(
        self,
        message: str = "",
        *,
        dependency: str = "",
        reason: str = "error",
        retry_after: float | None = None,
        status: int = 0,
        detail: str = "",
    ) -> None:
        super().__init__(message or reason)
        self.message = message or reason
        self.dependency = dependency
        self.reason = reason
        self.retry_after = retry_after
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        where = f"{self.dependency}: " if self.dependency else ""
        return f"{where}{self.message} ({self.reason})"


class TryAgain(CallError):
    """The same call may succeed later."""


class Conflict(CallError):
    """The state on which the call was based has changed: read it and decide again."""


class Unauthorized(CallError):
    """The credentials were rejected: refresh them and retry once."""


class GiveUp(CallError):
    """The call will not succeed, however often it is retried."""


class NotFound(GiveUp):
    """The object does not exist (404)."""


class AlreadyExists(GiveUp):
    """The object already exists (409 on create)."""


class Gone(GiveUp):
    """The requested version is no longer available (410): list again."""


class Unprocessable(GiveUp):
    """Well-formed, but rejected for its content (422)."""


class DeadlineExceeded(CallError):
    """The deadline passed before the call returned."""


_TYPES: dict[int, type[CallError]] = {
    400: GiveUp,
    401: Unauthorized,
    403: GiveUp,
    404: NotFound,
    408: TryAgain,
    409: Conflict,
    410: Gone,
    422: Unprocessable,
    425: TryAgain,
    429: TryAgain,
    501: GiveUp,
    505: GiveUp,
}


def _type_of(status: int) -> type[CallError]:
    if status in _TYPES:
        return _TYPES[status]
    return TryAgain if status >= 500 else GiveUp


def from_status(
    status: int,
    *,
    dependency: str,
    message: str = "",
    retry_after: float | None = None,
    detail: str = "",
) -> CallError:
    """The error for an HTTP status of 400 and above (or an unexpected 1xx to 3xx)."""
    kind = _type_of(status)
    if status == 409 and detail == "AlreadyExists":
        kind = AlreadyExists
    return kind(
        message or f"HTTP {status}",
        dependency=dependency,
        reason=f"status_{status}" if 100 <= status < 600 else "status_other",
        retry_after=retry_after,
        status=status,
        detail=detail,
    )


_EXCEPTIONS: tuple[tuple[type[BaseException], type[CallError], str], ...] = (
    # The first match counts, so a subclass comes before its base class.
    (TimeoutError, TryAgain, "timeout"),
    (ssl.SSLCertVerificationError, GiveUp, "tls_verify"),
    (ssl.SSLError, TryAgain, "tls"),
    (socket.gaierror, TryAgain, "dns"),
    (ConnectionRefusedError, TryAgain, "refused"),
    (ConnectionError, TryAgain, "reset"),
    (EOFError, TryAgain, "reset"),
    (OSError, TryAgain, "network"),
)


def from_exception(error: BaseException, *, dependency: str) -> CallError | None:
    """The error for an exception of the standard library's network stack; None for any other.

    Exceptions of a client library are mapped where that library is used, with this function as the fallback.
    """
    if isinstance(error, CallError):
        return error
    for kind, error_type, reason in _EXCEPTIONS:
        if isinstance(error, kind):
            return error_type(str(error) or type(error).__name__, dependency=dependency, reason=reason)
    return None


def parse_retry_after(value: str | None, *, most: float = 120.0) -> float | None:
    """Seconds of a numeric `Retry-After` header (RFC 9110 10.2.3), at most `most`; None otherwise.

    The other form, a date, is ignored: it would compare the wall clocks of two machines.
    """
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return min(seconds, most) if 0 <= seconds < float("inf") else None
