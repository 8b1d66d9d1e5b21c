"""Configuration of plugins."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from resilience_operator.signals.namespaces import EVERYWHERE, Namespaces

NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"


class PluginConfig(BaseModel):
    """One configured plugin.

    Credentials belong in files that `options` name, so that printing the configuration does not reveal them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=NAME, description="Name in policies and metrics.")]
    type: Annotated[str, Field(pattern=NAME, description="Name of the installed plugin (its entry point).")]
    options: Annotated[
        dict[str, JsonValue], Field(description="Passed to the plugin unchanged. Use file names, not credentials.")
    ] = {}


class NamespacedPluginConfig(PluginConfig):
    """One configured metric source or action, which may be limited to some namespaces."""

    namespaces: Namespaces = EVERYWHERE


class NotifierConfig(PluginConfig):
    """One configured notifier. The times apply to notifiers that support groups."""

    group_wait_seconds: Annotated[
        float, Field(ge=0, le=60, description="How long to wait for events of the same group.")
    ] = 2.0
    group_interval_seconds: Annotated[
        float,
        Field(ge=0, le=3600, description="Minimum time between two messages. Later events wait."),
    ] = 15.0
