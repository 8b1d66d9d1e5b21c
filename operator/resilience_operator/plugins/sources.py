"""Wraps the metric source of a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from resilience_operator.plugins.bulkhead import MAX_CONCURRENCY, PluginRunner
from resilience_operator.plugins.config import NamespacedPluginConfig
from resilience_operator.plugins.discovery import UnavailablePlugin, load
from resilience_operator.plugins.failures import FailureReason, Kind, OnFailure, PluginFailed
from resilience_operator.resilience import CallError, Deadline, DeadlineExceeded, GiveUp, TryAgain
from resilience_operator.signals.sources.protocol import Answer, Series

QUERY_SECONDS = 10.0
"""Seconds for one query."""

SERIES_LIMIT = 1_000_000
"""Maximum series in one answer."""

CLOSE_SECONDS = 2.0


def checked(answer: object) -> Answer:
    """Return a validated Answer. Raises ValueError with the problem.

    Values may be NaN or infinite: the decision judges them.
    """
    if not isinstance(answer, Answer):
        raise ValueError(f"a query must return an Answer, not {type(answer).__name__}")
    if not isinstance(answer.series, Sequence) or isinstance(answer.series, str):
        raise ValueError("the series of an Answer must be a list or a tuple")
    if len(answer.series) > SERIES_LIMIT:
        raise ValueError(f"an Answer must have at most {SERIES_LIMIT} series")
    if not isinstance(answer.warnings, tuple) or not all(isinstance(w, str) for w in answer.warnings):
        raise ValueError("the warnings of an Answer must be a tuple of strings")
    return Answer(tuple(map(_series, answer.series)), answer.warnings)


def _series(one: object) -> Series:
    if not isinstance(one, Series):
        raise ValueError(f"the series of an Answer must be Series, not {type(one).__name__}")
    labels, value, at = one
    if not isinstance(labels, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in labels.items()):
        raise ValueError("the labels of a Series must be a mapping of strings to strings")
    if not _is_number(value) or not _is_number(at):
        raise ValueError("the value and the time of a Series must be numbers")
    return Series(dict(labels), float(value), float(at))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class GuardedSource:
    """A MetricSource that wraps a plugin's. If the plugin is missing, every query fails with the reason."""

    def __init__(
        self, config: NamespacedPluginConfig, plugin: Any, cell: PluginRunner, *, concurrency: int = MAX_CONCURRENCY
    ) -> None:
        self.type = config.type
        self.namespaces = config.namespaces
        self._name = config.name
        self._plugin = plugin
        self._cell = cell
        self.concurrency = concurrency

    @property
    def name(self) -> str:
        """The name in the operator's configuration."""
        return self._name

    @property
    def problem(self) -> str:
        """Why it cannot be used; empty if it can."""
        return self._plugin.message if isinstance(self._plugin, UnavailablePlugin) else ""

    async def query(self, promql: str, *, at: float | None = None, deadline: Deadline) -> Answer:
        """Query the plugin. Raises only CallErrors."""
        dependency = f"{Kind.SOURCE}/{self._name}"
        if self.problem:
            raise GiveUp(self.problem, dependency=dependency, reason="plugin_missing")
        within = deadline.within(QUERY_SECONDS)
        try:
            answer: Answer = await self._cell.call(
                # A partial of a coroutine function is still a coroutine function.
                partial(self._plugin.query, at=at, deadline=within),
                promql,
                check=checked,
                deadline=within,
            )
        except PluginFailed as failure:
            if failure.why in (FailureReason.TIMED_OUT, FailureReason.BUSY):
                if deadline.expired:
                    raise DeadlineExceeded(failure.message, dependency=dependency, reason="deadline") from None
                raise TryAgain(failure.message, dependency=dependency, reason="timeout") from None
            raise GiveUp(failure.message, dependency=dependency, reason="bad_answer") from None
        return answer

    async def close(self) -> None:
        """Close the plugin, with a short timeout."""
        with suppress(Exception):  # counted and logged by the runner
            if not self.problem and callable(close := getattr(self._plugin, "close", None)):
                await self._cell.call(close, check=lambda _: None, deadline=Deadline.after(CLOSE_SECONDS))
        self._cell.close()


def _count(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 64 else MAX_CONCURRENCY


async def make_source(config: NamespacedPluginConfig, on_failure: OnFailure) -> GuardedSource:
    """Create the configured source. If its plugin is missing, queries fail with the reason."""
    cell = PluginRunner(Kind.SOURCE, config.name, on_failure=on_failure)
    plugin = await load(cell, config.type, config.options)
    places = MAX_CONCURRENCY
    with suppress(PluginFailed, CallError):

        def read_concurrency() -> object:
            return getattr(plugin, "concurrency", MAX_CONCURRENCY)

        places = await cell.call(read_concurrency, check=_count, deadline=Deadline.after(CLOSE_SECONDS))
    cell.close()
    cell = PluginRunner(Kind.SOURCE, config.name, places=places, on_failure=on_failure)
    return GuardedSource(config, plugin, cell, concurrency=places)
