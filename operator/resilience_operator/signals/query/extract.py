"""Extractors: reduce an answer, such as 10,000 labelled series, to a dictionary from target to number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from resilience_operator.signals.presets.histogram import Buckets, SparseBuckets
from resilience_operator.signals.presets.models import PART, Join
from resilience_operator.signals.query.template import owner_of_pod
from resilience_operator.signals.sources.protocol import NATIVE, Answer, Series

Key = tuple[str, str]
"""Namespace and owner (or name), as in the answer's labels."""
Index = Mapping[Key, float]
Detail = tuple[Mapping[str, str], float]
"""Further labels of a series, and its value."""

CLUSTERS = "clusters"
MIXED = "mixed"
BucketIndex = Mapping[Key, Buckets]


@cache
def index_by_target(namespace: str, name: str) -> Callable[[Answer], Index]:
    """An extractor for a grouped query, keyed by two labels. Cached: equal labels give the same function."""

    def extract(answer: Answer) -> Index:
        return {(labels.get(namespace, ""), labels.get(name, "")): value for labels, value, _ in answer.series}

    return extract


@cache
def index_by_part(
    namespace: str, name: str, parts: tuple[str, ...], cluster: tuple[str, ...] = ()
) -> Callable[[Answer], Mapping[str, Any]]:
    """An extractor for a grouped query with several parts, keyed by two labels. Cached, as `index_by_target`.

    cluster: the labels with the name of the cluster. `CLUSTERS` of the result is the cluster of each target whose
        series have one, and `MIXED` the clusters of each target whose series have several.
    """

    def extract(answer: Answer) -> Mapping[str, Any]:
        found: dict[str, dict[Key, float]] = {part: {} for part in parts}
        clusters: dict[Key, str] = {}
        mixed: dict[Key, set[str]] = {}
        for labels, value, _ in answer.series:
            if (index := found.get(labels.get(PART, ""))) is None:
                continue
            key = labels.get(namespace, ""), labels.get(name, "")
            index[key] = value
            for label in cluster:
                if here := labels.get(label, ""):
                    if (other := clusters.setdefault(key, here)) != here:
                        mixed.setdefault(key, {other}).add(here)
                    break
        return {**found, CLUSTERS: clusters, MIXED: mixed}

    return extract


@cache
def details_by_target(
    namespace: str, name: str, details: tuple[str, ...]
) -> Callable[[Answer], Mapping[Key, Sequence[Detail]]]:
    """An extractor for a grouped query that is keyed by two labels and further ones, `details`. Cached, as
    `index_by_target`.
    """

    def extract(answer: Answer) -> Mapping[Key, Sequence[Detail]]:
        found: dict[Key, list[Detail]] = {}
        for labels, value, _ in answer.series:
            key = labels.get(namespace, ""), labels.get(name, "")
            found.setdefault(key, []).append(({one: labels[one] for one in details if labels.get(one)}, value))
        return found

    return extract


@cache
def buckets_by_target(namespace: str, name: str) -> Callable[[Answer], BucketIndex]:
    """An extractor for a grouped query, keyed by two labels and `le`. Cached, as `index_by_target`.

    Classic buckets are preferred if a target has both kinds: their bounds were chosen for the service.
    """

    def extract(answer: Answer) -> BucketIndex:
        classic: dict[Key, dict[float, float]] = {}
        native: dict[Key, SparseBuckets] = {}
        for labels, value, _ in answer.series:
            bound = _bound(labels.get("le", ""))
            if bound is None:
                continue
            key = labels.get(namespace, ""), labels.get(name, "")
            if NATIVE in labels:
                native.setdefault(key, SparseBuckets())[bound] = value
            else:
                classic.setdefault(key, {})[bound] = value
        return {**native, **classic}

    return extract


class PodCounters(NamedTuple):
    """The counters of one pod: requests, bad requests (for a ratio), and the requests by latency (for a quantile)."""

    samples: float
    events: float | None = None
    buckets: Buckets | None = None


@cache
def counters_by_pod(namespace: str, pod: str) -> Callable[[Answer], Mapping[Key, Mapping[str, PodCounters]]]:
    """An extractor for the raw counters of pods, in the parts `pod_samples` and `pod_events`, keyed by namespace and
    owner. Cached, as `index_by_target`.
    """

    def extract(answer: Answer) -> Mapping[Key, Mapping[str, PodCounters]]:
        samples: dict[Key, float] = {}
        events: dict[Key, float] = {}
        for labels, value, _ in answer.series:
            index = samples if labels.get(PART) == "pod_samples" else events
            index[labels.get(namespace, ""), labels.get(pod, "")] = value
        found: dict[Key, dict[str, PodCounters]] = {}
        for (where, name), count in samples.items():
            bad = min(events.get((where, name), 0.0), count)
            if math.isfinite(count) and math.isfinite(bad):
                found.setdefault((where, owner_of_pod(name)), {})[name] = PodCounters(count, bad)
        return found

    return extract


@cache
def buckets_by_pod(namespace: str, pod: str) -> Callable[[Answer], Mapping[Key, Mapping[str, PodCounters]]]:
    """An extractor for the raw buckets of pods, keyed by namespace and owner. Cached, as `index_by_target`."""
    by_target = buckets_by_target(namespace, pod)

    def extract(answer: Answer) -> Mapping[Key, Mapping[str, PodCounters]]:
        found: dict[Key, dict[str, PodCounters]] = {}
        for (where, name), buckets in by_target(answer).items():
            count = buckets.get(math.inf, math.nan)
            if math.isfinite(count):
                found.setdefault((where, owner_of_pod(name)), {})[name] = PodCounters(count, None, buckets)
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
