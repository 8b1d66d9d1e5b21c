"""Measurement: turns a batch of signal requests into one observation each.

    requests ──► plan ──► queries ──► answers ──► aggregate ──► observations
                (grouped)  (I/O, shared)           (pure)

Presets are grouped queries: one answer serves every policy of a family. This package knows PromQL and metrics backends.
It knows nothing of rules, thresholds or verdicts, and never writes to the cluster. A signal that cannot be measured is
an Observation with a reason (`reasons`), never a number and never an exception.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .collector import SignalCollector
    from .model import Signal, SignalRequest
    from .presets.models import Families, Family, load_families
    from .prometheus.config import SourceConfig
    from .query.breakers import SourceBreakers
    from .sources.protocol import Answer, MetricSource, Series
    from .sources.registry import SourceRegistry

_HOME = {
    "Answer": "sources.protocol",
    "Families": "presets.models",
    "Family": "presets.models",
    "MetricSource": "sources.protocol",
    "Series": "sources.protocol",
    "Signal": "model",
    "SignalCollector": "collector",
    "SignalRequest": "model",
    "SourceBreakers": "query.breakers",
    "SourceConfig": "prometheus.config",
    "SourceRegistry": "sources.registry",
    "load_families": "presets.models",
}
"""Where each name is defined. It is imported when it is first used: the HTTP client takes most of the time, and a
command that only checks a query needs none."""

__all__ = [
    "Answer",
    "Families",
    "Family",
    "MetricSource",
    "Series",
    "Signal",
    "SignalCollector",
    "SignalRequest",
    "SourceBreakers",
    "SourceConfig",
    "SourceRegistry",
    "load_families",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found
    return found
