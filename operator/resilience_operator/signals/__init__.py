"""Measure: from a batch of signal requests to one Observation each.

    requests ──► plan ──► questions ──► answers ──► join ──► observations
                (grouped)  (I/O, shared)           (pure)

Presets are grouped queries: one answer serves every policy of a family. What lives here knows PromQL and
metrics backends; it knows nothing of rules, thresholds or verdicts, and it never writes to the cluster. A
signal that could not be measured is an Observation with a reason (`reasons`), never a number and never an
exception.
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
