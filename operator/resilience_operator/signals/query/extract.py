"""Extractors: reduce an answer, such as 10,000 labelled series, to a dictionary from target to number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

from resilience_operator.signals.presets.histogram import Buckets
from resilience_operator.signals.presets.models import PART, Join
from resilience_operator.signals.sources.protocol import Answer, Series

Key = tuple[str, str]
"""Namespace and owner (or name), as in the answer's labels."""
Index = Mapping[Key, float]
BucketIndex = Mapping[Key, Buckets]


@cache
def index_by_target(namespace: str, name: str) -> Callable[[Answer], Index]:
    """An extractor for a grouped query, keyed by two labels. Cached: equal labels give the same function."""

    def extract(answer: Answer) -> Index:
        return {(labels.get(namespace, ""), labels.get(name, "")): value for labels, value, _ in answer.series}

    return extract


@cache
def index_by_part(namespace: str, name: str, parts: tuple[str, ...]) -> Callable[[Answer], Mapping[str, Index]]:
    """An extractor for a grouped query with several parts, keyed by two labels. Cached, as `index_by_target`."""

    def extract(answer: Answer) -> Mapping[str, Index]:
        found: dict[str, dict[Key, float]] = {part: {} for part in parts}
        for labels, value, _ in answer.series:
            if (index := found.get(labels.get(PART, ""))) is not None:
                index[labels.get(namespace, ""), labels.get(name, "")] = value
        return found

    return extract


@cache
def buckets_by_target(namespace: str, name: str) -> Callable[[Answer], BucketIndex]:
    """An extractor for a grouped query, keyed by two labels and `le`. Cached, as `index_by_target`."""

    def extract(answer: Answer) -> BucketIndex:
        found: dict[Key, dict[float, float]] = {}
        for labels, value, _ in answer.series:
            bound = _bound(labels.get("le", ""))
            if bound is not None:
                found.setdefault((labels.get(namespace, ""), labels.get(name, "")), {})[bound] = value
        return found

    return extract


def raw_series(answer: Answer) -> tuple[Series, ...]:
    """An extractor that keeps all series, for custom queries."""
    return tuple(answer.series)


def labels_of(join: Join) -> tuple[str, str]:
    """The two labels that key a family's answers."""
    return ("" if join.combined_label else join.namespace, join.name)


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
