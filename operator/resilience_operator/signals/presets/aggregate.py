"""Aggregates the series of an answer into observations. Pure.

Ratios and quotients are divided after their parts are summed. A ratio of ratios, or a mean of quantiles, would be
meaningless.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.signals import reasons
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.presets.histogram import Buckets, aligned, as_histogram, merged, quantile
from resilience_operator.signals.presets.models import Join, Quantile, Quotient
from resilience_operator.signals.query.extract import BucketIndex, Detail, Index, Key
from resilience_operator.signals.query.template import owner_label, owner_of_pod
from resilience_operator.signals.sources.protocol import Series

_NONE: Mapping[Key, Sequence[Detail]] = {}

YOUNG = "young/"
"""Prefix of the owner in series of pods that have just started. Their usage includes their start-up."""


class RevisionKey(NamedTuple):
    """The key of a revision's values in the answers. revision: empty if the signal is not split by revision."""

    key: Key
    revision: str


class SeriesKeys(NamedTuple):
    """A request with the keys of its series in the answers."""

    request: SignalRequest
    parts: tuple[RevisionKey, ...]
    splittable: bool

    def __str__(self) -> str:
        r = self.request
        return f"{r.kind} {r.namespace}/{r.name}"

    def unknown(self, at: float, reason: str, message: str) -> Observation:
        """An Unknown observation of this target."""
        return Observation(
            at=at, reason=reason, message=f"{self.request.signal.name}: {message}", splittable=self.splittable
        )


def series_keys(request: SignalRequest, join: Join) -> SeriesKeys:
    """The keys under which a request's series are found in the answers of a family."""
    if join.by == "name":
        key = ("", f"{request.namespace}-{request.name}") if join.combined_label else (request.namespace, request.name)
        return SeriesKeys(request, (RevisionKey(key, ""),), False)
    by_label: dict[str, str] = {}
    distinct = True
    for owner, revision in request.owners.items():
        label = owner_label(owner)
        # Truncated pod names may be the same for several revisions. A workload that owns its pods itself
        # (StatefulSet, DaemonSet) has all revisions under one owner. A Deployment owns no pods, so a
        # ReplicaSet with the same name is an ordinary owner.
        distinct = distinct and bool(revision) and label not in by_label
        distinct = distinct and (owner != request.name or request.kind == "Deployment")
        by_label[label] = revision
    parts = tuple(
        RevisionKey((request.namespace, label), revision if distinct else "") for label, revision in by_label.items()
    )
    return SeriesKeys(request, parts, distinct)


def several_clusters(t: SeriesKeys, clusters: Mapping[Key, str], mixed: Mapping[Key, Iterable[str]]) -> set[str]:
    """The clusters from which a target's series come, if they are several; else empty."""
    found: set[str] = set()
    if not (clusters or mixed):
        return found
    for part, _ in t.parts:
        for key in (part, (part[0], YOUNG + part[1])):
            found.update(mixed.get(key, ()))
            if key in clusters:
                found.add(clusters[key])
    return found if len(found) > 1 else set()


def ratio(
    t: SeriesKeys,
    at: float,
    events: Index,
    samples: Index,
    unreadable: Mapping[Key, Sequence[Detail]] = _NONE,
    status_labels: Sequence[str] = (),
) -> Observation:
    """Bad events over all requests.

    unreadable: requests whose status cannot be read. Those with a status of an unknown form may be failures, so that
    the ratio is Unknown. Those without any status do not count, unless there are no others.
    """
    all_events = all_samples = 0.0
    found = False
    split: dict[str, Measured] = {}
    for key, revision in t.parts:
        count = samples.get(key)
        if count is None:
            continue
        found = True
        if key in unreadable and count > 0:
            left = _readable(unreadable[key], count)
            if isinstance(left, str) or left <= 0:
                return t.unknown(at, reasons.STATUS_NOT_READABLE, _status_message(t, left, status_labels))
            count = left
        # Two queries at slightly different times may count different numbers of requests.
        bad = min(events.get(key, 0.0), count)
        all_events += bad
        all_samples += count
        if revision and count > 0 and math.isfinite(bad):
            split[revision] = Measured(bad / count, count, bad)
    if not found:
        return t.unknown(at, reasons.NO_DATA, f"there are no request metrics for {t}")
    if all_samples == 0:
        return t.unknown(at, reasons.NO_TRAFFIC, f"{t} had no requests within {_window(t)}")
    value = all_events / all_samples
    if not (math.isfinite(value) and math.isfinite(all_samples)):
        return t.unknown(at, reasons.NOT_A_NUMBER, f"the request counts of {t} are not finite")
    return Observation(at, Measured(value, all_samples, all_events), by_revision=split, splittable=t.splittable)


def _readable(details: Sequence[Detail], count: float) -> float | str:
    """The requests with a readable status, or the label whose value has an unknown form."""
    without = 0.0
    for labels, requests in details:
        if labels:
            label, value = next(iter(labels.items()))
            return f'{label}="{value[:40]}"'
        without += requests
    # Two queries at different times: a small remainder is not a request.
    left = count - without
    return left if left > count * 1e-3 else 0.0


def _status_message(t: SeriesKeys, label: float | str, status_labels: Sequence[str]) -> str:
    if isinstance(label, str):
        return (
            f"requests of {t} are counted with {label}, which is not an HTTP status such as 500 or 5xx: "
            "correct the label, or use a custom query"
        )
    return (
        f"requests of {t} are counted without a status: the preset reads the labels {', '.join(status_labels)}; add "
        "one of them, or use a custom query"
    )


def quotient(
    t: SeriesKeys,
    at: float,
    preset: Quotient,
    numerator: Index,
    denominator: Index,
    uncovered: Mapping[Key, Sequence[Detail]] = _NONE,
) -> Observation:
    """The sum of the numerators over the sum of the denominators.

    Pods that have just started do not count in the value, if there are others.

    uncovered: usage that the numerator leaves out. If it is more than the numerator, the result is Unknown.
    """
    above = below = 0.0  # of pods that have run for a while
    young_above = young_below = 0.0
    has_numerator = has_denominator = settled = has_young = False
    split: dict[str, Measured] = {}
    for key, revision in t.parts:
        young = key[0], YOUNG + key[1]
        lower, lower_young = denominator.get(key), denominator.get(young)
        if lower is None and lower_young is None:
            continue
        has_denominator = True
        below += lower or 0.0
        young_below += lower_young or 0.0
        has_young = has_young or lower_young is not None
        upper, upper_young = numerator.get(key), numerator.get(young)
        if upper is None and upper_young is None:
            continue
        has_numerator = True
        settled = settled or (upper is not None and lower is not None)
        above += upper or 0.0
        young_above += upper_young or 0.0
        used, of = (upper or 0.0) + (upper_young or 0.0), (lower or 0.0) + (lower_young or 0.0)
        if revision and of > 0 and math.isfinite(used):
            split[revision] = Measured(used / of, of if preset.counted else None)
    every_above, every_below = above + young_above, below + young_below
    if uncovered and has_denominator and (container := _dominant(t, every_above, uncovered)):
        return t.unknown(
            at,
            reasons.CPU_NOT_COVERED,
            f"most of the CPU of {t} is used by container {container}, which has no CPU request: set "
            "resources.requests.cpu on it",
        )
    if not has_denominator:
        return t.unknown(at, reasons.NO_DATA, f"{t}: {preset.missing}")
    if not has_numerator:
        return t.unknown(at, reasons.NO_DATA, f"there are no usage metrics for {t} within {_window(t)}")
    if preset.counted and every_below == 0:
        return t.unknown(at, reasons.NO_TRAFFIC, f"{t} had no requests within {_window(t)}")
    overall = every_above / every_below if every_below else math.nan
    value = above / below if settled and below and not preset.counted else overall
    if not (math.isfinite(value) and math.isfinite(overall)):
        return t.unknown(at, reasons.NOT_A_NUMBER, f"{every_above:g} / {every_below:g} for {t} is not a number")
    measured = Measured(value, every_below if preset.counted else None)
    return Observation(at, measured, by_revision=split, splittable=t.splittable, overall=overall if has_young else None)


def uncovered_usage(details: Sequence[Detail]) -> float:
    """The usage of a revision's containers that the numerator leaves out."""
    return sum([value for _, value in details])


def _dominant(t: SeriesKeys, covered: float, uncovered: Mapping[Key, Sequence[Detail]]) -> str:
    """The container that uses most of the CPU that is not covered, if that is more than what is covered; else empty."""
    usage: dict[str, float] = {}
    for key, _ in t.parts:
        for labels, value in uncovered.get(key, ()):
            name = labels.get("container", "")
            usage[name] = usage.get(name, 0.0) + value
    if not usage or not sum(usage.values()) > covered:
        return ""
    return max(usage, key=lambda name: usage[name])


def quantiles(
    t: SeriesKeys, at: float, preset: Quantile, values: Index, samples: Index, buckets: BucketIndex | None
) -> Observation:
    """A quantile. For several revisions it is computed from the sum of their buckets.

    If the buckets are known, the measurements have them as histograms, all with the same bounds.
    """
    have: list[tuple[Key, float]] = []
    split: dict[str, Measured] = {}
    total = 0.0
    counted = has_requests = False
    for key, revision in t.parts:
        count = samples.get(key)
        if count is None:
            continue
        counted = True
        if math.isnan(count):
            # For NaN buckets Prometheus returns the highest bound as the quantile. The count reveals this.
            return t.unknown(at, reasons.NOT_A_NUMBER, f"the histogram of {t} has NaN as its count")
        if count <= 0:
            continue
        has_requests = True
        value = values.get(key)
        if value is None:
            continue
        have.append((key, value))
        total += count
        if revision and math.isfinite(value):
            split[revision] = Measured(value * preset.scale, count)
    if not counted:
        return t.unknown(at, reasons.NO_DATA, f"there are no request metrics for {t}")
    if not has_requests:
        return t.unknown(at, reasons.NO_TRAFFIC, f"{t} had no requests within {_window(t)}")
    if not have:
        return t.unknown(at, reasons.NO_DATA, f"requests of {t} are counted, but its histogram has no series")
    by_key = {key: found for key, _ in have if (found := (buckets or {}).get(key))}
    if len(by_key) < len(have) > 1:
        return t.unknown(at, reasons.NO_DATA, f"the histogram of at least one revision of {t} is missing")
    value = have[0][1] if len(have) == 1 else quantile(preset.quantile, merged(list(by_key.values())))
    if not math.isfinite(value):
        return t.unknown(at, reasons.NOT_A_NUMBER, f"the quantile of {t} is {value}")
    whole, split = _with_histograms(t, preset, Measured(value * preset.scale, total), split, by_key)
    return Observation(at, whole, by_revision=split, splittable=t.splittable)


def _with_histograms(
    t: SeriesKeys, preset: Quantile, whole: Measured, split: Mapping[str, Measured], by_key: Mapping[Key, Buckets]
) -> tuple[Measured, dict[str, Measured]]:
    """The measurements with their histograms, all with the same bounds; without any if the buckets are not known."""
    if not by_key:
        return whole, dict(split)
    same = dict(zip(by_key, aligned(list(by_key.values())), strict=True))
    whole = whole._replace(histogram=as_histogram(merged(list(same.values())), preset.scale, whole.samples))
    found = dict(split)
    for key, revision in t.parts:
        if revision in found and key in same:
            one = found[revision]
            found[revision] = one._replace(histogram=as_histogram(same[key], preset.scale, one.samples))
    return whole, found


def custom(t: SeriesKeys, at: float, values: Sequence[Series], samples: Sequence[Series] | None) -> Observation:
    """The observation of a custom query: one series, or one per pod of the target.

    For several pods the value is the mean, weighted by samples if they are known per pod, otherwise unweighted. The
    query is expected to return a ratio or a level, and a level must not be summed. A pod without a value (NaN, as for
    0/0) is ignored. An infinite value makes the result Unknown. Samples are summed.
    """
    if not values:
        return t.unknown(at, reasons.NO_DATA, f"the query returned no series for {t}")
    if len(values) == 1 and not values[0].labels.get("pod"):
        return _single(t, at, values[0].value, samples)
    by_pod = _by_pod(t, values)
    if by_pod is None:
        return t.unknown(
            at,
            reasons.AMBIGUOUS_RESULT,
            f"the query returned {len(values)} series: it must return one, or one per pod (label `pod`)",
        )
    if not by_pod:
        return t.unknown(at, reasons.NO_DATA, f"the query returned only pods that do not belong to {t}")
    per_pod = _by_pod(t, samples) if samples is not None else None
    counts = {pod: count for pod, (_, count) in (per_pod or {}).items()}
    total = sum(s.value for s in samples) if samples is not None and not per_pod else None
    by_part: dict[str, list[tuple[str, float]]] = {}
    for pod, (revision, value) in by_pod.items():
        by_part.setdefault(revision, []).append((pod, value))
    measured = _mean([pv for pods in by_part.values() for pv in pods], counts, samples is not None, total)
    if measured is None:
        if samples is not None and not _sum(samples) > 0:
            return t.unknown(at, reasons.NO_TRAFFIC, f"{t} had no requests within {_window(t)}")
        return t.unknown(at, reasons.NOT_A_NUMBER, f"the query returned no finite value for {t}")
    split = {
        revision: found
        for revision, pods in by_part.items()
        if revision and (found := _mean(pods, counts, per_pod is not None, None))
    }
    return Observation(
        at,
        _with_events(t, measured),
        by_revision={revision: _with_events(t, found) for revision, found in split.items()},
        splittable=t.splittable,
    )


def _single(t: SeriesKeys, at: float, value: float, samples: Sequence[Series] | None) -> Observation:
    whole = t._replace(splittable=False)
    count = _sum(samples) if samples is not None else None
    if not math.isfinite(value):
        if count == 0:
            return whole.unknown(at, reasons.NO_TRAFFIC, f"{t} had no requests within {_window(t)}")
        return whole.unknown(at, reasons.NOT_A_NUMBER, f"the query returned {value}")
    if count is not None and not math.isfinite(count):
        return whole.unknown(at, reasons.NOT_A_NUMBER, f"samplesQuery returned {count}")
    return Observation(at, _with_events(t, Measured(value, count)))


def _by_pod(t: SeriesKeys, series: Iterable[Series]) -> Mapping[str, tuple[str, float]] | None:
    """Pod → (revision, value), for the target's pods; None if the series are not one per pod."""
    revisions = {key[1]: revision for key, revision in t.parts}
    found: dict[str, tuple[str, float]] = {}
    seen: set[str] = set()
    for labels, value, _ in series:
        pod = labels.get("pod", "")
        if not pod or pod in seen:
            return None
        seen.add(pod)
        owner = owner_of_pod(pod)
        if owner in revisions:
            found[pod] = revisions[owner], value
        elif not revisions:
            found[pod] = "", value
    return found


def _mean(
    pods: Sequence[tuple[str, float]], counts: Mapping[str, float], counted: bool, total: float | None
) -> Measured | None:
    """The mean over pods; None if there is no value, or one is infinite. total: samples of all pods, if known only in
    total.
    """
    usable = [(pod, value) for pod, value in pods if not math.isnan(value)]
    if not usable or any(math.isinf(value) for _, value in usable):
        return None
    weights = [counts.get(pod, 0.0) for pod, _ in usable] if counts else []
    weight = sum(weights)
    if weight > 0 and math.isfinite(weight):
        return Measured(sum(v * w for (_, v), w in zip(usable, weights, strict=True)) / weight, weight)
    mean = sum(value for _, value in usable) / len(usable)
    return Measured(mean, (total if total is not None else weight) if counted else None)


def _with_events(t: SeriesKeys, measured: Measured) -> Measured:
    """Add the number of bad requests if the value is a ratio of counted requests."""
    if t.request.signal.unit == "ratio" and measured.samples is not None and 0 <= measured.value <= 1:
        return Measured(measured.value, measured.samples, measured.value * measured.samples)
    return measured


def _sum(samples: Sequence[Series]) -> float:
    return sum(s.value for s in samples)


def _window(t: SeriesKeys) -> str:
    return f"{t.request.signal.window_seconds:g} s"
