"""What the configuration plugs in: metric sources, actions, notifiers."""

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
from resilience_operator.runtime.config import Config
from resilience_operator.runtime.metrics import count_notifications, tell_plugin_failure
from resilience_operator.runtime.sources import SourceBook
from resilience_operator.signals.prometheus import PrometheusSource
from resilience_operator.signals.registry import Sources


@dataclass(frozen=True, slots=True)
class Plugged:
    """Everything that is looked up by a name that policies or the administrator give."""

    sources: Sources
    book: SourceBook
    actions: Actions
    notifiers: Notifiers


@asynccontextmanager
async def plug_in(config: Config, retry: Retry) -> AsyncIterator[Plugged]:
    """Load what is configured, side by side; a plugin that cannot be loaded is told and keeps nothing from starting."""
    retry = retry.under(RETRY)
    actions = Actions(retry=retry, on_failure=tell_plugin_failure)
    notifiers = Notifiers(retry=retry, on_failure=tell_plugin_failure, on_told=count_notifications)
    made, _, _ = await asyncio.gather(
        asyncio.gather(*(make_source(c, tell_plugin_failure) for c in config.plugin_sources)),
        actions.load(config.actions),
        notifiers.load(config.notifiers),
    )
    sources = Sources.from_config(config.all_sources, PrometheusSource, made)
    book = SourceBook((c.name for c in config.all_sources), made, installed(Kind.SOURCE).keys())
    try:
        yield Plugged(sources, book, actions, notifiers)
    finally:
        await sources.close()
