"""Derives thresholds from measurements. Pure.

Without a HorizontalPodAutoscaler, the CPU rule is that of the sample load.yaml: it scales ahead of the load, to 85% of
the CPU request. The other thresholds are the 99% quantile plus a margin. CPU beside an autoscaler: a quarter more, in
steps of 5%, from 50% to 90%. Latency: half more, in two digits, from 50 ms. Errors: three times as many, in steps of
0.5%, from 1% to 50%. With fewer than 100 measurements the default threshold is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from statistics import quantiles
from typing import Any

from resilience_operator.api.quantities import Threshold, Unit, format_threshold, format_value
from resilience_operator.api.v1alpha1 import API_VERSION, KIND

MIN_SAMPLES = 100
"""Minimum measurements of a signal for a meaningful quantile."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How to derive a rule from a signal. usual: the threshold without measurements. margin: in words."""

    signal: str
    name: str
    unit: Unit
    usual: float
    margin: str
    above: Callable[[float], float]
    hold: str
    then: tuple[dict[str, Any], ...]


def _cpu(q: float) -> float:
    return min(max(_up(q * 1.25, 0.05), 0.5), 0.9)


def _latency(q: float) -> float:
    wanted = max(q * 1.5, 0.05)
    return _up(wanted, 10.0 ** (floor(log10(wanted)) - 1))


def _errors(q: float) -> float:
    return min(max(_up(q * 3, 0.005), 0.01), 0.5)


def _up(value: float, step: float) -> float:
    return round(ceil(value / step - 1e-9) * step, 9)


RULES = (
    Rule(
        "cpu", "cpu-saturation", Unit.RATIO, 0.7, "25% above, in steps of 5%, from 50% to 90%",
        _cpu, "2m", ({"scaleUp": {"pods": 2}},),
    ),
    Rule(
        "latency-p99", "slow-requests", Unit.SECONDS, 1.0, "50% above, rounded up to two digits, at least 50 ms",
        _latency, "1m", ({"alert": {}}, {"scaleUp": {"percent": 50}}),
    ),
    Rule(
        "error-rate", "failing-release", Unit.RATIO, 0.01, "three times as high, in steps of 0.5%, from 1% to 50%",
        _errors, "0s", ({"pauseRollout": {}}, {"rollback": {"after": "30s"}}),
    ),
)  # fmt: skip
"""The table of these derivations, by signal."""


TARGET = 0.85
"""Share of the CPU request to which the target is scaled: queues grow fast above 90% (`docs/autoscaling.md`)."""

WINDOW = "1m"
"""Window of the signals of a policy that scales ahead: four scrapes of 15 s."""


@dataclass(frozen=True, slots=True)
class WorkloadProfile:
    """The result of the survey. values: the measurements by signal; samples: the number of reads.

    family: the preset family, empty if only CPU has data. highest: maximum replicas, None without an HPA.
    """

    namespace: str
    kind: str
    name: str
    replicas: int
    family: str
    values: Mapping[str, Sequence[float]]
    samples: int
    span: str
    lowest: int | None = None
    highest: int | None = None
    hpa: str = ""
    source: str = ""


def propose(found: WorkloadProfile) -> tuple[dict[str, Any], list[str]]:
    """The policy, and the reasons for its values in words."""
    lowest = found.lowest if found.lowest is not None else max(found.replicas, 1)
    highest = found.highest if found.highest is not None else max(2 * lowest, lowest + 2)
    reasons = [
        f"replicas: HorizontalPodAutoscaler {found.hpa} scales it between {lowest} and {highest}; the operator "
        "changes only its minReplicas"
        if found.hpa
        else f"replicas: from the current {found.replicas} to twice as many; set max to what the cluster can run"
    ]
    rules: list[dict[str, Any]] = []
    for rule in RULES:
        values = found.values.get(rule.signal, ())
        if not values:
            reasons.append(f"{rule.signal}: no data recorded, so there is no rule")
            continue
        if rule.signal == "cpu" and not found.hpa:
            rules.append(_ahead())
            reasons.append(_why_ahead(values, found))
            continue
        threshold, why = _threshold(rule, values, found)
        reasons.append(why)
        when = {"signal": rule.signal, "above": threshold, **({"for": rule.hold} if rule.hold != "0s" else {})}
        rules.append({"name": rule.name, "when": when, "then": list(rule.then)})
    source = {
        **({"name": found.source} if found.source != "default" else {}),
        **({"preset": found.family} if found.family not in ("", "http-generic") else {}),
    }
    spec: dict[str, Any] = {
        "targetRef": {"apiVersion": "apps/v1", "kind": found.kind, "name": found.name},
        "mode": "DryRun",
        "replicas": {"min": lowest, "max": highest},
        **({"metricSource": source} if source else {}),
        **({"signals": _signals(rules)} if any(rule["name"] == AHEAD for rule in rules) else {}),
        "rules": rules,
    }
    metadata = {"name": found.name, "namespace": found.namespace}
    reasons.append("mode: DryRun changes nothing. Check `kubectl resilience explain` for some days, then set Enforce")
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}, reasons


AHEAD = "cpu-load"


def _ahead() -> dict[str, Any]:
    above = format_threshold(Threshold(TARGET, Unit.RATIO))
    return {"name": AHEAD, "when": {"signal": "cpu", "above": above}, "then": [{"scaleUp": {"toTarget": True}}]}


def _why_ahead(values: Sequence[float], found: WorkloadProfile) -> str:
    target = format_value(TARGET, "ratio")
    only = "only " if len(values) < MIN_SAMPLES else ""
    seen = f"cpu: {only}{len(values)} of {found.samples} samples in {found.span} have a value"
    if len(values) >= MIN_SAMPLES:
        cuts = quantiles(values, n=100, method="inclusive")
        seen += f"; median {format_value(cuts[49], 'ratio')}, 99th percentile {format_value(cuts[98], 'ratio')}"
        if cuts[98] >= TARGET:
            seen += ", so that pods were missing at times"
    return f"{seen}. toTarget without `for` scales ahead of the load, to {target} of the CPU request"


def _signals(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The signals of the rules with a shorter window, so that all are counted over the same time."""
    return [{"name": name, "preset": name, "window": WINDOW} for name in (rule["when"]["signal"] for rule in rules)]


def _threshold(rule: Rule, values: Sequence[float], found: WorkloadProfile) -> tuple[str, str]:
    if len(values) < MIN_SAMPLES:
        text = _written(rule, rule.usual)
        return (
            text,
            f"{rule.signal}: only {len(values)} of {found.samples} samples have a value, so the default threshold "
            f"of {text} is used",
        )
    cuts = quantiles(values, n=100, method="inclusive")
    median, high = cuts[49], cuts[98]
    above = rule.above(high)
    text = _written(rule, above)
    seen = (
        f"{rule.signal}: {len(values)} of {found.samples} samples in {found.span} have a value; median "
        f"{format_value(median, rule.unit)}, 99th percentile {format_value(high, rule.unit)}"
    )
    if high >= above:
        return text, f"{seen}. This is already high: the threshold stays at {text}; investigate first"
    return text, f"{seen}. The threshold is {text}: {rule.margin}"


def _written(rule: Rule, value: float) -> str:
    return format_threshold(Threshold(value, rule.unit))
