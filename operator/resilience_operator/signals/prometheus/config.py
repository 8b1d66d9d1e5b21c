"""Configuration of one metrics endpoint.

Credentials are files, never values. So the configuration can be printed safely, and a mounted Secret that is rotated
takes effect without a restart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from resilience_operator.signals.namespaces import EVERYWHERE, Namespaces
from resilience_operator.signals.prometheus.credentials import check_encrypted

NO_TENANCY = "none"
"""Value of `tenancy` that turns it off."""


def _about(text: str) -> object:
    return Field(description=text)


def check_address(value: str) -> str:
    """The base address of a metric source, without a trailing slash. Raises ValueError, whose text never contains the
    address.
    """
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its text contains part of the address, and so perhaps a password
        raise ValueError("must be an http:// or https:// address with a valid host and port") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("must be an http:// or https:// address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain credentials: use username_file and password_file")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or fragment: use `parameters`")
    return value.rstrip("/")


class TenancyConfig(BaseModel):
    """Restricts custom queries to the policy's namespace."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    label: Annotated[
        str,
        Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.]*$"),
        _about("Label of every series that holds its namespace."),
    ] = "namespace"

    @field_validator("label")
    @classmethod
    def _no_name(cls, value: str) -> str:
        if value.startswith("__"):
            raise ValueError(
                "labels that begin with __ are reserved by Prometheus: use the label that holds the namespace"
            )
        return value


class SourceConfig(BaseModel):
    """A Prometheus-compatible endpoint: Prometheus, Thanos, Mimir, VictoriaMetrics."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"), _about("Name that policies use.")]
    type: Annotated[Literal["prometheus"], _about("API of the source. Plugins have their own types.")] = "prometheus"
    url: Annotated[str, _about("Base URL, with any path prefix, without /api/v1 and without credentials.")]
    bearer_token_file: Annotated[Path | None, _about("File with a bearer token.")] = None
    username_file: Annotated[Path | None, _about("File with the user name (basic auth).")] = None
    password_file: Annotated[Path | None, _about("File with the password (basic auth).")] = None
    allow_insecure: Annotated[bool, _about("Send these credentials also to an http:// URL, unencrypted.")] = False
    ca_file: Annotated[Path | None, _about("PEM file of CA certificates, instead of the system CAs.")] = None
    cert_file: Annotated[Path | None, _about("PEM file of the client certificate (mutual TLS).")] = None
    key_file: Annotated[Path | None, _about("PEM file of the client key.")] = None
    headers: Annotated[
        dict[str, SecretStr], _about("Sent with every request, for example X-Scope-OrgID, the tenant of Mimir.")
    ] = {}
    header_files: Annotated[dict[str, Path], _about("Headers whose value is read from a file.")] = {}
    parameters: Annotated[
        dict[str, str], _about("Sent with every query, for example partial_response=false for Thanos.")
    ] = {}
    tenancy: Annotated[
        TenancyConfig | Literal["none"],
        _about(
            "Limit custom queries to the policy's namespace, by a matcher on this label in every selector. none: "
            "every author can read all metrics of the source."
        ),
    ] = TenancyConfig()
    matchers: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")], Annotated[str, Field(max_length=253)]],
        _about(
            "Label values of every series that is read from this source, like {cluster: eu}: for one store with the "
            "metrics of several clusters. They apply to presets and custom queries."
        ),
    ] = {}
    namespaces: Namespaces = EVERYWHERE
    method: Annotated[Literal["POST", "GET"], _about("HTTP method. Use GET for gateways that block POST.")] = "POST"
    compress: Annotated[bool, _about("Request compressed responses: less network, more CPU on both sides.")] = False
    concurrency: Annotated[int, Field(ge=1, le=64), _about("Maximum number of concurrent queries.")] = 4
    query_seconds_per_minute: Annotated[
        float,
        Field(gt=0, le=3840),
        _about(
            "Query seconds that the custom queries of one namespace may use in a minute; above that they are sent less "
            "often. 60 is as much as one query that is always under way."
        ),
    ] = 60.0
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=60), _about("Maximum time to connect.")] = 3.0
    read_timeout_seconds: Annotated[float, Field(gt=0, le=300), _about("Maximum time to wait for a response.")] = 10.0
    max_answer_bytes: Annotated[int, Field(ge=1024), _about("Maximum size of a response.")] = 64 << 20
    max_clock_skew_seconds: Annotated[
        float, Field(gt=0), _about("Maximum clock difference before results count as stale.")
    ] = 60.0

    @field_validator("tenancy", mode="before")
    @classmethod
    def _tenancy(cls, value: object) -> object:
        if value is None or (isinstance(value, str) and value != NO_TENANCY):
            raise ValueError(
                "must be {label: NAME}, with the label that holds the namespace, or none to turn tenancy off"
            )
        return value

    @property
    def tenant_label(self) -> str:
        """The label by which custom queries are restricted; empty if they are not."""
        return self.tenancy.label if isinstance(self.tenancy, TenancyConfig) else ""

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        return check_address(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tenant_label and self.tenant_label in self.matchers:
            raise ValueError(f"matchers must not set {self.tenant_label}, the label of tenancy")
        if (self.username_file is None) != (self.password_file is None):
            raise ValueError("username_file and password_file must be set together")
        if self.bearer_token_file and self.username_file:
            raise ValueError("set bearer_token_file, or username_file and password_file, not both")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file requires cert_file")
        if not self.allow_insecure:
            check_encrypted(self.url, self)
        return self
