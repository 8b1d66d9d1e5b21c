"""The registry of metric sources by name. A policy can use a source by its name, never by an address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from resilience_operator.signals.namespaces import EVERYWHERE, allows
from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.sources.protocol import MetricSource


class SourceRegistry:
    """Metric sources by name.

    namespaces: source name → patterns of the namespaces whose policies may use it. Sources without an entry are
        available to all.
    """

    def __init__(
        self, sources: Mapping[str, MetricSource], namespaces: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self._sources = dict(sources)
        self._namespaces = dict(namespaces or {})

    @classmethod
    def from_config(
        cls,
        configs: Iterable[SourceConfig],
        make: Callable[[SourceConfig], MetricSource],
        others: Iterable[MetricSource] = (),
    ) -> SourceRegistry:
        """Build one source per configuration and add `others`, such as plugins. Raises ValueError for a duplicate."""
        found: dict[str, MetricSource] = {}
        namespaces: dict[str, tuple[str, ...]] = {}
        for config in configs:
            namespaces[config.name] = config.namespaces
            if config.name in found:
                raise ValueError(f"metric source {config.name!r} is configured twice")
            found[config.name] = make(config)
        for other in others:
            if other.name in found:
                raise ValueError(f"metric source {other.name!r} is configured twice")
            found[other.name] = other
            namespaces[other.name] = getattr(other, "namespaces", EVERYWHERE)
        return cls(found, namespaces)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted, for messages."""
        return tuple(sorted(self._sources))

    def find(self, name: str) -> MetricSource | None:
        """The source with that name, or None."""
        return self._sources.get(name)

    def names_for(self, namespace: str) -> tuple[str, ...]:
        """The names of the sources that policies in a namespace may use."""
        return tuple(n for n in self.names if allows(self._namespaces.get(n, EVERYWHERE), namespace))

    def is_for(self, name: str, namespace: str) -> bool:
        """Whether policies in the namespace may use a source with that name."""
        return name in self._sources and allows(self._namespaces.get(name, EVERYWHERE), namespace)

    async def close(self) -> None:
        """Close all sources, even if closing one of them fails."""
        await asyncio.gather(*(source.close() for source in self._sources.values()), return_exceptions=True)
