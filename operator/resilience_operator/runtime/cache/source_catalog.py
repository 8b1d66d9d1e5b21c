"""Resolves `metricSource.type` and `name` of a policy to a configured metric source."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from resilience_operator.plugins.sources import GuardedSource
from resilience_operator.signals.namespaces import allows

PROMETHEUS = "prometheus"


class ReadyProblem(NamedTuple):
    """A configuration error that degrades a policy: a reason for the Ready condition, and what to change."""

    reason: str
    message: str


class SourceCatalog:
    """Configured metric sources by name, with their types. installed: the installed metric source plugins."""

    def __init__(
        self, prometheus: Iterable[str] = (), plugins: Iterable[GuardedSource] = (), installed: Collection[str] = ()
    ) -> None:
        self._plugins = {source.name: source for source in plugins}
        self._types: Mapping[str, str] = {
            **dict.fromkeys(prometheus, PROMETHEUS),
            **{name: source.type for name, source in self._plugins.items()},
        }
        self._installed = installed

    def find(self, type_: str, name: str | None, namespace: str) -> tuple[str, ReadyProblem | None]:
        """Return the source name and a problem, if any. With a problem, no source answers to the name.

        Without a name, use the source called `default`, or else the only one of its type. A source that is not allowed
        for this namespace counts as missing.
        """
        types = {n: t for n, t in self._types.items() if self._is_for(n, namespace)}
        found = types.get(name or "default")
        if type_ == PROMETHEUS and found in (None, PROMETHEUS):
            # A missing Prometheus source is reported by its signals.
            return name or "default", None
        if name is None and found != type_:
            of_type = sorted(n for n, t in types.items() if t == type_)
            if len(of_type) == 1:
                name, found = of_type[0], type_
            elif of_type:
                return self._problem(type_, name, f"several are of type {type_}: name one of {', '.join(of_type)}")
            else:
                found = None
        if found == type_:
            source = self._plugins[name or "default"]
            return source.name, ReadyProblem("PluginNotFound", source.problem) if source.problem else None
        if type_ != PROMETHEUS and type_ not in self._installed:
            names = ", ".join(sorted(self._installed)) or "none"
            message = f"no metric_source plugin named {type_} is installed; available: {names}"
            return f"{type_}/{name or 'default'}", ReadyProblem("PluginNotFound", message)
        if found is None:
            wanted = f" named {name}" if name else ""
            return self._problem(
                type_,
                name,
                f"the operator has no metric source{wanted} of type {type_} for namespace {namespace}: configure one",
            )
        return self._problem(type_, name, f"metric source {name or 'default'} is of type {found}: correct type or name")

    def _is_for(self, name: str, namespace: str) -> bool:
        plugin = self._plugins.get(name)
        return plugin is None or allows(plugin.namespaces, namespace)

    @staticmethod
    def _problem(type_: str, name: str | None, message: str) -> tuple[str, ReadyProblem]:
        return f"{type_}/{name or 'default'}", ReadyProblem("MetricSourceNotFound", message)
