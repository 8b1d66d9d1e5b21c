"""Parses the responses of one source and redacts the secrets that its requests contained.

Secrets are redacted before a text is truncated, since truncation could leave half of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience_operator.resilience.errors import CallError
from resilience_operator.signals.prometheus import errors, response
from resilience_operator.signals.prometheus.credentials import Credentials

MAX_ERROR_BODY = 64 * 1024
"""Maximum number of bytes read from an error response."""


class ResponseReader:
    """Parses the responses of one source. Raises the errors of `resilience.errors`."""

    def __init__(self, dependency: str, credentials: Credentials) -> None:
        self._dependency = dependency
        self._credentials = credentials

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """The error for a response with a status other than 200. body: the part of it that was read."""
        redacted = self._credentials.redact(body.decode("utf-8", "replace"))
        return errors.error_from_response(status, headers, redacted.encode(), self._dependency)

    def check_kind(self, headers: Mapping[str, str]) -> None:
        """Raise TryAgain("bad_answer") unless the content type is JSON."""
        kind = headers.get("Content-Type", "")
        if "json" not in kind:
            raise response.bad_answer(
                f"the response is {response.sanitize(kind) or 'of no type'}, not JSON", self._dependency
            )

    def document(self, body: bytes) -> Mapping[str, Any]:
        """The JSON object of a response. Raises TryAgain("bad_answer")."""
        found = response.parse_document(body, self._dependency)
        if reported := found.get("warnings"):
            reported = reported if isinstance(reported, list) else [reported]
            found = {**found, "warnings": [self._credentials.redact(str(warning)) for warning in reported]}
        return found
