"""Discovers and loads installed plugins. A plugin is imported only when it is used."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from resilience_operator.plugins.bulkhead import PluginRunner
from resilience_operator.plugins.failures import Kind, PluginFailed
from resilience_operator.resilience import CallError, Deadline, GiveUp

log = logging.getLogger(__name__)

GROUPS: Mapping[Kind, str] = {
    Kind.SOURCE: "resilience_operator.metric_sources",
    Kind.ACTION: "resilience_operator.actions",
    Kind.NOTIFIER: "resilience_operator.notifiers",
}
"""The entry point groups."""

METHODS: Mapping[Kind, str] = {Kind.SOURCE: "query", Kind.ACTION: "run", Kind.NOTIFIER: "notify"}
"""The required method of each kind."""

LOAD_SECONDS = 10.0
"""Seconds for importing and creating one plugin."""


@dataclass(frozen=True, slots=True)
class UnavailablePlugin:
    """A plugin that cannot be used, with the reason."""

    message: str


def installed(kind: Kind) -> Mapping[str, EntryPoint]:
    """Return the entry points of a kind by name. Of duplicates the first on the path is used, with a warning."""
    found: dict[str, EntryPoint] = {}
    try:
        entries = tuple(entry_points(group=GROUPS[kind]))
    except Exception:
        log.exception("cannot read the installed packages: no %s plugins are available", kind)
        return found
    for entry_point in entries:
        first = found.setdefault(entry_point.name, entry_point)
        if first.value != entry_point.value:
            log.warning(
                "two installed packages provide the %s plugin %s: %s is used, %s is ignored",
                kind,
                entry_point.name,
                first.value,
                entry_point.value,
            )
    return found


async def load(cell: PluginRunner, type_: str, options: Mapping[str, Any], *, seconds: float = LOAD_SECONDS) -> object:
    """Create the plugin of that type, or return `UnavailablePlugin`. Raises nothing but cancellation."""
    kind = cell.kind
    available = installed(kind)
    entry_point = available.get(type_)
    if entry_point is None:
        names = ", ".join(sorted(available)) or "none"
        return UnavailablePlugin(f"no {kind} plugin named {type_} is installed; available: {names}")

    def make() -> object:
        factory = entry_point.load()
        try:
            return factory(cell.name, dict(options))
        except ValueError as error:
            # The text is meant for the administrator, so it is shown.
            raise GiveUp(f"its options are invalid: {error}", reason="bad_options") from None

    def usable(made: object) -> object:
        method = METHODS[kind]
        if not callable(getattr(made, method, None)):
            raise ValueError(f"the object that {entry_point.value} creates has no method {method}")
        return made

    try:
        return await cell.call(make, check=usable, deadline=Deadline.after(seconds))
    except (PluginFailed, CallError) as failure:
        return UnavailablePlugin(f"the {kind} plugin {type_} is installed but cannot be loaded: {failure.message}")
