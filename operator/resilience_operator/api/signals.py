"""Signals of the target, and their metric source."""

import re
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictInt

from .base import SpecModel
from .checks import Check
from .fields import Name, duration_field
from .quantities import Unit

ZONE_LOST = "zone-lost"
"""The signal that is computed from Nodes, not from a metric source."""

BUILT_IN_SIGNALS = {
    "cpu": Unit.RATIO,
    "latency-p99": Unit.SECONDS,
    "error-rate": Unit.RATIO,
    ZONE_LOST: Unit.NUMBER,
}
"""Built-in signals, which need no declaration, and their units."""


def unit_of_preset(preset: str) -> Unit:
    """The unit of a preset. Presets of an administrator's family may have any."""
    known = BUILT_IN_SIGNALS.get(preset)
    if known is not None:
        return known
    return Unit.SECONDS if preset == "cpu-per-request" or preset.startswith("latency-") else Unit.NUMBER


COMPARABLE_PRESETS = re.compile(r"error-rate|cpu-per-request|latency(-[-a-z0-9]+)?")
"""Presets that can be compared with the baseline of a release, because requests are counted."""

PLACEHOLDERS = ("{{namespace}}", "{{name}}", "{{pods}}", "{{window}}")
"""The placeholders in a query that the operator fills in."""

QUERY_MAX_LENGTH = 4096
"""Maximum characters of a query."""

QUERIES_MAX_LENGTH = 65_536
"""Maximum characters of all queries of a policy together."""

SHARED_WINDOWS = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Shared look-back windows of presets, seconds. Each is one query for all policies, so there must be few."""

Query = Annotated[str, Field(min_length=1, max_length=QUERY_MAX_LENGTH)]

_PLACEHOLDER = re.compile("|".join(re.escape(placeholder) for placeholder in PLACEHOLDERS))


def _filled(query: str | None) -> bool:
    return query is None or "{{" not in _PLACEHOLDER.sub("", query)


def _placeholders_known(python_name: str, name: str) -> Check:
    stripped = "".join(f".replace('{placeholder}', '')" for placeholder in PLACEHOLDERS)
    return Check(
        message=f"{name} has an unknown placeholder: only {', '.join(PLACEHOLDERS)} are replaced",
        holds=lambda signal: _filled(getattr(signal, python_name)),
        cel=f"!has(self.{name}) || !self.{name}{stripped}.contains('{{{{')",
        field=name,
    )


class Signal(SpecModel):
    """A named measurement of the target."""

    name: Name = Field(
        description=(
            "Name that rules use, like queue-length. Declaring cpu, latency-p99, error-rate or zone-lost "
            "replaces the built-in signal."
        )
    )
    preset: Name | None = Field(
        default=None,
        description=(
            "Built-in measurement: cpu (ratio of the CPU request), latency-p99 (seconds) or error-rate (ratio of "
            "requests), from the preset family in metricSource.preset; or zone-lost (number of zones in which "
            "the pods could run and all nodes are NotReady). Set exactly one of preset and query."
        ),
    )
    query: Query | None = Field(
        default=None,
        description=(
            "PromQL that returns one series, or one series per pod (label pod), which allows to split it by "
            "revision. {{namespace}}, {{name}}, {{pods}} (a regular expression of pod names) and {{window}} are "
            'replaced. Example: sum(queue_length{namespace="{{namespace}}"}). Set exactly one of preset and '
            "query."
        ),
    )
    window: Annotated[float, duration_field("1s")] = Field(
        default=120.0,
        description=(
            "Time range of the query, like 2m (default): {{window}} in the query. A shorter window reacts sooner "
            "and is noisier. For a preset it is rounded up to 10s, 30s, 1m, 2m, 5m or 10m, whose results many "
            "policies share; a longer one is queried for this policy alone, like a custom query."
        ),
    )
    samples_query: Query | None = Field(
        default=None,
        description=(
            "PromQL for the number of requests behind a ratio, with the same placeholders as query. Built into presets."
        ),
    )
    container: Name | None = Field(
        default=None,
        description=(
            "Name of the only container that counts, for the preset cpu, like app. Default: all containers with a CPU "
            "request. It is queried for this policy alone, like a custom query."
        ),
    )
    of: Literal["total", "perPod"] | None = Field(
        default=None,
        description=(
            "What a custom query returns. total: a number for all pods together, like the length of a queue; it is "
            "divided by the pods before it is compared, so that thresholds are per pod. perPod (default): a number "
            "that is compared as it is."
        ),
    )
    min_samples: Annotated[StrictInt, Field(ge=0, le=1_000_000_000)] | None = Field(
        default=None,
        description=(
            "Minimum number of requests in the window. With fewer, the signal is Unknown and no action is taken "
            "on it. Needs samplesQuery if query is set."
        ),
    )
    unit: Unit | None = Field(
        default=None,
        description="Unit of the values: ratio (0.7 is shown as 70%), seconds or number (default). Built into presets.",
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="a signal needs exactly one of preset and query: keep one of them",
            holds=lambda signal: (signal.preset is None) != (signal.query is None),
            cel="has(self.preset) != has(self.query)",
        ),
        Check(
            message="minSamples needs samplesQuery: add samplesQuery, or remove minSamples",
            holds=lambda signal: not signal.min_samples or signal.samples_query is not None or signal.query is None,
            cel="!has(self.minSamples) || self.minSamples == 0 || has(self.samplesQuery) || !has(self.query)",
            field="minSamples",
        ),
        Check(
            message="container belongs to the preset cpu: set preset: cpu, or remove container",
            holds=lambda signal: signal.container is None or signal.preset == "cpu",
            cel="!has(self.container) || (has(self.preset) && self.preset == 'cpu')",
            field="container",
        ),
        Check(
            message="of belongs to a custom query: presets know what they measure. Remove of",
            holds=lambda signal: signal.of is None or signal.query is not None,
            cel="!has(self.of) || has(self.query)",
            field="of",
        ),
        Check(
            message="a total of all pods is a plain number: remove unit, or set of: perPod",
            holds=lambda signal: signal.of != "total" or signal.unit in (None, Unit.NUMBER),
            cel="!has(self.of) || self.of != 'total' || !has(self.unit) || self.unit == 'number'",
            field="of",
        ),
        _placeholders_known("query", "query"),
        _placeholders_known("samples_query", "samplesQuery"),
    )


def is_comparable(signal: Signal) -> bool:
    """Whether a new revision can be compared with its baseline by this signal."""
    if signal.preset is not None:
        return COMPARABLE_PRESETS.fullmatch(signal.preset) is not None
    return signal.unit is Unit.RATIO and signal.samples_query is not None


def look_back(signal: Signal) -> float:
    """The look-back of the signal's query, seconds: its window, for a preset rounded up to a shared one."""
    return signal.window if signal.preset is None else shared_window(signal.window)


@lru_cache(maxsize=1024)
def shared_window(seconds: float) -> float:
    """Round a preset's window up to a shared one, seconds. Above the longest shared one it is unchanged."""
    return next((window for window in SHARED_WINDOWS if window >= seconds), seconds)


class MetricSource(SpecModel):
    """Source of the measurements. Never a URL: an administrator configures the sources."""

    type: Name = Field(
        default="prometheus",
        description="Type of the source: prometheus (default), or the name of an installed plugin.",
    )
    name: Name | None = Field(
        default=None,
        description="Name of a source in the operator's configuration. Default: its default source.",
    )
    preset: Name = Field(
        default="http-generic",
        description=(
            "Preset family of the built-in signals, like http-generic (default), nginx-ingress, istio or opentelemetry."
        ),
    )
