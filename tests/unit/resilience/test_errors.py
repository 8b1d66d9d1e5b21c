"""The one table of classification: which failure means what the caller does next."""

from __future__ import annotations

import socket
import ssl

import pytest

from resilience_operator.resilience import (
    AlreadyExists,
    CallError,
    Conflict,
    GiveUp,
    Gone,
    NotFound,
    TryAgain,
    Unauthorized,
    Unprocessable,
    from_exception,
    from_status,
)
from resilience_operator.resilience.errors import parse_retry_after


@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (301, "", GiveUp),
        (400, "BadRequest", GiveUp),
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", GiveUp),
        (404, "NotFound", NotFound),
        (405, "", GiveUp),
        (408, "", TryAgain),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Gone),
        (413, "", GiveUp),
        (422, "Invalid", Unprocessable),
        (425, "", TryAgain),
        (429, "TooManyRequests", TryAgain),
        (500, "InternalError", TryAgain),
        (501, "", GiveUp),
        (502, "", TryAgain),
        (503, "ServiceUnavailable", TryAgain),
        (504, "Timeout", TryAgain),
        (505, "", GiveUp),
        (599, "", TryAgain),
    ],
)
def test_a_status_says_what_to_do(status: int, detail: str, kind: type[CallError]) -> None:
    error = from_status(status, dependency="kubernetes", detail=detail)
    assert type(error) is kind
    assert error.reason == f"status_{status}"
    assert error.status == status


def test_a_status_that_is_none_does_not_widen_the_label() -> None:
    assert from_status(70123, dependency="x").reason == "status_other"


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (TimeoutError(), TryAgain, "timeout"),
        (ConnectionResetError(104, "reset"), TryAgain, "reset"),
        (BrokenPipeError(), TryAgain, "reset"),
        (ConnectionRefusedError(111, "refused"), TryAgain, "refused"),
        (socket.gaierror(-2, "unknown"), TryAgain, "dns"),
        (EOFError(), TryAgain, "reset"),
        (ssl.SSLError("broken"), TryAgain, "tls"),
        (ssl.SSLCertVerificationError("not trusted"), GiveUp, "tls_verify"),
        (OSError(113, "no route to host"), TryAgain, "network"),
    ],
)
def test_an_exception_says_what_to_do(error: Exception, kind: type[CallError], reason: str) -> None:
    found = from_exception(error, dependency="prometheus")
    assert type(found) is kind
    assert (found.reason, found.dependency) == (reason, "prometheus")


def test_a_fault_of_our_own_is_no_call_error() -> None:
    assert from_exception(ValueError("a bug"), dependency="x") is None
    assert from_exception(KeyError("a bug"), dependency="x") is None


def test_a_call_error_stays_what_it_is() -> None:
    error = NotFound("gone", dependency="kubernetes")
    assert from_exception(error, dependency="other") is error


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("86400", 120.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header) == seconds
