"""Posts JSON: bounded by the deadline, with classified failures and no secrets in messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import requests

from resilience_operator import __version__
from resilience_operator.plugins.builtin.formatting import Group
from resilience_operator.plugins.builtin.options import HttpOptions, check_address, parse_options
from resilience_operator.plugins.protocols import Notification
from resilience_operator.resilience import CallError, Deadline, GiveUp, from_status
from resilience_operator.resilience.errors import parse_retry_after
from resilience_operator.signals.prometheus import errors as failures
from resilience_operator.signals.prometheus.credentials import Credentials, check_encrypted

Posting = TypeVar("Posting", bound=HttpOptions)

CONNECT_SECONDS = 3.0
READ_SECONDS = 8.0


class JsonNotifier(ABC, Generic[Posting]):
    """A notifier that posts a group as one document."""

    options_model: type[Posting]
    path: ClassVar[str] = ""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.options = parse_options(self.options_model, name, options)
        self._endpoint = Endpoint(self.options)

    def notify(self, notification: Notification, deadline: Deadline) -> None:
        """Send one notification."""
        self.notify_group((notification,), deadline)

    def notify_group(self, group: Group, deadline: Deadline) -> None:
        """Send several notifications at once."""
        self._endpoint.post(self.document(group), deadline, path=self.path)

    @abstractmethod
    def document(self, group: Group) -> Any:
        """Return the JSON document to post."""


class Endpoint:
    """An address to post to."""

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self._credentials = Credentials(options)

    def post(self, document: Any, deadline: Deadline, *, path: str = "") -> None:
        """Post the document once. Raises CallErrors without the response text, which may contain the address."""
        o = self._options
        address = o.address()
        try:
            check_address(address)
            if not o.allow_insecure:
                check_encrypted(address, o)
        except ValueError as error:
            raise GiveUp(f"the address in {o.url_file}: {error}", dependency=o.name, reason="credentials") from None
        try:
            # A session per call: messages are rare, and hanging calls may overlap.
            with requests.post(
                address.rstrip("/") + path if path else address,
                json=document,
                headers={"User-Agent": f"resilience-operator/{__version__}"},
                auth=self._credentials,
                verify=str(o.ca_file) if o.ca_file else True,
                cert=_certificate(o),
                timeout=(deadline.timeout(CONNECT_SECONDS), deadline.timeout(READ_SECONDS)),
                allow_redirects=False,
                stream=True,
            ) as answer:
                status, after = answer.status_code, answer.headers.get("Retry-After")
        except Exception as error:
            # `from None`: the cause contains the address.
            raise failures.error_from_exception(error, o.name) from None
        if not 200 <= status < 300:
            raise _refusal(status, after, o.name)


def _refusal(status: int, after: str | None, name: str) -> CallError:
    if 300 <= status < 400:
        return GiveUp(f"it redirects (HTTP {status}): configure the address that it redirects to", reason="redirect")
    return from_status(status, dependency=name, retry_after=parse_retry_after(after))


def _certificate(options: HttpOptions) -> str | tuple[str, str] | None:
    if options.cert_file is None:
        return None
    return (str(options.cert_file), str(options.key_file)) if options.key_file else str(options.cert_file)
