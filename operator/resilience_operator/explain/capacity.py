"""The capacity model in sentences: what the load needs, what a pod carries, and what limits the size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from resilience_operator.api.quantities import QuantityError, format_duration, format_value, parse_threshold
from resilience_operator.decision.scaling.need import Need, need_of
from resilience_operator.explain.context import ExplainContext
from resilience_operator.explain.formatting import pods


def need(facts: ExplainContext) -> Need | None:
    """Return the need by the values of the last evaluation; None if no signal follows the load."""
    if facts.replicas is None:
        return None
    values: dict[str, float] = {}
    for signal in facts.status.signals:
        try:
            values[signal.name] = parse_threshold(signal.value).value
        except QuantityError:
            continue
    hpa = facts.target.hpa if facts.target is not None else None
    return need_of(facts.policy, facts.memory, values, facts.replicas, hpa)


def capacity(found: Need | None, facts: ExplainContext) -> Iterator[str]:
    """Yield sentences about the need and the capacity."""
    if found is None:
        return
    condition = found.condition
    threshold = format_value(condition.threshold, facts.policy.signals[condition.signal].unit)
    margin = f" with a margin of {found.margin:.0%}" if found.margin else ""
    serving = f"; {facts.live.ready} serve" if facts.live is not None else ""
    load = f"{condition.signal} of {found.load:.1f} pods at {threshold}"
    yield f"the load needs {pods(found.pods)}{margin}: {load}{serving}"
    requests = f", about {found.requests:.0f} requests/s" if found.requests is not None else ""
    yield f"one pod carries {condition.signal} up to {threshold}{requests}"
    start_up = format_duration(round(found.start_up))
    how = "measured at scale-ups of this target" if found.learned else "assumed until a scale-up shows it"
    yield f"a new pod serves after {start_up} ({how})"
    yield f"the size is limited by: {found.limit}" if found.limit else "nothing but the load limits the size"


def capacity_document(found: Need | None) -> dict[str, Any] | None:
    """Return the need for scripts. Loads are in pods, times in seconds."""
    if found is None:
        return None
    return {
        "load": round(found.load, 2),
        "need": found.pods,
        "margin": round(found.margin, 2),
        "rule": found.rule,
        "signal": found.condition.signal,
        "threshold": found.condition.threshold,
        "requestsPerPod": None if found.requests is None else round(found.requests, 1),
        "startUpSeconds": round(found.start_up),
        "startUpMeasured": found.learned,
        "limit": found.limit,
    }
