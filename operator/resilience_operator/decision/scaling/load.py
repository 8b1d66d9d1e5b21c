"""Forecasts the load of a target: the pods that it needs when pods requested now are ready.

The load is expressed in pods: `pods × value / threshold` is the number of pods at which a proportional signal would
equal its threshold. It is a rate over a window, so it lags. The forecast extrapolates its rise over the time until new
pods serve (`lead_time`), and adds a margin: the share by which forecasts of this target were too low, as a quantile. A
target with a steady load therefore runs close to its threshold, and one with sudden rises keeps pods in reserve.

The samples are kept in the process only. `docs/autoscaling.md` says how each constant was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, inf

from resilience_operator.decision.model.memory import LoadMean, LoadMemory, LoadSample
from resilience_operator.decision.model.record import replace

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

MOST_COVERED = 0.1
"""The largest margin of which half counts towards the tolerance up, which it equals."""

DEFAULT_START_UP = 30.0
"""Seconds from the request of a pod until it is ready, until it is learned."""

MAX_LEAD = 600.0

SATURATED = 0.95
"""Share of its CPU request or limit above which a pod may have no capacity left, so that its load is unknown."""

BUSY = 0.9
"""The same while requests are slow: in a queue with one server, nine of ten requests wait at this utilisation."""

_SAMPLES = 12
"""Maximum samples of the load that are kept."""

_SIZES = 12
"""Maximum changes of the ready pods that are kept."""

_MEANS = 20
"""Means over the window that are kept before the older ones are thinned out."""

LONGEST_WINDOW = 600.0
"""Seconds for which changes of the ready pods are kept."""

MIN_REQUESTS = 400.0
"""Requests within a window from which their cost is learned: a Poisson count of 400 has a standard deviation of 5%."""

COST_RATE = 0.1
"""Weight of one more measurement in the cost of a request. Ten of them, half a minute to two minutes, replace it."""


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


def observe_ready(load: LoadMemory, ready: int, now: float) -> LoadMemory:
    """Return the memory with the number of pods that do not start any more: those that serve, and those that fail."""
    if ready == load.ready:
        return load
    sizes = load.sizes
    if load.ready is not None:
        sizes = (*(s for s in sizes if now - s[0] < LONGEST_WINDOW), (now, load.ready))[-_SIZES:]
    return replace(load, ready=ready, sizes=sizes)


def mean_size(load: LoadMemory, ready: int, window: float, now: float) -> float:
    """Return the harmonic mean of the ready pods over a window: the load over it is the mean use of one pod times this.

    Requests are expected to be spread evenly over the pods that are ready.
    """
    inverse, end, size = 0.0, now, ready
    for at, before in reversed(load.sizes):
        if at <= now - window:
            break
        inverse += (end - at) / max(size, 1)
        end, size = at, before
    inverse += (end - now + window) / max(size, 1)
    return window / inverse if window > 0 and inverse > 0 else float(max(ready, 1))


def observe_mean(load: LoadMemory, value: float, rate: float | None, window: float, now: float) -> LoadMemory:
    """Return the memory with the means over a window. value: of the load signal. rate: requests/s, if counted."""
    if load.means and now - load.means[-1].at < SCRAPE_INTERVAL / 3:
        return load
    keep = window + 2 * visible_after(window)
    kept = [m for m in load.means if now - m.at < keep]
    if len(kept) >= _MEANS:
        # Of the older ones, every other is sufficient.
        kept = [m for i, m in enumerate(kept) if i % 2 or now - m.at < 2 * visible_after(window)]
    return replace(load, means=(*kept, LoadMean(now, value, rate)))


def current_rate(load: LoadMemory, rate: float, window: float, now: float) -> float:
    """Return the requests/s of the newest part of the window, computed from the change of their mean."""
    return _newest([(m.at, m.rate) for m in load.means if m.rate is not None], rate, window, now)


def current_value(load: LoadMemory, value: float, window: float, now: float) -> float:
    """Return the load signal in the newest part of the window, computed from the change of its mean."""
    return _newest([(m.at, m.value) for m in load.means], value, window, now)


def learn_cost(load: LoadMemory, used: float, rate: float, revision: str | None) -> LoadMemory:
    """Return the memory with the cost of a request. used: pods in use, as a sum of shares of their CPU request."""
    cost = used / rate
    if load.cost is None or load.cost_of != revision:
        return replace(load, cost=cost, cost_of=revision)
    return replace(load, cost=load.cost + (cost - load.cost) * COST_RATE)


def is_settling(load: LoadMemory, now: float) -> bool:
    """Return whether the metrics may still count the pods from before the last change of the replicas."""
    return load.changed is not None and now - load.changed < SETTLE


def observe_load(load: LoadMemory, pods: float, window: float, now: float) -> LoadMemory:
    """Return the memory with the forecast for a load of `pods`, sampled at most every `SCRAPE_INTERVAL`."""
    lead = lead_time(window, load.start_up)
    samples = tuple(s for s in load.samples if now - 1.5 * lead < s.at <= now)
    # Pods at their limit do not show their load. That it shows again is no rise.
    begin = -inf if load.limited is None else load.limited + window
    forecast = pods + _rise([s for s in samples if s.at > begin], pods, lead, now)
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


def _rise(samples: Sequence[LoadSample], pods: float, lead: float, now: float) -> float:
    """Return how much the load will rise within `lead` seconds if it continues to rise as in the last `lead`."""
    past = [s for s in samples if now - s.at <= lead + SCRAPE_INTERVAL / 2]
    if not past or now - past[0].at < lead / 2:
        # The noise of a short time, extrapolated, is no trend.
        return 0.0
    # A jump is no trend: the largest increment does not count.
    loads = [*(s.load for s in past), pods]
    jump = max(0.0, *(after - before for before, after in pairwise(loads)))
    steps = len(past)
    slope = (pods - past[0].load - jump) / (now - past[0].at) * (steps / (steps - 1) if steps > 1 else 0.0)
    recent = next((s for s in reversed(past) if now - s.at >= lead / 2), past[0])
    # The end of a step looks like a ramp in the mean of a window: what has stopped rising is not extrapolated.
    return max(0.0, min(slope, (pods - recent.load) / (now - recent.at))) * lead


def visible_after(window: float) -> float:
    """Return the seconds after which a change is seen in the newest part of a window: one scrape of four."""
    return max(SCRAPE_INTERVAL, window / 4)


def _newest(means: Sequence[tuple[float, float]], mean: float, window: float, now: float) -> float:
    """Return the value since one part ago. means: over the window, by their time.

    What has left the window meanwhile is not known. The lower of two means is taken for it: of the window before, and
    of one whose middle is the start of the window.
    """
    part = visible_after(window)
    past = next(((at, value) for at, value in reversed(means) if now - at >= part), None)
    if past is None or now - past[0] > 2 * part:
        return mean
    left = min(
        next((value for at, value in reversed(means) if now - at >= age), means[0][1]) for age in (window / 2, window)
    )
    elapsed = now - past[0]
    # The samples of a window are one scrape less apart.
    return max(0.0, left + (mean - past[1]) * max(window - SCRAPE_INTERVAL, elapsed) / elapsed)


def needed(load: LoadMemory) -> float:
    """Return the pods that the forecast needs, with the margin."""
    return load.forecast * (1 + load.margin)


def covered_noise(load: LoadMemory) -> float:
    """Return the part of the tolerance up that the margin makes unnecessary: half of the margin.

    The margin covers noise, which the tolerance need not cover once more.
    """
    return min(load.margin, MOST_COVERED) / 2


def round_up(pods: float) -> int:
    """Return whole pods, without binary noise."""
    return ceil(round(pods, 6))
