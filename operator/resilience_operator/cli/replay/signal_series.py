"""Converts recorded query results to the collector's observations, with its join code.

The queries are those of the presets, grouped like in the collector and scoped to one target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.cli.replay.archive import Archive
from resilience_operator.cli.replay.recording import Tracks
from resilience_operator.cli.replay.time_grid import Span
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.target import TargetState
from resilience_operator.promql.errors import TemplateError
from resilience_operator.signals import reasons
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.presets import aggregate as join
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
)
from resilience_operator.signals.query import extract as digest
from resilience_operator.signals.query.template import fill_custom, matchers, pod_name_regex
from resilience_operator.signals.sources.protocol import Answer, Series

_BY_POD = Join(by="owner", name="owner")
_EMPTY: Mapping[Any, Any] = {}

Column = list[Any]
"""The digested result of one query, for each time."""
Owners = tuple[tuple[str, str], ...]
"""owner, revision."""


@dataclass(slots=True)
class Measure:
    """One signal over the whole recording. fault: why it cannot be measured."""

    request: SignalRequest
    family: Family | None = None
    preset: Ratio | Quantile | Quotient | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    columns: dict[str, Column] = field(default_factory=dict)
    fault: tuple[str, str] | None = None
    _targets: dict[Owners, join.SeriesKeys] = field(default_factory=dict)

    @property
    def _join(self) -> Join:
        return self.family.join if self.family is not None else _BY_POD

    @property
    def shared_by_pods(self) -> bool:
        """Whether the value is inversely proportional to the number of pods for the same work, such as CPU."""
        return isinstance(self.preset, Quotient)

    async def query(self, archive: Archive, crowded: Sequence[Span]) -> None:
        """Run its queries. crowded: the spans with pods of several revisions, whose histograms must be added up."""
        texts = {part: text for part, text in self.texts.items() if part != "buckets"}
        try:
            answers = await archive.query(texts.values(), tenant="" if self.preset else self.request.namespace)
        except TemplateError as error:
            self.fault = reasons.BAD_QUERY, str(error)
            return
        count = archive.recording.grid.count
        for part, text in texts.items():
            one_each = self.preset is not None
            self.columns[part] = _column(answers[text], count, self._digest(part), one_each=one_each)
        if "buckets" in self.texts and crowded:
            text = self.texts["buckets"]
            answer = (await archive.query([text], crowded))[text]
            self.columns["buckets"] = _column(answer, count, self._digest("buckets"), one_each=False)

    def _digest(self, part: str) -> Callable[[Answer], Any]:
        if self.preset is None:
            return digest.raw_series
        make = digest.buckets_by_target if part == "buckets" else digest.index_by_target
        return make(*digest.labels_of(self._join))

    def observe(self, number: int, at: float, owners: Owners) -> Observation:
        """The observation at one time, for a target with these owners of pods."""
        target = self._targets.get(owners)
        if target is None:
            request = SignalRequest(
                self.request.namespace, self.request.name, self.request.kind, dict(owners), self.request.signal
            )
            target = self._targets[owners] = join.series_keys(request, self._join)
        if self.fault is not None:
            return target.unknown(at, *self.fault)
        if self.preset is not None and not target.parts:
            return target.unknown(at, reasons.NO_DATA, f"{target} has no pods")
        columns = self.columns
        match self.preset:
            case Ratio():
                return join.ratio(target, at, columns["events"][number], columns["samples"][number])
            case Quotient() as preset:
                return join.quotient(target, at, preset, columns["numerator"][number], columns["denominator"][number])
            case Quantile() as preset:
                buckets = columns["buckets"][number] if "buckets" in columns else None
                return join.quantiles(target, at, preset, columns["value"][number], columns["samples"][number], buckets)
            case None:
                samples = columns["samples"][number] or () if "samples" in columns else None
                return join.custom(target, at, columns["value"][number] or (), samples)


def plan(
    signals: Sequence[Signal], families: Families, family: str, target: TargetState, owners: Mapping[str, str]
) -> list[Measure]:
    """How each signal of a target is measured. owners: all that it had within the recording."""
    return [_plan(signal, families, family, target, owners) for signal in signals]


def _plan(
    signal: Signal, families: Families, family_name: str, target: TargetState, owners: Mapping[str, str]
) -> Measure:
    request = SignalRequest(target.namespace, target.name, target.kind, owners, signal, family=family_name)
    measure = Measure(request)
    try:
        if signal.query:
            measure.texts = {"value": fill_custom(signal.query, request)}
            if signal.samples_query:
                measure.texts = {**measure.texts, "samples": fill_custom(signal.samples_query, request)}
            return measure
        found = families.find(family_name, signal.preset)
        if found is None:
            measure.fault = reasons.PRESET_NOT_FOUND, f"preset family {family_name!r} has no preset {signal.preset!r}"
            return measure
        family, measure.preset = found
        measure.family = family
        scope, fallback = _scope(family, request)
        measure.texts = {
            part: render(query, scope, fallback, signal.window_seconds)
            for part, query in queries(measure.preset).items()
            if part == "buckets" or part not in OTHER_PARTS
        }
    except (TemplateError, PresetError) as error:
        measure.fault = reasons.BAD_QUERY, str(error)
    return measure


def _scope(family: Family, request: SignalRequest) -> tuple[str, str]:
    """Label matchers for this target: its namespace, and its pods if the series have a pod label."""
    scope = matchers(family.scope.label, [request.namespace], family.scope.suffix)
    fallback = family.scope.fallback
    other = matchers(fallback, [request.namespace], family.scope.suffix) if fallback else ""
    if family.join.by == "owner":
        scope = f'{scope}, {family.join.pod}=~"{pod_name_regex(request.owners, request.name)}"'
    return scope, other


def _column(tracks: Tracks, count: int, make: Callable[[Answer], Any], *, one_each: bool) -> Column:
    """The digested result at each time. Times without a series share one empty digest.

    one_each: the digest has one entry per series, so each key is computed once instead of once per time.
    """
    if one_each:
        indexes: list[dict[Any, float] | None] = [None] * count
        for track in tracks:
            (key,) = make(Answer([Series(track.labels, 0.0, 0.0)]))
            for number, value in enumerate(track.values):
                if value is not None:
                    if (index := indexes[number]) is None:
                        indexes[number] = {key: value}
                    else:
                        index[key] = value
        return [_EMPTY if index is None else index for index in indexes]
    series: list[list[Series]] = [[] for _ in range(count)]
    for track in tracks:
        for number, value in enumerate(track.values):
            if value is not None:
                series[number].append(Series(track.labels, value, 0.0))
    return [make(Answer(found)) if found else _EMPTY for found in series]
