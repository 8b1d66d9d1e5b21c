"""Operator configuration: one model, filled from flags, then RESILIENCE_* environment variables, then a file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from resilience_operator.api.invalid import message_of, path_of
from resilience_operator.plugins.config import NamespacedPluginConfig, NotifierConfig
from resilience_operator.runtime.masking import mask_named, mask_options, mask_userinfo
from resilience_operator.signals.prometheus.config import NO_TENANCY, SourceConfig, TenancyConfig, check_address


class BadConfig(ValueError):  # noqa: N818
    """The configuration is invalid; the message says what to change."""


def _source_kind(value: object) -> str:
    type_ = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    return "prometheus" if type_ in (None, "prometheus") else "plugin"


_Source = Annotated[
    Annotated[SourceConfig, Tag("prometheus")] | Annotated[NamespacedPluginConfig, Tag("plugin")],
    Discriminator(_source_kind),
]


_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Config(BaseSettings):
    """Configuration of one operator process."""

    model_config = SettingsConfigDict(
        env_prefix="RESILIENCE_", extra="forbid", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    kubeconfig: Annotated[Path | None, Field(description="Kubeconfig file. Default in a pod: its ServiceAccount.")] = (
        None
    )
    prometheus_url: Annotated[
        str | None, Field(description="URL of a metric source named default, as a shorthand for sources.")
    ] = None
    prometheus_tenancy: Annotated[
        str,
        Field(
            pattern="^_?[a-zA-Z][a-zA-Z0-9_.]*$",
            description=(
                "Tenancy of prometheus_url: the label of every series that holds its namespace, or none to let "
                "policy authors read all of its metrics."
            ),
        ),
    ] = TenancyConfig().label
    sources: Annotated[
        tuple[_Source, ...],
        Field(
            description=(
                "Metric sources that policies can select by name. The type is prometheus, or that of an "
                "installed plugin, with its options."
            )
        ),
    ] = ()
    actions: Annotated[
        tuple[NamespacedPluginConfig, ...],
        Field(
            description=(
                "Action plugins with options. Each installed one is available without options under its own name."
            )
        ),
    ] = ()
    notifiers: Annotated[
        tuple[NotifierConfig, ...], Field(description="Plugins that receive decisions and notices.")
    ] = ()
    dry_run: Annotated[bool, Field(description="Run every policy in DryRun mode.")] = False
    namespaces: Annotated[tuple[str, ...], Field(description="Watch only these namespaces. Default: all.")] = ()
    watch_nodes: Annotated[
        bool | None,
        Field(description="Watch nodes, for the signal zone-lost. Default: true if all namespaces are watched."),
    ] = None
    listen: Annotated[str, Field(description="Listen address of all endpoints.")] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Field(ge=0, le=65535, description="Port of probes and metrics. 0 disables all endpoints.")] = (
        8080
    )
    dashboard: Annotated[bool, Field(description="Serve the dashboard.")] = True
    dashboard_port: Annotated[
        int,
        Field(ge=1, le=65535, description="Port of the dashboard. May be the same as port."),
    ] = 8081
    dashboard_hosts: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*|[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?)$")], ...],
        Field(
            description=(
                "Allowed host names of the dashboard, like that of a proxy, in addition to IP addresses, "
                "localhost and the Service's names in the cluster. Other Host headers are refused, against DNS "
                "rebinding. '*' allows any."
            )
        ),
    ] = ()
    service_name: Annotated[
        str, Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", description="Name of the operator's Service.")
    ] = "resilience-operator"
    auth: Annotated[
        Literal["none", "kubernetes"],
        Field(
            description=(
                "Who may read /metrics and the dashboard. none: everyone who can reach the port. kubernetes: "
                "requests with a bearer token of an account that may get the path (TokenReview and "
                "SubjectAccessReview)."
            )
        ),
    ] = "none"
    log_format: Annotated[Literal["json", "console", "auto"], Field(description="Log format.")] = "auto"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="Log level.")] = "info"
    otlp_endpoint: Annotated[
        str | None,
        Field(
            pattern=r"^https?://[^@?#\s]+$",
            description=(
                "OTLP/HTTP base URL to send traces to, without /v1/traces. Enables tracing. The standard OTEL_* "
                "variables configure the rest, or all of it."
            ),
        ),
    ] = None
    relist_seconds: Annotated[
        float, Field(ge=10, description="Interval of full lists, in addition to the watches.")
    ] = 300.0
    refresh_seconds: Annotated[
        float, Field(ge=0, description="Interval at which displayed values are refreshed. 0: only on changes.")
    ] = 60.0
    refresh_writes_per_second: Annotated[
        float, Field(ge=0, description="Limit of these refreshes for all policies together. 0: none.")
    ] = 20.0
    leader_election: Annotated[
        bool, Field(description="Act only while holding the Lease. Required with two or more replicas.")
    ] = False
    lease_namespace: Annotated[str, Field(description="Namespace of the Lease.")] = "resilience-system"
    lease_name: Annotated[str, Field(description="Name of the Lease.")] = "leader.resilience-operator.io"
    lease_seconds: Annotated[
        float,
        Field(
            ge=10,
            le=120,
            description=(
                "Seconds after which another replica takes over from one that died. A replica that cannot renew the "
                "Lease for 60% of it stops. Raise it where the API server is slow for seconds."
            ),
        ),
    ] = 10.0
    shards: Annotated[
        int,
        Field(
            ge=1,
            le=256,
            description=(
                "Number of shards that policies are divided into by namespace. The replicas share them through "
                "the Lease. 1: one replica acts. More than 1 implies leader_election. Replicas with a different "
                "number wait."
            ),
        ),
    ] = 1

    @field_validator("prometheus_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        return None if value is None else check_address(value)

    @field_validator("namespaces")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _NAMESPACE.fullmatch(name):
                raise ValueError(f"{name[:80]!r} is not the name of a namespace: lower-case letters, digits and '-'")
        return value

    @model_validator(mode="after")
    def _one_default(self) -> Self:
        if self.prometheus_url is not None and any(s.name == "default" for s in self.sources):
            raise ValueError("prometheus_url and a source named default: keep one of them")
        for what, plugins in (("sources", self.sources), ("actions", self.actions), ("notifiers", self.notifiers)):
            for name, count in Counter(plugin.name for plugin in plugins).items():
                if count > 1:
                    raise ValueError(f"two {what} are named {name}: rename one")
        return self

    @property
    def watches_nodes(self) -> bool:
        """Whether nodes are watched."""
        return not self.namespaces if self.watch_nodes is None else self.watch_nodes

    @property
    def traces(self) -> bool:
        """Whether spans are sent: if an endpoint is configured here or in OpenTelemetry's own variables."""
        off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        standard = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        return not off and bool(self.otlp_endpoint or any(os.environ.get(name) for name in standard))

    @property
    def all_sources(self) -> tuple[SourceConfig, ...]:
        """All configured sources with a Prometheus API, including the shorthand."""
        sources = tuple(s for s in self.sources if isinstance(s, SourceConfig))
        if self.prometheus_url is None:
            return sources
        off = self.prometheus_tenancy == NO_TENANCY
        tenancy = NO_TENANCY if off else TenancyConfig(label=self.prometheus_tenancy)
        return (SourceConfig(name="default", url=self.prometheus_url, tenancy=tenancy), *sources)

    @property
    def plugin_sources(self) -> tuple[NamespacedPluginConfig, ...]:
        """All configured sources that are provided by plugins."""
        return tuple(s for s in self.sources if isinstance(s, NamespacedPluginConfig))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Precedence: flags, then environment, then file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _content)


_content: dict[str, Any] = {}


def load(flags: dict[str, Any], file: Path | None = None) -> Config:
    """Load the configuration. Flags that are None count as not set. Raises BadConfig."""
    global _content  # noqa: PLW0603 - pydantic-settings has no other way to pass a file's content to a source
    _content = _read(file) if file is not None else {}
    try:
        return Config(**{name: value for name, value in flags.items() if value is not None and value != ()})
    except ValidationError as error:
        raise BadConfig("; ".join(_problem(detail) for detail in error.errors())) from None
    except SettingsError as error:
        raise BadConfig(_not_json(error)) from None
    finally:
        _content = {}


def _not_json(error: SettingsError) -> str:
    """What to change in a variable whose setting is a list or a mapping."""
    named = re.search(r'field "(\w+)"', str(error))
    if named is None:
        return "a variable RESILIENCE_… is not valid JSON"
    return f'{named[1]}: RESILIENCE_{named[1].upper()} is not valid JSON: write a list like ["a", "b"]'


def _read(file: Path) -> dict[str, Any]:
    """Read the mapping in a YAML file, which may be a pipe. Raises BadConfig, which quotes none of the content."""
    try:
        found = yaml.safe_load(file.read_text("utf-8"))
    except FileNotFoundError:
        raise BadConfig(f"configuration file {file} does not exist") from None
    except OSError as error:
        raise BadConfig(f"cannot read configuration file {file}: {error.strerror}") from None
    except (UnicodeDecodeError, RecursionError):
        raise BadConfig(f"{file} is not valid YAML") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f": line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise BadConfig(f"{file} is not valid YAML{where}") from None
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise BadConfig(f"{file} must contain a mapping, like `port: 8080`")
    return found


def _problem(detail: ErrorDetails) -> str:
    """Where the problem is, and what to change. Never the value, which may be a secret."""
    location = detail["loc"]
    kinds = {"prometheus", "plugin"}  # of a source: no part of what is written
    written = [
        part
        for before, part in zip((None, *location), location, strict=False)
        if not (part in kinds and isinstance(before, int))
    ]
    message = message_of(detail, "its value")
    if detail["type"] == "extra_forbidden" and len(written) == 1:
        close = get_close_matches(str(written[0]), Config.model_fields, 1)
        message = f"unknown setting: did you mean {close[0]}?" if close else "unknown setting: remove it"
    return f"{path_of(written) or 'configuration'}: {message}"


def show(config: Config) -> dict[str, Any]:
    """Return the effective configuration as JSON, with secrets masked."""
    found = mask_userinfo(config.model_dump(mode="json"))
    for plugin in (*found["sources"], *found["actions"], *found["notifiers"]):
        if "options" in plugin:
            plugin["options"] = mask_options(plugin["options"])
        if "parameters" in plugin:
            plugin["parameters"] = mask_named(plugin["parameters"])
    return dict(found)
