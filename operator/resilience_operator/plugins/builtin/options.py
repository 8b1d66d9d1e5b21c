"""Options of the built-in notifiers. Secrets are in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from resilience_operator.plugins.protocols import Notification
from resilience_operator.resilience import GiveUp
from resilience_operator.signals.prometheus.credentials import check_encrypted

FILLED_IN = ("namespace", "policy", "target", "trace_id")

Options = TypeVar("Options", bound="NotifierOptions")


class NotifierOptions(BaseModel):
    """Options of every built-in notifier.

    link: a URL in messages, with the placeholders {namespace}, {policy}, {target} and {trace_id}.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str
    url: Annotated[str, Field(description="Address to send to, if it is not secret.")] = ""
    url_file: Annotated[Path | None, Field(description="File that contains the address, if it is secret.")] = None
    link: Annotated[str, Field(description="Link to a page about the policy.")] = ""

    @field_validator("link")
    @classmethod
    def _placeholders(cls, value: str) -> str:
        try:
            parts = [
                (name, spec, conversion) for _, name, spec, conversion in Formatter().parse(value) if name is not None
            ]
        except ValueError:
            parts = [("", "", None)]
        if any(name not in FILLED_IN or spec or conversion for name, spec, conversion in parts):
            raise ValueError("only the placeholders {namespace}, {policy}, {target} and {trace_id} are supported")
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must be an http:// or https:// address")
        return value

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if bool(self.url) == (self.url_file is not None):
            raise ValueError("set exactly one of url and url_file")
        return self

    def address(self) -> str:
        """Read the current address: a mounted Secret may be rotated. Raises GiveUp, without the file's content."""
        if self.url_file is None:
            return self.url
        try:
            text = self.url_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise GiveUp(f"cannot read {self.url_file}: {type(error).__name__}", reason="credentials") from None
        if not text or not text.isprintable():
            raise GiveUp(f"{self.url_file} must hold one line of text", reason="credentials")
        return text

    def link_to(self, notification: Notification) -> str:
        """Return the link of a notification; empty if none is configured."""
        return self.link.format(**{name: quote(getattr(notification, name), safe="") for name in FILLED_IN})


class HttpOptions(NotifierOptions):
    """Options of a notifier that posts JSON. The files are the same as for a metric source."""

    bearer_token_file: Path | None = None
    username_file: Path | None = None
    password_file: Path | None = None
    header_files: dict[str, Path] = {}
    allow_insecure: Annotated[bool, Field(description="Also send credentials to http:// addresses.")] = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value:
            check_address(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.username_file is None) != (self.password_file is None):
            raise ValueError("set username_file and password_file together")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        if self.url and not self.allow_insecure:
            check_encrypted(self.url, self)
        return self

    @property
    def headers(self) -> Mapping[str, SecretStr]:
        """No headers: the configuration may be printed, so headers come from files."""
        return {}


def check_address(value: str) -> None:
    """Check an address. Raises ValueError without the address."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain credentials: use files")


def parse_options(model: type[Options], name: str, options: Mapping[str, Any]) -> Options:
    """Return the options as a model. Raises ValueError with what to change, without values."""
    try:
        return model.model_validate({**options, "name": name})
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc'])) or 'options'}: {e['msg']}" for e in error.errors())
        raise ValueError("; ".join(problems)) from None
