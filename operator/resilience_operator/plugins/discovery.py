"""Which plugins are installed, and making one. Nothing of a plugin is imported before it is asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from resilience_operator.plugins.cell import Cell
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
"""The method that makes a plugin one of its kind."""

LOAD_SECONDS = 10.0
"""Time for importing and making one plugin."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A plugin that cannot be used, and why."""

    message: str


def installed(kind: Kind) -> Mapping[str, EntryPoint]:
    """The entry points of a kind by name. Of two with one name, the first on the path counts, and it is told."""
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


async def load(cell: Cell, type_: str, options: Mapping[str, Any], *, seconds: float = LOAD_SECONDS) -> object:
    """The plugin of that type, made; or `Missing`. Never raises but for cancellation."""
    kind = cell.kind
    available = installed(kind)
    entry_point = available.get(type_)
    if entry_point is None:
        names = ", ".join(sorted(available)) or "none"
        return Missing(f"no {kind} plugin named {type_} is installed; there are: {names}")

    def make() -> object:
        factory = entry_point.load()
        try:
            return factory(cell.name, dict(options))
        except ValueError as error:
            # Written for the administrator, so it is repeated.
            raise GiveUp(f"its options are invalid: {error}", reason="bad_options") from None

    def usable(made: object) -> object:
        method = METHODS[kind]
        if not callable(getattr(made, method, None)):
            raise ValueError(f"the object that {entry_point.value} creates has no method {method}")
        return made

    try:
        return await cell.call(make, check=usable, deadline=Deadline.after(seconds))
    except (PluginFailed, CallError) as failure:
        return Missing(f"the {kind} plugin {type_} is installed but cannot be loaded: {failure.message}")
