"""Which questions answer a request: grouped for presets, filled in for a policy's own query. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from resilience_operator.api.signals import SHARED_WINDOWS, shared_window
from resilience_operator.decision.model.observation import Observation
from resilience_operator.promql.errors import TemplateError
from resilience_operator.promql.scanner import OversizedError, PolicySize
from resilience_operator.signals import reasons
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.presets import aggregate as join
from resilience_operator.signals.presets.models import (
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
from resilience_operator.signals.query import extract as digest
from resilience_operator.signals.query.client import Extractor, Query
from resilience_operator.signals.query.cohorts import Cohorts
from resilience_operator.signals.query.scope import QueryScope
from resilience_operator.signals.query.template import fill_custom, matchers, pod_name_regex
from resilience_operator.signals.sources.registry import SourceRegistry

log = logging.getLogger(__name__)

_OWNERS_PER_QUERY = 400
_OWNERS_MEMORY_SECONDS = 120.0
_BY_POD = Join(by="owner", name="owner")
"""How the series of a policy's own query are joined: by the owner of the pod in label `pod`."""

_LONGEST_SHARED = SHARED_WINDOWS[-1]
"""Seconds. A preset that looks back further is asked for one namespace alone, in the lane of custom queries."""

ALL_PARTS = "all"
"""The question that answers all parts of a preset but the buckets."""


@dataclass(slots=True)
class _PresetQuery:
    """What all requests of one source, family and signal have in common."""

    family: Family
    preset: Ratio | Quantile | Quotient
    scope: QueryScope[str]
    query: str
    digest: Extractor
    buckets: str = ""


@dataclass(slots=True)
class QueryGroup:
    """Requests that the same questions answer. The last three are set when the replies are there."""

    preset: Ratio | Quantile | Quotient | None
    queries: Mapping[str, Query]
    answers: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0
    fault: tuple[str, str] | None = None


class _Resolved(NamedTuple):
    """What a request comes to, whenever it is asked.

    kind, window: of a preset that is asked for many. questions: what is asked for one namespace alone; preset: the
    preset of these, None where they are custom queries. fault: why it is not asked, if it is not.
    """

    by: QueryPlanner
    target: join.SeriesKeys
    kind: _PresetQuery | None = None
    window: float = 0.0
    questions: Mapping[str, Query] | None = None
    preset: Ratio | Quantile | Quotient | None = None
    fault: str = ""


Plan = tuple[join.SeriesKeys, QueryGroup]
"""Whom a request is about, and what answers it."""

Groups = dict[tuple[int, float, int], QueryGroup]
"""The presets' groups of one batch, by kind, window and chunk."""


class QueryPlanner:
    """Plans for a whole process. What it remembers is which namespaces each family serves."""

    def __init__(self, sources: SourceRegistry, families: Families, cohorts: Cohorts) -> None:
        self._sources = sources
        self._families = families
        self._cohorts = cohorts
        self._scopes: dict[tuple[str, str], QueryScope[str]] = {}
        self._owners: dict[tuple[str, str], QueryScope[tuple[str, str]]] = {}
        # Sources, families and signals are of the configuration, so that there are few.
        self._kinds: dict[tuple[str, str, str], _PresetQuery] = {}

    def register(self, requests: Sequence[SignalRequest], now: float) -> None:
        """Widen the scopes for requests that will come. now: monotonic seconds."""
        wanted: dict[tuple[str, str], tuple[Family, set[str]]] = {}
        for request in requests:
            found = self._families.find(request.family, request.signal.preset)
            if found is not None and request.signal.window_seconds <= _LONGEST_SHARED:
                family = found[0]
                wanted.setdefault((request.source, family.name), (family, set()))[1].add(request.namespace)
        for (source, _), (family, namespaces) in wanted.items():
            self._scope(source, family).add(namespaces, now)

    def widen_scopes(self, requests: Sequence[SignalRequest], started: float) -> None:
        """Widen the scopes before any text is made, so that one batch asks one text. started: monotonic seconds."""
        self.register(requests, started)
        wanted: dict[tuple[str, str], tuple[Family, set[tuple[str, str]]]] = {}
        for request in requests:
            if len(request.owners) < 2:
                continue
            found = self._families.find(request.family, request.signal.preset)
            if found is not None and isinstance(found[1], Quantile) and found[1].buckets:
                family = found[0]
                owners = wanted.setdefault((request.source, family.name), (family, set()))[1]
                owners.update((request.namespace, owner) for owner in request.owners)
        for (source, _), (family, owners) in wanted.items():
            self._owner_scope(source, family).add(owners, started)

    def plan(
        self, request: SignalRequest, now: float, groups: Groups, policy: Sequence[SignalRequest]
    ) -> Plan | Observation:
        """Which questions answer a request. Whatever is wrong with one is that one's alone.

        policy: all requests of its policy, whose queries are bounded together.
        """
        try:
            asked: _Resolved | None = request.asked
            if asked is None or asked.by is not self:
                found = self._resolve(request, now, policy)
                if isinstance(found, Observation):
                    return found
                asked = found
                request.keep(asked)
            target, kind = asked.target, asked.kind
            if asked.fault:
                return target.unknown(now, reasons.BAD_QUERY, asked.fault)
            if kind is None and asked.preset is None:
                return target, QueryGroup(None, asked.questions or {})
            if not target.parts:
                return target.unknown(now, reasons.NO_DATA, f"{target} has no pods")
            if kind is None:
                return target, QueryGroup(asked.preset, asked.questions or {})
            return target, self._group(request, kind, asked.window, groups, split=len(target.parts) > 1)
        except Exception as error:
            return internal_error(request.signal.name, now, error)

    def _group(
        self, request: SignalRequest, kind: _PresetQuery, window: float, groups: Groups, *, split: bool
    ) -> QueryGroup:
        """The requests that a preset's questions answer together. split: by revision too."""
        chunk = kind.scope.chunk_of(request.namespace)
        key = (id(kind), window, chunk)
        group = groups.get(key)
        if group is None:
            text = kind.scope.text(kind.query, window, chunk)
            group = groups[key] = QueryGroup(kind.preset, {ALL_PARTS: Query(request.source, text, kind.digest)})
        if kind.buckets and split:
            return QueryGroup(kind.preset, {**group.queries, **self._bucket_questions(request, kind, window)})
        return group

    def _resolve(self, request: SignalRequest, now: float, policy: Sequence[SignalRequest]) -> _Resolved | Observation:
        """Work out what a request comes to, or why it cannot be asked."""
        if not self._sources.is_for(request.source, request.namespace):
            known = ", ".join(self._sources.names_for(request.namespace)) or "none"
            return Observation.unknown(
                now,
                reasons.SOURCE_NOT_FOUND,
                f"metric source {request.source!r} is not configured for namespace {request.namespace}; "
                f"there are: {known}",
            )
        try:
            if request.signal.query:
                return self._custom(request, policy)
            kind = self._kind(request)
            if kind is None:
                return Observation.unknown(now, reasons.PRESET_NOT_FOUND, self._no_preset(request))
            target, window = join.series_keys(request, kind.family.join), shared_window(request.signal.window_seconds)
            if window > _LONGEST_SHARED:
                questions = self._long_window_queries(request, kind, window, split=len(target.parts) > 1)
                return _Resolved(self, target, questions=questions, preset=kind.preset)
            return _Resolved(self, target, kind, window)
        except (TemplateError, PresetError) as error:
            return Observation.unknown(now, reasons.BAD_QUERY, f"{request.signal.name}: {error}")

    def _custom(self, request: SignalRequest, policy: Sequence[SignalRequest]) -> _Resolved:
        """What a custom query comes to. Those of a policy are worked out together: they are bounded together."""
        requests = [one for one in policy if one.signal.query]
        if not any(one is request for one in requests):
            requests.append(request)
        label = self._tenant_label(request.source)
        texts: dict[int, Mapping[str, str]] = {}
        faults: dict[int, str] = {}
        size, oversized = PolicySize(), ""
        for one in requests:
            try:
                texts[id(one)] = found = _texts(one)
                for text in found.values():
                    # Only what is parsed is scanned; whatever is sent is bounded in its length.
                    size.add(text, parsed=bool(label))
            except OversizedError as error:
                oversized = str(error)
                break
            except TemplateError as error:
                faults[id(one)] = str(error)
        for one in requests:
            target, fault = join.series_keys(one, _BY_POD), faults.get(id(one), oversized)
            # Kept whatever comes of it: a query that is refused costs no more each time than one that is not.
            one.keep(
                _Resolved(self, target, fault=fault)
                if fault
                else _Resolved(self, target, questions=self._custom_queries(one, texts[id(one)], label))
            )
        asked: _Resolved = request.asked
        return asked

    @staticmethod
    def _custom_queries(request: SignalRequest, texts: Mapping[str, str], label: str) -> Mapping[str, Query]:
        return {
            part: Query(
                request.source,
                text,
                digest.raw_series,
                own=True,
                namespace=request.namespace,
                label=label,
                with_=tuple(other for other in texts.values() if other is not text) if label else (),
            )
            for part, text in texts.items()
        }

    def _long_window_queries(
        self, request: SignalRequest, kind: _PresetQuery, window: float, *, split: bool
    ) -> Mapping[str, Query]:
        """A preset's questions about one namespace alone."""
        namespaces = _narrowed_to_namespaces(kind.family)([request.namespace])
        made = {ALL_PARTS: (render(kind.query, *namespaces, window), kind.digest)}
        if kind.buckets and split:
            owners = [(request.namespace, owner) for owner in request.owners][:_OWNERS_PER_QUERY]
            text = render(kind.buckets, *_narrowed_to_owners(kind.family)(owners), window)
            made["buckets/0"] = (text, digest.buckets_by_target(*digest.labels_of(kind.family.join)))
        return {
            part: Query(request.source, text, made_of, own=True, namespace=request.namespace)
            for part, (text, made_of) in made.items()
        }

    def _tenant_label(self, source: str) -> str:
        """What a source's own queries are held to; empty where they are not."""
        return getattr(self._sources.find(source), "tenant_label", "")

    def _kind(self, request: SignalRequest) -> _PresetQuery | None:
        """What a preset's request has in common with others; None where there is no such preset."""
        signal = request.signal
        known = self._kinds.get((request.source, request.family, signal.preset))
        if known is not None:
            return known
        found = self._families.find(request.family, signal.preset)
        if found is None:
            return None
        family, preset = found
        if family.join.combined_label and self._tenant_label(request.source):
            raise PresetError(
                f"the series of family {request.family!r} do not say which namespace they belong to, and metric source "
                f"{request.source!r} keeps namespaces apart (tenancy): use another family, or a metric source that an "
                "administrator has configured with tenancy: none"
            )
        parts = queries(preset)
        buckets = parts.pop("buckets", "")
        kind = _PresetQuery(
            family,
            preset,
            self._scope(request.source, family),
            union_query(parts),
            digest.index_by_part(*digest.labels_of(family.join), tuple(parts)),
            buckets,
        )
        self._kinds[request.source, request.family, signal.preset] = kind
        return kind

    def _bucket_questions(self, request: SignalRequest, kind: _PresetQuery, window: float) -> dict[str, Query]:
        owners = self._owner_scope(request.source, kind.family)
        made = digest.buckets_by_target(*digest.labels_of(kind.family.join))
        numbers = {owners.chunk_of((request.namespace, owner)) for owner in request.owners}
        return {
            f"buckets/{number}": Query(request.source, owners.text(kind.buckets, window, number), made)
            for number in numbers
        }

    def _no_preset(self, request: SignalRequest) -> str:
        if request.family not in self._families.names:
            return f"there is no preset family {request.family!r}; there are: {', '.join(self._families.names)}"
        known = ", ".join(self._families.signals(request.family))
        return f"family {request.family!r} has no preset {request.signal.preset!r}; there are: {known}"

    def _scope(self, source: str, family: Family) -> QueryScope[str]:
        scope = self._scopes.get((source, family.name))
        if scope is None:
            scope = QueryScope(_narrowed_to_namespaces(family), self._cohorts, lambda namespace: namespace)
            self._scopes[source, family.name] = scope
        return scope

    def _owner_scope(self, source: str, family: Family) -> QueryScope[tuple[str, str]]:
        scope = self._owners.get((source, family.name))
        if scope is None:
            scope = QueryScope(
                _narrowed_to_owners(family),
                self._cohorts,
                lambda owner: owner[0],
                chunk=_OWNERS_PER_QUERY,
                unscoped_above=None,
                memory=_OWNERS_MEMORY_SECONDS,
            )
            self._owners[source, family.name] = scope
        return scope


def _texts(request: SignalRequest) -> dict[str, str]:
    """A custom query by its parts, placeholders filled in. Raises TemplateError."""
    texts = {"value": fill_custom(request.signal.query, request)}
    if request.signal.samples_query:
        texts["samples"] = fill_custom(request.signal.samples_query, request)
    return texts


def _narrowed_to_namespaces(family: Family) -> Callable[[Sequence[str]], tuple[str, str]]:
    """Makes the matchers of a family's scope, and of its fallback, for namespaces."""
    label, fallback, suffix = family.scope.label, family.scope.fallback, family.scope.suffix

    def narrow(namespaces: Sequence[str]) -> tuple[str, str]:
        other = matchers(fallback, namespaces, suffix) if fallback else ""
        return matchers(label, namespaces, suffix), other

    return narrow


def _narrowed_to_owners(family: Family) -> Callable[[Sequence[tuple[str, str]]], tuple[str, str]]:
    """The same for owners of pods, each with its namespace."""
    label, pod = family.scope.label, family.join.pod

    def narrow(owners: Sequence[tuple[str, str]]) -> tuple[str, str]:
        names = pod_name_regex((owner for _, owner in owners), "")
        return f'{matchers(label, (namespace for namespace, _ in owners))}, {pod}=~"{names}"', ""

    return narrow


def internal_error(what: str, now: float, error: Exception) -> Observation:
    """What a fault of ours over one request comes to. To be called where it is caught."""
    log.exception("%s could not be observed", what)
    return Observation.unknown(now, reasons.INTERNAL_ERROR, f"{what}: {error!r}; this is a fault of the operator")
