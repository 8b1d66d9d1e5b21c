"""Forecasts the load of a target: the pods that it needs when pods requested now are ready.

The load is expressed in pods: `pods × value / threshold` is the number of pods at which a proportional signal would
equal its threshold. It is a rate over a window, so it lags. The forecast extrapolates its rise over the time until new
pods serve (`lead_time`), and adds a margin: the share by which forecasts of this target were too low, as a quantile. A
target with a steady load therefore runs close to its threshold, and one with sudden rises keeps pods in reserve.

The samples are kept in the process only. `docs/autoscaling.md` says how each constant was chosen.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from resilience_operator.decision.model.memory import LoadMemory, LoadSample

SCRAPE_INTERVAL = 15.0
"""Seconds between two samples of the load: Prometheus' usual scrape interval."""

SETTLE = 20.0
"""Seconds after a change of the replicas in which metrics may still count the old number of pods: one scrape and one
evaluation."""

MARGIN_QUANTILE = 0.9
"""The margin covers this share of the forecasts."""

MARGIN_RATE = 0.003
"""Change of the margin per sample, as a share of the load: about an hour of samples for the quantile to settle."""

MAX_MARGIN = 1.0

DEFAULT_START_UP = 30.0
"""Seconds from the request of a pod until it is ready, until it is learned."""

MAX_LEAD = 600.0

SATURATED = 0.95
"""Share of its CPU request or limit above which a pod may have no capacity left, so that its load is unknown."""

_SAMPLES = 12
"""Maximum samples of the load that are kept."""


def lead_time(window: float, start_up: float | None) -> float:
    """Return the seconds that a forecast must look ahead: the age of the measurement, and the start-up of pods."""
    return min(MAX_LEAD, window / 2 + 2 * SCRAPE_INTERVAL / 3 + (start_up or DEFAULT_START_UP))


def observe_replicas(load: LoadMemory, replicas: int, ready: int, now: float) -> LoadMemory:
    """Return the memory with the size of the target. A scale-up that became ready gives the start-up time."""
    if replicas != load.replicas:
        seen_before = load.replicas is not None
        starting = now if ready < replicas and (load.replicas is None or replicas > load.replicas) else load.starting
        return replace(load, replicas=replicas, changed=now if seen_before else None, starting=starting)
    if load.starting is None or ready < replicas:
        return load
    took = now - load.starting
    known = load.start_up
    return replace(load, starting=None, served=now, start_up=took if known is None else known + (took - known) / 4)


def is_settling(load: LoadMemory, now: float) -> bool:
    """Return whether the metrics may still count the pods from before the last change of the replicas."""
    return load.changed is not None and now - load.changed < SETTLE


def observe_load(load: LoadMemory, pods: float, window: float, now: float) -> LoadMemory:
    """Return the memory with the forecast for a load of `pods`, sampled at most every `SCRAPE_INTERVAL`."""
    lead = lead_time(window, load.start_up)
    samples = tuple(s for s in load.samples if now - 1.5 * lead < s.at <= now)
    forecast = pods + _rise(samples, pods, lead, now)
    spacing = max(SCRAPE_INTERVAL, lead / (_SAMPLES - 4))
    margin = load.margin
    if not samples or now - samples[-1].at >= spacing:
        due = [s for s in samples if now - s.at >= lead]
        if due:
            error = pods / max(due[-1].forecast, 0.5) - 1
            step = MARGIN_QUANTILE if error > margin else MARGIN_QUANTILE - 1
            margin = min(MAX_MARGIN, max(0.0, margin + MARGIN_RATE * step))
        samples = (*samples, LoadSample(now, pods, forecast))[-_SAMPLES:]
    return replace(load, samples=samples, margin=margin, forecast=forecast)


def _rise(samples: tuple[LoadSample, ...], pods: float, lead: float, now: float) -> float:
    """Return how much the load will rise within `lead` seconds if it continues to rise as in the last `lead`."""
    past = [s for s in samples if now - s.at <= lead + SCRAPE_INTERVAL / 2]
    if not past or now - past[0].at < lead / 2:
        # The noise of a short time, extrapolated, is no trend.
        return 0.0
    slope = (pods - past[0].load) / (now - past[0].at)
    recent = next((s for s in reversed(past) if now - s.at >= lead / 2), past[0])
    # The end of a step looks like a ramp in the mean of a window: what has stopped rising is not extrapolated.
    return max(0.0, min(slope, (pods - recent.load) / (now - recent.at))) * lead


def current_load(load: LoadMemory, pods: float, window: float, now: float) -> float:
    """Return the load of the last quarter of the window, computed from the change of its mean."""
    quarter = max(SCRAPE_INTERVAL, window / 4)
    past = [s for s in load.samples if now - s.at >= quarter]
    if not past or now - past[-1].at > 2 * quarter:
        return pods
    before = past[-1].load
    return max(0.0, before + (pods - before) * (window - quarter) / max(now - past[-1].at, quarter))


def needed(load: LoadMemory) -> float:
    """Return the pods that the forecast needs, with the margin."""
    return load.forecast * (1 + load.margin)


def round_up(pods: float) -> int:
    """Return whole pods, without binary noise."""
    return ceil(round(pods, 6))
