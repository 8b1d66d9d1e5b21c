"""Measure: from a batch of signal requests to one Observation each.

    requests ──► plan ──► questions ──► answers ──► join ──► observations
                (grouped)  (I/O, shared)           (pure)

Presets are grouped queries: one answer serves every policy of a family. What lives here knows PromQL and
metrics backends; it knows nothing of rules, thresholds or verdicts, and it never writes to the cluster. A
signal that could not be measured is an Observation with a reason (`reasons`), never a number and never an
exception.
"""

from .breakers import Breakers
from .collect import Collector
from .config import SourceConfig
from .model import Signal, SignalRequest
from .presets import Families, Family, load_families
from .registry import Sources
from .source import Answer, MetricSource, Series

__all__ = [
    "Answer",
    "Breakers",
    "Collector",
    "Families",
    "Family",
    "MetricSource",
    "Series",
    "Signal",
    "SignalRequest",
    "SourceConfig",
    "Sources",
    "load_families",
]
