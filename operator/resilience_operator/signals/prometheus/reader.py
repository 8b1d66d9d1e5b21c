"""What one source's server sent, read so that nothing in it repeats the secrets which it was asked with.

Secrets are struck out before a text is cut to the length of a message, which could leave half of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience_operator.resilience.errors import CallError
from resilience_operator.signals.prometheus import errors as failures
from resilience_operator.signals.prometheus import response as wire
from resilience_operator.signals.prometheus.credentials import Credentials

MAX_ERROR_BODY = 64 * 1024
"""Bytes that are read of an answer that is none."""


class ResponseReader:
    """Reads for one source. Raises errors of `resilience.errors`."""

    def __init__(self, dependency: str, credentials: Credentials) -> None:
        self._dependency = dependency
        self._credentials = credentials

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """What a response other than 200 stands for. body: as much of it as was read."""
        told = self._credentials.redact(body.decode("utf-8", "replace"))
        return failures.error_from_response(status, headers, told.encode(), self._dependency)

    def check_kind(self, headers: Mapping[str, str]) -> None:
        """Let nothing pass but what calls itself JSON."""
        kind = headers.get("Content-Type", "")
        if "json" not in kind:
            raise wire.bad_answer(f"the answer is {wire.sanitize(kind) or 'of no type'}, not JSON", self._dependency)

    def document(self, body: bytes) -> Mapping[str, Any]:
        """The JSON object of an answer."""
        found = wire.parse_document(body, self._dependency)
        if told := found.get("warnings"):
            told = told if isinstance(told, list) else [told]
            found = {**found, "warnings": [self._credentials.redact(str(warning)) for warning in told]}
        return found
