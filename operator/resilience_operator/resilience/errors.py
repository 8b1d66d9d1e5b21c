"""Errors named for what the caller does next, and the one table that sorts failures into them.

    TryAgain    the same call may succeed later       time-out, dropped or refused connection, DNS, 429, 5xx
    ReadAgain   the world moved: read it, decide anew  409 conflict, a precondition that no longer holds
    LoginAgain  once more, with fresh credentials      401
    GiveUp      the call itself is wrong or forbidden  400, 403, 404 (NotFound), 409 exists (AlreadyExists),
                                                       410 (Gone), 422 (Unprocessable), every other 4xx
    Expired     the deadline passed

501 and 505 are 5xx that say "never": a server that does not know the method will not learn it in a second.
`reason` is a metric's label: it comes from a bounded set, never from an answer's text.
Status codes: RFC 9110 section 15; 429: RFC 6585; what an API server answers when:
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#http-status-codes
"""

# ruff: noqa: N818 - the names say what to do, which "Error" at the end would not add to
from __future__ import annotations

import socket
import ssl


class CallError(Exception):
    """A call to a dependency failed.

    dependency: whom was called ("kubernetes", "prometheus", …), a metric's label.
    reason: why, from a bounded set ("timeout", "reset", "status_503", …), a metric's label.
    retry_after: seconds that the dependency asked us to wait, or None.
    status: the HTTP status, 0 where there was none.
    detail: a machine word of the dependency's own (a Kubernetes Status' `reason`), or empty.
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
    """It may succeed later, unchanged."""


class Conflict(CallError):
    """What the call was based on is no longer so: read, decide again."""


class Unauthorized(CallError):
    """The credentials were refused: fetch them afresh and call once more."""


class GiveUp(CallError):
    """It will not succeed, however often it is tried."""


class NotFound(GiveUp):
    """There is no such object (404)."""


class AlreadyExists(GiveUp):
    """There is such an object already (409 on a create)."""


class Gone(GiveUp):
    """The version asked for is no longer kept (410): list anew."""


class Unprocessable(GiveUp):
    """Well formed, but refused for its content (422)."""


class DeadlineExceeded(CallError):
    """The deadline passed before an answer came."""


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
    """The error that an HTTP status of 400 and above (or an unexpected 1xx to 3xx) stands for."""
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
    # Read from the top: a subclass stands before the class it derives from.
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
    """The error that an exception of the standard library's network stack stands for; None for any other.

    A client library's own exceptions are sorted where that library is used, and fall back to this.
    """
    if isinstance(error, CallError):
        return error
    for kind, wanted, reason in _EXCEPTIONS:
        if isinstance(error, kind):
            return wanted(str(error) or type(error).__name__, dependency=dependency, reason=reason)
    return None


def parse_retry_after(value: str | None, *, most: float = 120.0) -> float | None:
    """Seconds of a `Retry-After` header given as a number (RFC 9110 10.2.3), `most` at most; else None.

    The header's other form, a date, is left aside: it would compare two machines' wall clocks.
    """
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return min(seconds, most) if 0 <= seconds < float("inf") else None
