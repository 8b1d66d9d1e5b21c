"""Preset families: the queries to send, and how their series map to targets. The data is in `presets/*.yaml`.

Every query is grouped: it returns one series per target and owner (or one per Service), for all targets in its scope.
An administrator may add families in a folder with the same format. A family with the name of a built-in one replaces
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from resilience_operator.promql.errors import TemplateError
from resilience_operator.signals.query.template import duration, fill, fill_only, placeholders

BASE_FAMILY = "pods"
"""The family whose signals are part of every family."""

PART = "part"
"""The label with the part of a preset that a series belongs to, if one query returns all parts."""

_LABEL = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
_PLACEHOLDERS = frozenset({"scope", "fallback", "window", "container", "quantile"})

QUANTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
"""The quantiles of a latency that a policy can name, as `latency-p95`. Each is one query for all policies, so there are
few."""

PER_REQUEST = "cpu-per-request"
"""The preset with the CPU seconds per request: the usage of `cpu` over the requests of `error-rate`."""


def _grouped(query: str) -> str:
    """Validate the placeholders of a grouped query."""
    used = placeholders(query)
    if unknown := used - _PLACEHOLDERS:
        available = ", ".join(sorted(_PLACEHOLDERS))
        raise ValueError(f"unknown placeholders: {', '.join(sorted(unknown))}; available: {available}")
    if "scope" not in used:
        raise ValueError("a grouped query must have {{scope}} in every selector")
    return query


Query = Annotated[str, AfterValidator(_grouped)]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ratio(_Data):
    """Bad events over all requests, both as `increase()` over the window. If there is no series of events, it is 0.

    unreadable: requests of series from whose status the events cannot be told, by key and `status_labels`. Queried once
        a minute.
    status_labels: the labels in which the events are looked for.
    pod_events, pod_samples: the raw counters of each pod. Queried only while a release is analysed.
    """

    kind: Literal["ratio"]
    unit: Literal["ratio"] = "ratio"
    events: Query
    samples: Query
    unreadable: Query | None = None
    status_labels: tuple[Annotated[str, Field(pattern=_LABEL)], ...] = ()
    pod_events: Query | None = None
    pod_samples: Query | None = None


class Quantile(_Data):
    """A quantile of a histogram.

    scale: base units (seconds) per unit of the histogram.
    buckets: cumulative rates or increases by key and `le`, or a native histogram by key. Queried only for targets with
        several owners, to compute the quantile over all of them, and while a release is analysed. Quantiles themselves
        cannot be summed or averaged.
    pod_buckets: the raw buckets of each pod. Queried only while a release is analysed.
    """

    kind: Literal["quantile"]
    unit: Literal["seconds"] = "seconds"
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.99
    scale: Annotated[float, Field(gt=0)] = 1.0
    value: Query
    samples: Query
    buckets: Query | None = None
    pod_buckets: Query | None = None


class Quotient(_Data):
    """Two sums, divided after they are summed over the target's owners.

    missing: the end of the message, after the target, if the denominator has no series.
    uncovered: what the numerator leaves out, by key and container. Queried once a minute. If it is more than the
        numerator, the quotient says nothing about the target.
    counted: the denominator is a number of requests.
    """

    kind: Literal["quotient"]
    unit: Literal["ratio", "number", "seconds"] = "ratio"
    numerator: Query
    denominator: Query
    missing: str
    uncovered: Query | None = None
    counted: bool = False


Preset = Annotated[Ratio | Quantile | Quotient, Field(discriminator="kind")]


class Join(_Data):
    """The labels of a series that identify the target.

    by: `owner` (a pod's name without its last suffix, so that the signal can be split by revision), or `name` (the
        target's own name, or its Service's; cannot be split).
    namespace, name, pod: names of the labels (pod: if joined by owner).
    combined_label: the label `name` contains `namespace-name`, and there is no namespace label.
    cluster: labels with the name of the cluster, if one store has the metrics of several. A target whose series have
        different values of them is Unknown, rather than the sum over clusters.
    """

    by: Literal["owner", "name"]
    namespace: Annotated[str, Field(pattern=_LABEL)] = "namespace"
    name: Annotated[str, Field(pattern=_LABEL)]
    pod: Annotated[str, Field(pattern=_LABEL)] = "pod"
    combined_label: bool = False
    cluster: tuple[Annotated[str, Field(pattern=_LABEL)], ...] = ("cluster",)


class Scope(_Data):
    """The matcher that narrows a query to namespaces: `label=~"(?:a|b)suffix"`.

    fallback: another label for the same matcher, as `{{fallback}}`, if either label may contain the namespace.
    """

    label: Annotated[str, Field(pattern=_LABEL)]
    fallback: Annotated[str, Field(pattern=_LABEL)] | None = None
    suffix: str = ""


class Family(_Data):
    """One way to measure targets. needs, sources and notes are for the documentation.

    scrapes: samples within ten minutes by key, of series that are that old. Queried every ten minutes, to learn the
        scrape interval.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    title: str
    summary: str
    needs: tuple[str, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()
    join: Join
    scope: Scope
    scrapes: Query | None = None
    signals: Mapping[str, Preset]

    @property
    def splittable(self) -> bool:
        """Whether the series distinguish the pods of different ReplicaSets."""
        return self.join.by == "owner"

    @model_validator(mode="after")
    def _queries_by_pod(self) -> Self:
        for name, preset in self.signals.items():
            if isinstance(preset, Quantile) and preset.buckets is None and self.splittable:
                raise ValueError(f"{name}: `buckets` is required in families joined by owner")
            for part in ("pod_events", "pod_samples", "pod_buckets"):
                if getattr(preset, part, None) and not self.splittable:
                    raise ValueError(f"{name}: `{part}` is not allowed in families that are not joined by owner")
            if isinstance(preset, Ratio) and (preset.pod_events is None) != (preset.pod_samples is None):
                raise ValueError(f"{name}: `pod_events` and `pod_samples` belong together")
        return self


class Families:
    """All families by name. `find` returns a signal together with the family that defines it."""

    def __init__(self, families: Mapping[str, Family]) -> None:
        self._families = dict(families)
        self._found: dict[tuple[str, str], tuple[Family, Ratio | Quantile | Quotient]] = {}
        shared = self._families.get(BASE_FAMILY)
        for family in self._families.values():
            if family.name == BASE_FAMILY:
                continue
            for source in (shared, family):
                for name, preset in (source.signals if source else {}).items():
                    assert source is not None
                    for signal, one in _variants(name, preset).items():
                        self._found[family.name, signal] = (source, one)
            if shared is not None and (per_request := _per_request(shared, family)) is not None:
                self._found[family.name, PER_REQUEST] = (family, per_request)

    @property
    def names(self) -> tuple[str, ...]:
        """The families that a policy can name."""
        return tuple(sorted(name for name in self._families if name != BASE_FAMILY))

    def signals(self, family: str) -> tuple[str, ...]:
        """The signals of a family, including the shared ones."""
        return tuple(sorted(signal for name, signal in self._found if name == family))

    def find(self, family: str, signal: str) -> tuple[Family, Ratio | Quantile | Quotient] | None:
        """The family that defines `signal`, and the preset; None if there is no such signal."""
        return self._found.get((family, signal))

    def family(self, name: str) -> Family | None:
        """The family with that name, including the shared one (`pods`); None if there is none."""
        return self._families.get(name)


def _variants(name: str, preset: Ratio | Quantile | Quotient) -> dict[str, Ratio | Quantile | Quotient]:
    """The signals that a family's entry stands for: one, or one per quantile if its query has the placeholder."""
    if not isinstance(preset, Quantile) or "quantile" not in placeholders(preset.value):
        return {name: preset}
    base = name.rpartition("-")[0]
    return {
        f"{base}-{suffix}": preset.model_copy(
            update={"quantile": q, "value": fill_only(preset.value, "quantile", f"{q:g}")}
        )
        for suffix, q in QUANTILES.items()
    }


def _per_request(shared: Family, family: Family) -> Quotient | None:
    """The CPU seconds per request of a family whose series have the same labels as those of the CPU."""
    cpu, errors = shared.signals.get("cpu"), family.signals.get("error-rate")
    same = family.splittable and family.join == shared.join and family.scope == shared.scope
    if not same or not isinstance(cpu, Quotient) or not isinstance(errors, Ratio):
        return None
    return Quotient(
        kind="quotient",
        unit="seconds",
        numerator=cpu.numerator.replace("rate(", "increase(", 1),
        denominator=errors.samples,
        missing="there are no request metrics for it",
        counted=True,
    )


_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""A safe loader, in C where PyYAML has it: ten times as fast, at each start and for each `lint`."""


class PresetError(Exception):
    """The data of a family is invalid; the text names the file and the field."""


def load_families(extra: Path | None = None) -> Families:
    """The built-in families, and those in folder `extra`. Raises PresetError."""
    found: dict[str, Family] = {}
    shipped = files("resilience_operator.signals").joinpath("presets")
    documents = [p for p in shipped.iterdir() if p.name.endswith(".yaml")]
    texts = [(p.name, p.read_text("utf-8")) for p in sorted(documents, key=lambda p: p.name)]
    if extra is not None:
        texts += [(str(p), p.read_text("utf-8")) for p in sorted(extra.glob("*.yaml"))]
    for where, text in texts:
        if where.endswith(".yaml"):
            family = _parse(where, text)
            found[family.name] = family
    return Families(found)


def _parse(where: str, text: str) -> Family:
    try:
        return Family.model_validate(yaml.load(text, Loader=_LOADER))  # noqa: S506
    except (yaml.YAMLError, ValidationError) as error:
        raise PresetError(f"preset family {where}: {error}") from error


def queries(preset: Ratio | Quantile | Quotient) -> dict[str, str]:
    """The preset's queries by part, those of every evaluation first."""
    parts = ("events", "samples", "value", "numerator", "denominator", *OTHER_PARTS)
    return {part: query for part in parts if (query := getattr(preset, part, None))}


OTHER_PARTS = ("buckets", "unreadable", "uncovered", "pod_events", "pod_samples", "pod_buckets")
"""The parts that are not queried at every evaluation of every target."""


def union_query(parts: Mapping[str, str]) -> str:
    """Combine the queries of all parts into one: one request, and all parts are evaluated at the same time."""
    return "\nor\n".join(
        f'label_replace(\n{query},\n"{PART}", "{part}", "{PART}", ".*"\n)' for part, query in parts.items()
    )


def render(query: str, scope: str, fallback: str, window_seconds: float, container: str = "") -> str:
    """Fill in a grouped query. `scope` and `fallback` are lists of matchers, or empty. Raises PresetError.

    container: the only container that counts; empty for all.
    """
    only = f', container="{container}"' if container else ""
    try:
        window = duration(window_seconds)
        return fill(query, {"scope": scope, "fallback": fallback, "window": window, "container": only})
    except TemplateError as error:
        raise PresetError(str(error)) from error
