"""Loads the configured plugins: metric sources, actions, notifiers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from resilience_operator.plugins.actions import Actions
from resilience_operator.plugins.discovery import installed
from resilience_operator.plugins.failures import RETRY, Kind
from resilience_operator.plugins.notifiers import Notifiers
from resilience_operator.plugins.sources import make_source
from resilience_operator.resilience import Retry
from resilience_operator.runtime.cache.source_catalog import SourceCatalog
from resilience_operator.runtime.config import Config
from resilience_operator.runtime.telemetry.metrics import count_notifications, record_plugin_failure
from resilience_operator.signals.prometheus.source import PrometheusSource
from resilience_operator.signals.sources.registry import SourceRegistry


@dataclass(frozen=True, slots=True)
class LoadedPlugins:
    """Everything that policies or the administrator reference by name."""

    sources: SourceRegistry
    catalog: SourceCatalog
    actions: Actions
    notifiers: Notifiers


@asynccontextmanager
async def load_plugins(config: Config, retry: Retry) -> AsyncIterator[LoadedPlugins]:
    """Load the configured plugins concurrently. A plugin that fails to load is reported and does not block start-up."""
    retry = retry.under(RETRY)
    actions = Actions(retry=retry, on_failure=record_plugin_failure)
    notifiers = Notifiers(retry=retry, on_failure=record_plugin_failure, on_result=count_notifications)
    made, _, _ = await asyncio.gather(
        asyncio.gather(*(make_source(c, record_plugin_failure) for c in config.plugin_sources)),
        actions.load(config.actions),
        notifiers.load(config.notifiers),
    )
    sources = SourceRegistry.from_config(config.all_sources, PrometheusSource, made)
    book = SourceCatalog((c.name for c in config.all_sources), made, installed(Kind.SOURCE).keys())
    try:
        yield LoadedPlugins(sources, book, actions, notifiers)
    finally:
        await sources.close()
