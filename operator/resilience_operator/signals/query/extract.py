"""What is kept of an answer: of 10,000 series of labels, a dictionary from target to number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

from resilience_operator.signals.presets.histogram import Buckets
from resilience_operator.signals.presets.models import PART, Join
from resilience_operator.signals.sources.protocol import Answer, Series

Key = tuple[str, str]
"""Namespace and owner (or name), as the answer's labels say it."""
Index = Mapping[Key, float]
BucketIndex = Mapping[Key, Buckets]


@cache
def index_by_target(namespace: str, name: str) -> Callable[[Answer], Index]:
    """A digest of a grouped query by two labels. The same function for the same labels."""

    def digest(answer: Answer) -> Index:
        return {(labels.get(namespace, ""), labels.get(name, "")): value for labels, value, _ in answer.series}

    return digest


@cache
def index_by_part(namespace: str, name: str, parts: tuple[str, ...]) -> Callable[[Answer], Mapping[str, Index]]:
    """A digest of a grouped query of several parts, by two labels. The same function for the same arguments."""

    def digest(answer: Answer) -> Mapping[str, Index]:
        found: dict[str, dict[Key, float]] = {part: {} for part in parts}
        for labels, value, _ in answer.series:
            if (index := found.get(labels.get(PART, ""))) is not None:
                index[labels.get(namespace, ""), labels.get(name, "")] = value
        return found

    return digest


@cache
def buckets_by_target(namespace: str, name: str) -> Callable[[Answer], BucketIndex]:
    """A digest of a grouped query by two labels and `le`."""

    def digest(answer: Answer) -> BucketIndex:
        found: dict[Key, dict[float, float]] = {}
        for labels, value, _ in answer.series:
            bound = _bound(labels.get("le", ""))
            if bound is not None:
                found.setdefault((labels.get(namespace, ""), labels.get(name, "")), {})[bound] = value
        return found

    return digest


def raw_series(answer: Answer) -> tuple[Series, ...]:
    """A digest that keeps all: for policies' own queries."""
    return tuple(answer.series)


def labels_of(join: Join) -> tuple[str, str]:
    """The two labels by which a family's answers are kept."""
    return ("" if join.combined_label else join.namespace, join.name)


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
