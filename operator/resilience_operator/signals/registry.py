"""The metric sources of this operator, by name. A policy names one; it can never name an address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from resilience_operator.signals.config import SourceConfig
from resilience_operator.signals.source import MetricSource


class Sources:
    """Sources by name. Adding further ones (plugins) is the caller's business: give them as `others`."""

    def __init__(self, sources: Mapping[str, MetricSource]) -> None:
        self._sources = dict(sources)

    @classmethod
    def from_config(
        cls,
        configs: Iterable[SourceConfig],
        make: Callable[[SourceConfig], MetricSource],
        others: Iterable[MetricSource] = (),
    ) -> Sources:
        """Build one source for each configuration. Raises ValueError when a name is taken twice."""
        found: dict[str, MetricSource] = {}
        for config in configs:
            if config.name in found:
                raise ValueError(f"metric source {config.name!r} is configured twice")
            found[config.name] = make(config)
        for other in others:
            if other.name in found:
                raise ValueError(f"metric source {other.name!r} is configured twice")
            found[other.name] = other
        return cls(found)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, for messages."""
        return tuple(sorted(self._sources))

    def find(self, name: str) -> MetricSource | None:
        """The source of that name, or None."""
        return self._sources.get(name)

    async def close(self) -> None:
        """Close them all; one that fails does not keep the others open."""
        await asyncio.gather(*(source.close() for source in self._sources.values()), return_exceptions=True)
