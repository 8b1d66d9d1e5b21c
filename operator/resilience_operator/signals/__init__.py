"""Measurement: turns a batch of signal requests into one observation each.

    requests ──► plan ──► queries ──► answers ──► aggregate ──► observations
                (grouped)  (I/O, shared)           (pure)

Presets are grouped queries: one answer serves every policy of a family. This package knows PromQL and metrics backends.
It knows nothing of rules, thresholds or verdicts, and never writes to the cluster. A signal that cannot be measured is
an Observation with a reason (`reasons`), never a number and never an exception.
"""

from .collector import SignalCollector
from .model import Signal, SignalRequest
from .presets.models import Families, Family, load_families
from .prometheus.config import SourceConfig
from .query.breakers import SourceBreakers
from .sources.protocol import Answer, MetricSource, Series
from .sources.registry import SourceRegistry

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
