"""Plans the queries for each request: grouped queries for presets, filled templates for custom queries. No I/O."""

from __future__ import annotations

import logging
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from resilience_operator.api.signals import SHARED_WINDOWS, shared_window
from resilience_operator.decision.fast_path_bounds import ScalarSample
from resilience_operator.decision.model.observation import Observation
from resilience_operator.promql.errors import TemplateError
from resilience_operator.promql.scanner import OversizedError, PolicySize
from resilience_operator.signals import reasons
from resilience_operator.signals.increments import IncrementTracker
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.presets import aggregate
from resilience_operator.signals.presets.models import (
    OTHER_PARTS,
    Families,
    Family,
    Join,
    PresetError,
    Quantile,
    Quotient,
    Ratio,
    queries,
    render,
    union_query,
)
from resilience_operator.signals.query import extract
from resilience_operator.signals.query.client import Extractor, Query
from resilience_operator.signals.query.cohorts import Cohorts
from resilience_operator.signals.query.scope import QueryScope
from resilience_operator.signals.query.scrape_intervals import SCRAPES_SECONDS, ScrapeIntervals, scrape_intervals
from resilience_operator.signals.query.template import fill_custom, matchers, pod_name_regex
from resilience_operator.signals.sources.registry import SourceRegistry

log = logging.getLogger(__name__)

_OWNERS_PER_QUERY = 400
_OWNERS_MEMORY_SECONDS = 120.0
_BY_POD = Join(by="owner", name="owner")
"""How series of a custom query are matched to targets: by the owner of the pod in label `pod`."""

_MAX_SHARED_WINDOW = SHARED_WINDOWS[-1]
"""Seconds. A preset with a longer look-back is queried for one namespace alone and limited like a custom query."""

ALL_PARTS = "all"
"""Key of the query that answers the parts of a preset that every evaluation needs."""

PROBE = "probe"
"""Key of the query for what a preset cannot measure: requests without a status, containers without a request."""

PROBE_SECONDS = 60.0
"""Seconds for which the answer to that query is used. It changes with the scrape configuration and with releases."""

SCRAPES = "scrapes"
"""Key of the query from which the scrape interval is learned."""

COUNTERS = "counters/"
"""Prefix of the keys of the queries for the counters of pods."""


_REPLICAS: Mapping[str, Mapping[str, str]] = {
    "Deployment": {"replicas": "kube_deployment_spec_replicas", "ready": "kube_deployment_status_replicas_ready"},
    "StatefulSet": {"replicas": "kube_statefulset_replicas", "ready": "kube_statefulset_status_replicas_ready"},
    "DaemonSet": {
        "replicas": "kube_daemonset_status_desired_number_scheduled",
        "ready": "kube_daemonset_status_number_ready",
    },
}
"""kube-state-metrics' series for the replicas, by kind and part.
https://github.com/kubernetes/kube-state-metrics/tree/main/docs/metrics/workload
"""


def is_optional(part: str) -> bool:
    """Whether a signal has a value without the answer to this part."""
    return part in (PROBE, SCRAPES) or part.startswith(COUNTERS)


def joined_parts(answers: Mapping[str, Any], prefix: str) -> Mapping[Any, Any]:
    """The answers to all queries whose keys have that prefix."""
    return ChainMap(*(found for part, found in answers.items() if part.startswith(prefix)))


ScalarReader = Callable[[extract.Key], ScalarSample | None]
"""Reads the number of one revision, by the key of its series; None if it must be computed as an observation."""


@dataclass(slots=True)
class _PresetQuery:
    """What all requests with the same source, family and signal have in common."""

    family: Family
    preset: Ratio | Quantile | Quotient
    scope: QueryScope[str]
    query: str
    extract: Extractor
    buckets: str = ""
    probe: tuple[str, Extractor] | None = None
    counters: tuple[str, Extractor] | None = None
    intervals: dict[int, ScrapeIntervals] = field(default_factory=dict)
    """By chunk of the scope."""


@dataclass(slots=True)
class QueryGroup:
    """Requests that share the same queries. answers, at and fault are set when the results have arrived.

    window, chunk: the look-back in seconds and the chunk of the scope, of a preset that serves many namespaces.
    intervals: where the scrape intervals of that chunk are kept.
    note: how often the queries are sent, if that is not at each evaluation.
    tracker: computes the increments of the pods' counters; None if they are not queried.
    scalar: reads a revision's number from the answers; None until the first is read.
    """

    preset: Ratio | Quantile | Quotient | None
    queries: Mapping[str, Query]
    answers: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0
    fault: tuple[str, str] | None = None
    note: str = ""
    window: float = 0.0
    chunk: int = 0
    intervals: dict[int, ScrapeIntervals] = field(default_factory=dict)
    tracker: IncrementTracker | None = None
    scalar: ScalarReader | None = None

    def learn_intervals(self, found: ScrapeIntervals | None) -> None:
        """Keep the scrape intervals of an answer; those before if it has none."""
        if found:
            self.intervals[self.chunk] = found


class _Resolved(NamedTuple):
    """The plan of one request. It is independent of time, so it is kept on the request.

    preset_query, window: for a preset whose queries serve many namespaces.
    queries: queries for one namespace alone. preset: their preset; None for custom queries.
    fault: why the request cannot be queried; empty if it can.
    """

    planner: QueryPlanner
    target: aggregate.SeriesKeys
    preset_query: _PresetQuery | None = None
    window: float = 0.0
    queries: Mapping[str, Query] | None = None
    preset: Ratio | Quantile | Quotient | None = None
    fault: str = ""


Plan = tuple[aggregate.SeriesKeys, QueryGroup]
"""The keys of a request's series, and the group that answers it."""

Groups = dict[tuple[int, float, int], QueryGroup]
"""The preset groups of one batch, by preset query, window and chunk."""


class QueryPlanner:
    """Plans queries for the whole process. Its state is the set of namespaces that each family serves."""

    def __init__(
        self, sources: SourceRegistry, families: Families, cohorts: Cohorts, tracker: IncrementTracker | None = None
    ) -> None:
        self._tracker = tracker or IncrementTracker()
        self._sources = sources
        self._families = families
        self._cohorts = cohorts
        self._scopes: dict[tuple[str, str], QueryScope[str]] = {}
        self._owners: dict[tuple[str, str], QueryScope[tuple[str, str]]] = {}
        # Bounded: sources, families and signals come from the configuration.
        self._preset_queries: dict[tuple[str, str, str], _PresetQuery] = {}

    def register(self, requests: Sequence[SignalRequest], now: float) -> None:
        """Add the namespaces of future requests to the scopes. now: monotonic seconds."""
        requested: dict[tuple[str, str], tuple[Family, set[str]]] = {}
        for request in requests:
            found = self._families.find(request.family, request.signal.preset)
            if found is not None and request.signal.window_seconds <= _MAX_SHARED_WINDOW:
                family = found[0]
                requested.setdefault((request.source, family.name), (family, set()))[1].add(request.namespace)
        for (source, _), (family, namespaces) in requested.items():
            self._scope(source, family).add(namespaces, now)

    def widen_scopes(self, requests: Sequence[SignalRequest], started: float) -> None:
        """Add all namespaces and owners of a batch to the scopes before any query text is rendered, so that the batch
        shares its queries.

        started: monotonic seconds.
        """
        self.register(requests, started)
        requested: dict[tuple[str, str], tuple[Family, set[tuple[str, str]]]] = {}
        for request in requests:
            if len(request.owners) < 2 and not request.watched:
                continue
            found = self._families.find(request.family, request.signal.preset)
            if found is not None and found[0].splittable and not isinstance(found[1], Quotient):
                family = found[0]
                owners = requested.setdefault((request.source, family.name), (family, set()))[1]
                owners.update((request.namespace, owner) for owner in request.owners)
        for (source, _), (family, owners) in requested.items():
            self._owner_scope(source, family).add(owners, started)

    def plan(
        self, request: SignalRequest, now: float, groups: Groups, policy: Sequence[SignalRequest]
    ) -> Plan | Observation:
        """The queries that answer a request, or an Unknown observation. A fault affects only this request.

        policy: all requests of its policy; the size of their queries is limited in total.
        """
        try:
            resolved: _Resolved | None = request.resolved
            if resolved is None or resolved.planner is not self:
                found = self._resolve(request, now, policy)
                if isinstance(found, Observation):
                    return found
                resolved = found
                request.keep_resolved(resolved)
            target, preset_query = resolved.target, resolved.preset_query
            if resolved.fault:
                return target.unknown(now, reasons.BAD_QUERY, resolved.fault)
            if preset_query is None and resolved.preset is None:
                return target, QueryGroup(None, resolved.queries or {})
            if not target.parts:
                return target.unknown(now, reasons.NO_DATA, f"{target} has no pods")
            if preset_query is None:
                tracker = self._tracker if f"{COUNTERS}0" in (resolved.queries or {}) else None
                return target, QueryGroup(resolved.preset, resolved.queries or {}, tracker=tracker)
            return target, self._group(request, preset_query, resolved, groups)
        except Exception as error:
            return internal_error(request.signal.name, now, error)

    def plan_alone(self, request: SignalRequest, now: float, policy: Sequence[SignalRequest]) -> Plan | Observation:
        """As `plan`, with queries for the target alone: its pods, or its namespace if the series have no pod label.

        They leave out what a preset cannot measure, and the counters of pods. The namespaces must be registered.
        """
        if (unknown := self._without_source(request, now)) is not None:
            return unknown
        try:
            if request.signal.query:
                resolved = self._custom(request, policy)
                if resolved.fault:
                    return resolved.target.unknown(now, reasons.BAD_QUERY, resolved.fault)
                return resolved.target, QueryGroup(None, resolved.queries or {})
            preset_query = self._preset_query(request)
            if preset_query is None:
                return Observation.unknown(now, reasons.PRESET_NOT_FOUND, self._preset_not_found(request))
            target = aggregate.series_keys(request, preset_query.family.join)
            window = shared_window(request.signal.window_seconds)
            if (intervals := preset_query.intervals.get(preset_query.scope.chunk_of(request.namespace))) is not None:
                window = intervals.widened(window, [key for key, _ in target.parts])
            found = self._own_preset_queries(request, preset_query, window, split=len(target.parts) > 1, alone=True)
            return target, QueryGroup(preset_query.preset, found)
        except (TemplateError, PresetError) as error:
            return Observation.unknown(now, reasons.BAD_QUERY, f"{request.signal.name}: {error}")

    def replica_query(self, request: SignalRequest) -> Query | None:
        """The query for the target's replicas as kube-state-metrics reports them; None if it has none for its kind."""
        found = _REPLICAS.get(request.kind)
        if found is None:
            return None
        label = request.kind.lower()
        own = _joined(matchers("namespace", [request.namespace]), matchers(label, [request.name]))
        scope = _joined(own, self._source_matchers(request.source))
        text = union_query({part: f"max by (cluster) ({metric}{{{scope}}})" for part, metric in found.items()})
        return Query(request.source, text, extract.raw_series, custom=True, namespace=request.namespace)

    def _group(
        self, request: SignalRequest, preset_query: _PresetQuery, resolved: _Resolved, groups: Groups
    ) -> QueryGroup:
        """The group of requests that share a preset's queries."""
        chunk = preset_query.scope.chunk_of(request.namespace)
        window, parts = resolved.window, resolved.target.parts
        if (intervals := preset_query.intervals.get(chunk)) is not None:
            window = intervals.widened(window, [key for key, _ in parts] if intervals.others else ())
        key = (id(preset_query), window, chunk)
        group = groups.get(key)
        if group is None:
            text = preset_query.scope.text(preset_query.query, window, chunk)
            queries = {ALL_PARTS: Query(request.source, text, preset_query.extract)}
            if preset_query.probe is not None:
                probe, extractor = preset_query.probe
                text = preset_query.scope.text(probe, window, chunk)
                queries[PROBE] = Query(request.source, text, extractor, refresh=PROBE_SECONDS)
            if preset_query.family.scrapes:
                text = preset_query.scope.text(preset_query.family.scrapes, SCRAPES_SECONDS, chunk)
                extractor = scrape_intervals(*extract.labels_of(preset_query.family.join))
                queries[SCRAPES] = Query(request.source, text, extractor, refresh=SCRAPES_SECONDS)
            group = groups[key] = QueryGroup(
                preset_query.preset, queries, window=window, intervals=preset_query.intervals, chunk=chunk
            )
        if len(parts) < 2 and not request.watched:
            return group
        more: dict[str, Query] = {}
        if preset_query.buckets:
            more |= self._bucket_queries(request, preset_query, window)
        if preset_query.counters is not None and request.watched:
            more |= self._counter_queries(request, preset_query, *preset_query.counters)
        tracker = self._tracker if preset_query.counters is not None and request.watched else None
        if not more:
            return group
        return QueryGroup(
            preset_query.preset,
            {**group.queries, **more},
            window=window,
            chunk=chunk,
            intervals=preset_query.intervals,
            tracker=tracker,
        )

    def _resolve(self, request: SignalRequest, now: float, policy: Sequence[SignalRequest]) -> _Resolved | Observation:
        """Plan a request, or return an observation with the reason why it cannot be queried."""
        if (unknown := self._without_source(request, now)) is not None:
            return unknown
        try:
            if request.signal.query:
                return self._custom(request, policy)
            preset_query = self._preset_query(request)
            if preset_query is None:
                return Observation.unknown(now, reasons.PRESET_NOT_FOUND, self._preset_not_found(request))
            target, window = (
                aggregate.series_keys(request, preset_query.family.join),
                shared_window(request.signal.window_seconds),
            )
            if not request.watched:
                self._tracker.forget(target)
            if window > _MAX_SHARED_WINDOW or request.signal.container:
                queries = self._own_preset_queries(request, preset_query, window, split=len(target.parts) > 1)
                return _Resolved(self, target, queries=queries, preset=preset_query.preset)
            return _Resolved(self, target, preset_query, window)
        except (TemplateError, PresetError) as error:
            return Observation.unknown(now, reasons.BAD_QUERY, f"{request.signal.name}: {error}")

    def _without_source(self, request: SignalRequest, now: float) -> Observation | None:
        """An observation that says that the source is not for this namespace; None if it is."""
        if self._sources.is_for(request.source, request.namespace):
            return None
        known = ", ".join(self._sources.names_for(request.namespace)) or "none"
        return Observation.unknown(
            now,
            reasons.SOURCE_NOT_FOUND,
            f"metric source {request.source!r} is not configured for namespace {request.namespace}; available: {known}",
        )

    def _custom(self, request: SignalRequest, policy: Sequence[SignalRequest]) -> _Resolved:
        """Plan a custom query, together with all others of its policy, since their total size is limited."""
        requests = [one for one in policy if one.signal.query]
        if not any(one is request for one in requests):
            requests.append(request)
        label = self._tenant_label(request.source)
        restrictions = tuple(sorted(self._matchers_of(request.source).items()))
        texts: dict[int, Mapping[str, str]] = {}
        faults: dict[int, str] = {}
        size, oversized = PolicySize(), ""
        for one in requests:
            try:
                texts[id(one)] = found = _texts(one)
                for text in found.values():
                    # Only queries that are parsed are scanned. The length is limited for all.
                    size.add(text, parsed=bool(label or restrictions))
            except OversizedError as error:
                oversized = str(error)
                break
            except TemplateError as error:
                faults[id(one)] = str(error)
        for one in requests:
            target, fault = aggregate.series_keys(one, _BY_POD), faults.get(id(one), oversized)
            # A rejection is kept too, so that a rejected query costs no more per evaluation than a valid one.
            one.keep_resolved(
                _Resolved(self, target, fault=fault)
                if fault
                else _Resolved(self, target, queries=self._custom_queries(one, texts[id(one)], label, restrictions))
            )
        resolved: _Resolved = request.resolved
        return resolved

    @staticmethod
    def _custom_queries(
        request: SignalRequest, texts: Mapping[str, str], label: str, restrictions: tuple[tuple[str, str], ...]
    ) -> Mapping[str, Query]:
        return {
            part: Query(
                request.source,
                text,
                extract.raw_series,
                custom=True,
                namespace=request.namespace,
                label=label,
                matchers=restrictions,
                paced=request.signal.paced,
                companions=tuple(other for other in texts.values() if other is not text) if label else (),
            )
            for part, text in texts.items()
        }

    def _own_preset_queries(
        self, request: SignalRequest, preset_query: _PresetQuery, window: float, *, split: bool, alone: bool = False
    ) -> Mapping[str, Query]:
        """A preset's queries for one namespace alone: for a long window, or for one container.

        alone: for the pods of the target alone, and without the probe.
        """
        family, source, container = preset_query.family, request.source, request.signal.container
        namespaces = _namespace_matchers(family, self._source_matchers(source))([request.namespace])
        owners = [(request.namespace, owner) for owner in request.owners][:_OWNERS_PER_QUERY]
        narrow = _owner_matchers(family, self._source_matchers(source))(owners)
        scope = (narrow[0], namespaces[1]) if alone and owners and family.splittable else namespaces
        prepared = {ALL_PARTS: (render(preset_query.query, *scope, window, container), preset_query.extract)}
        if preset_query.probe is not None and not container and not alone:
            probe, extractor = preset_query.probe
            prepared[PROBE] = render(probe, *namespaces, window), extractor
        if preset_query.buckets and (split or request.watched):
            text = render(preset_query.buckets, *narrow, window)
            prepared["buckets/0"] = text, extract.buckets_by_target(*extract.labels_of(family.join))
        if preset_query.counters is not None and request.watched:
            counters, extractor = preset_query.counters
            prepared[f"{COUNTERS}0"] = render(counters, *narrow, window), extractor
        return {
            part: Query(
                source,
                text,
                extractor,
                custom=True,
                namespace=request.namespace,
                refresh=PROBE_SECONDS if part == PROBE else 0.0,
            )
            for part, (text, extractor) in prepared.items()
        }

    def _source_matchers(self, source: str) -> str:
        """The matchers of every selector of a preset at a source, like `cluster="eu"`; empty if there are none."""
        return ", ".join(matchers(label, [value]) for label, value in sorted(self._matchers_of(source).items()))

    def _matchers_of(self, source: str) -> Mapping[str, str]:
        found: Mapping[str, str] = getattr(self._sources.find(source), "matchers", {})
        return found

    def _tenant_label(self, source: str) -> str:
        """The label by which custom queries at a source are restricted; empty if they are not."""
        return getattr(self._sources.find(source), "tenant_label", "")

    def _preset_query(self, request: SignalRequest) -> _PresetQuery | None:
        """The shared part of a preset's requests; None if there is no such preset. Raises PresetError."""
        signal = request.signal
        known = self._preset_queries.get((request.source, request.family, signal.preset))
        if known is not None:
            return known
        found = self._families.find(request.family, signal.preset)
        if found is None:
            return None
        family, preset = found
        if family.join.combined_label and self._tenant_label(request.source):
            raise PresetError(
                f"the series of family {request.family!r} have no namespace label, and metric source "
                f"{request.source!r} isolates namespaces (tenancy): use another family, or a metric source that an "
                "administrator has configured with tenancy: none"
            )
        parts = queries(preset)
        others = {part: parts.pop(part, "") for part in OTHER_PARTS}
        labels = extract.labels_of(family.join)
        preset_query = _PresetQuery(
            family,
            preset,
            self._scope(request.source, family),
            union_query(parts),
            extract.index_by_part(*labels, tuple(parts), family.join.cluster),
            others["buckets"] if isinstance(preset, Quantile) and family.splittable else "",
            _probe(preset, labels),
            _counters(preset, family.join),
        )
        self._preset_queries[request.source, request.family, signal.preset] = preset_query
        return preset_query

    def _bucket_queries(self, request: SignalRequest, preset_query: _PresetQuery, window: float) -> dict[str, Query]:
        owners = self._owner_scope(request.source, preset_query.family)
        extractor = extract.buckets_by_target(*extract.labels_of(preset_query.family.join))
        numbers = {owners.chunk_of((request.namespace, owner)) for owner in request.owners}
        return {
            f"buckets/{number}": Query(request.source, owners.text(preset_query.buckets, window, number), extractor)
            for number in numbers
        }

    def _counter_queries(
        self, request: SignalRequest, preset_query: _PresetQuery, text: str, extractor: Extractor
    ) -> dict[str, Query]:
        owners = self._owner_scope(request.source, preset_query.family)
        numbers = {owners.chunk_of((request.namespace, owner)) for owner in request.owners}
        return {
            f"{COUNTERS}{number}": Query(request.source, owners.text(text, 1.0, number), extractor)
            for number in numbers
        }

    def _preset_not_found(self, request: SignalRequest) -> str:
        if request.family not in self._families.names:
            return f"there is no preset family {request.family!r}; available: {', '.join(self._families.names)}"
        known = ", ".join(self._families.signals(request.family))
        return f"family {request.family!r} has no preset {request.signal.preset!r}; available: {known}"

    def _scope(self, source: str, family: Family) -> QueryScope[str]:
        scope = self._scopes.get((source, family.name))
        if scope is None:
            extra = self._source_matchers(source)
            scope = QueryScope(
                _namespace_matchers(family, extra), self._cohorts, lambda namespace: namespace, unscoped=extra
            )
            self._scopes[source, family.name] = scope
        return scope

    def _owner_scope(self, source: str, family: Family) -> QueryScope[tuple[str, str]]:
        scope = self._owners.get((source, family.name))
        if scope is None:
            scope = QueryScope(
                _owner_matchers(family, self._source_matchers(source)),
                self._cohorts,
                lambda owner: owner[0],
                chunk=_OWNERS_PER_QUERY,
                unscoped_above=None,
                memory=_OWNERS_MEMORY_SECONDS,
            )
            self._owners[source, family.name] = scope
        return scope


def _texts(request: SignalRequest) -> dict[str, str]:
    """The parts of a custom query with placeholders filled in. Raises TemplateError."""
    texts = {"value": fill_custom(request.signal.query, request)}
    if request.signal.samples_query:
        texts["samples"] = fill_custom(request.signal.samples_query, request)
    return texts


def _probe(preset: Ratio | Quantile | Quotient, labels: tuple[str, str]) -> tuple[str, Extractor] | None:
    """The query for what a preset cannot measure, and its extractor; None if it has none."""
    if isinstance(preset, Ratio) and preset.unreadable:
        return preset.unreadable, extract.details_by_target(*labels, preset.status_labels)
    if isinstance(preset, Quotient) and preset.uncovered:
        return preset.uncovered, extract.details_by_target(*labels, ("container",))
    return None


def _counters(preset: Ratio | Quantile | Quotient, join: Join) -> tuple[str, Extractor] | None:
    """The query for the counters of pods, and its extractor; None if there are none."""
    if isinstance(preset, Ratio) and preset.pod_events and preset.pod_samples:
        union = union_query({"pod_events": preset.pod_events, "pod_samples": preset.pod_samples})
        return union, extract.counters_by_pod(join.namespace, join.pod)
    if isinstance(preset, Quantile) and preset.pod_buckets:
        return preset.pod_buckets, extract.buckets_by_pod(join.namespace, join.pod)
    return None


def _namespace_matchers(family: Family, extra: str = "") -> Callable[[Sequence[str]], tuple[str, str]]:
    """A function from namespaces to the matchers for a family's scope and its fallback. extra: further matchers."""
    label, fallback, suffix = family.scope.label, family.scope.fallback, family.scope.suffix

    def build(namespaces: Sequence[str]) -> tuple[str, str]:
        other = _joined(matchers(fallback, namespaces, suffix), extra) if fallback else ""
        return _joined(matchers(label, namespaces, suffix), extra), other

    return build


def _joined(*texts: str) -> str:
    return ", ".join(filter(None, texts))


def _owner_matchers(family: Family, extra: str = "") -> Callable[[Sequence[tuple[str, str]]], tuple[str, str]]:
    """A function from pod owners, each with its namespace, to the matchers for a family's scope. extra: further."""
    label, pod = family.scope.label, family.join.pod

    def build(owners: Sequence[tuple[str, str]]) -> tuple[str, str]:
        names = pod_name_regex((owner for _, owner in owners), "")
        return _joined(matchers(label, (namespace for namespace, _ in owners)), f'{pod}=~"{names}"', extra), ""

    return build


def internal_error(what: str, now: float, error: Exception) -> Observation:
    """An Unknown observation for an unexpected exception. Call it in the `except` block: it logs the traceback."""
    log.exception("%s could not be observed", what)
    return Observation.unknown(now, reasons.INTERNAL_ERROR, f"{what}: {error!r}; this is a bug in the operator")
