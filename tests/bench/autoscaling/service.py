"""The modelled service and its metrics: pods with a queue, scraped by Prometheus and by metrics-server.

A pod serves 100 requests/s, which is 100% of its CPU request, and is ready 30 s after it was created. Requests that
find no free capacity wait; the wait is at most `MAX_WAIT`, beyond that they are lost. Waiting is spread evenly. The
latency of a step is exponential around `P99_IDLE` / (1 - utilisation), plus the wait: P99 is one second at 90%.

Pods are scraped every 15 s, a third of them at each step. A window holds the samples of the pods that exist: the
history of a removed pod is gone at once, as in Prometheus. Pods in excess are removed youngest first.
"""

from __future__ import annotations

from math import exp

import numpy as np

from tests.bench.autoscaling.loads import STEP, Array

CAPACITY = 100.0
START_UP = 30
MIN_PODS, MAX_PODS = 3, 40
MAX_WAIT = 5.0
"""Seconds of work in a pod's queue: a listen backlog of 511 connections, the default of nginx and Node.js."""

P99_IDLE = 0.1
SCRAPE = 15
YOUNG = 300
"""Age in seconds below which a pod counts as just started (`signals/presets/pods.yaml`)."""

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The default buckets of Prometheus' client libraries, seconds; the last one is +Inf."""

WARM_UP = 300
"""Seconds from the start that do not count: each autoscaler begins with the pods of the first load at 70%."""

_PHASES = (0, 1, 2)
_LN100 = 4.605


class Service:
    """One service under one load. `offered`: requests/s by step. Times are steps.

    Per-pod running totals are kept for all steps, so that any window can be read from two of them.
    """

    def __init__(self, offered: Array, seed: int, pods: int) -> None:
        self.arrivals = np.random.default_rng(seed + 1000).poisson(offered * STEP)
        self.offered = offered
        self.now = 0
        steps = len(offered) + 1
        self.cohorts: list[tuple[int, int]] = [(pods, -(10**6))]
        """Pods that were created together: how many, and the step at which they are ready."""
        self.served = [0.0] * steps
        """Requests answered by one pod that is always ready, up to a step."""
        self.done = [0.0] * steps
        """Requests of all pods that were answered or lost, up to a step."""
        self.ready_seconds = [0.0] * steps
        self.buckets = np.zeros((steps, len(BOUNDS) + 1))
        self.backlog = 0.0
        self.sizes = [0] * steps
        self.readies = [0] * steps
        self.requests = self.short = self.slow = self.lost = 0.0
        self.last_bad = 0
        self.bad: list[int] = []
        """Steps in which the load exceeded the capacity or P99 one second, after the warm-up."""

    @property
    def replicas(self) -> int:
        """Pods that exist."""
        return sum(n for n, _ in self.cohorts)

    @property
    def ready(self) -> int:
        """Pods that serve."""
        return sum(n for n, at in self.cohorts if at <= self.now)

    def scale(self, pods: int) -> None:
        """Change the number of pods now."""
        pods = min(max(pods, MIN_PODS), MAX_PODS)
        excess = self.replicas - pods
        if excess < 0:
            self.cohorts.append((-excess, self.now + START_UP // STEP))
        while excess > 0:
            n, at = self.cohorts.pop()
            if n > excess:
                self.cohorts.append((n - excess, at))
            excess -= n

    def step(self) -> None:
        """Serve one step of load."""
        i, ready = self.now, self.ready
        came = float(self.arrivals[i])
        capacity = CAPACITY * ready * STEP
        waiting = self.backlog + came
        done = min(waiting, capacity)
        wait_before = self.backlog / (CAPACITY * ready)
        self.backlog = waiting - done
        lost = max(0.0, self.backlog - MAX_WAIT * CAPACITY * ready)
        self.backlog -= lost
        self.done[i + 1] = self.done[i] + done + lost
        wait = (wait_before + self.backlog / (CAPACITY * ready)) / 2
        busy = min(done / capacity, 0.99)
        p99 = P99_IDLE / (1 - busy) + wait
        over = self.offered[i] > CAPACITY * ready
        if i >= WARM_UP // STEP:
            self.requests += came
            self.lost += lost
            self.short += came if over else 0.0
            self.slow += came if p99 > 1.0 else 0.0
            if over or p99 > 1.0:
                self.last_bad = i
                self.bad.append(i)
        self.now = i + 1
        per_pod = done / ready
        self.served[i + 1] = self.served[i] + per_pod
        self.ready_seconds[i + 1] = self.ready_seconds[i] + ready * STEP
        mean = P99_IDLE / (1 - busy) / _LN100
        row = self.buckets[i + 1]
        row[:] = self.buckets[i]
        for k, bound in enumerate(BOUNDS):
            if bound > wait:
                row[k] += per_pod * (1 - exp(-(bound - wait) / mean))
        row[-1] += per_pod
        self.sizes[i + 1], self.readies[i + 1] = self.replicas, self.ready

    def increase(self, window: int, oldest: int | None = None) -> float:
        """Requests in the last `window` seconds, as `sum(increase())` over the pods that exist.

        oldest: only so many pods, the oldest ones.
        """
        span = window // SCRAPE - 1
        total = 0.0
        for phase in _PHASES:
            end = max(0, self.now - phase)
            begin = max(0, end - span * SCRAPE // STEP)
            last = self.served[end]
            left = self.replicas if oldest is None else oldest
            for n, at in self.cohorts:
                if at < end:
                    total += min(n, left) * (last - self.served[max(begin, at)])
                left -= min(n, left)
        return total / len(_PHASES) * window / (span * SCRAPE)

    def cpu(self, window: int) -> tuple[float, float | None]:
        """Usage over requests of pods older than 5 minutes, and of all if there are younger ones.

        The denominator has the pods that existed when kube-state-metrics was last scraped.
        """
        seen = self.now - self.now % (SCRAPE // STEP)
        existed = self.sizes[seen] or self.replicas
        overall = self.increase(window) / window / CAPACITY / existed
        old = sum(n for n, at in self.cohorts if at - START_UP // STEP <= seen - YOUNG // STEP)
        if old >= existed:
            return overall, None
        if not old:
            return overall, overall
        return self.increase(window, oldest=old) / window / CAPACITY / old, overall

    def arrived(self, window: int) -> float:
        """Requests in the last `window` seconds, counted before they reach the pods once they are answered or fail."""
        span = window // SCRAPE - 1
        total = 0.0
        for phase in _PHASES:
            end = max(0, self.now - phase)
            total += self.done[end] - self.done[max(0, end - span * SCRAPE // STEP)]
        return total / len(_PHASES) * window / (span * SCRAPE)

    def quantile(self, window: int, q: float = 0.99) -> float:
        """`histogram_quantile` over the last `window` seconds, seconds; NaN without requests."""
        span = (window // SCRAPE - 1) * SCRAPE // STEP
        counts = np.zeros(len(BOUNDS) + 1)
        for phase in _PHASES:
            end = max(0, self.now - phase)
            begin = max(0, end - span)
            for n, at in self.cohorts:
                if at < end:
                    counts += n * (self.buckets[end] - self.buckets[max(begin, at)])
        if counts[-1] <= 0:
            return float("nan")
        rank = q * counts[-1]
        k = int(np.searchsorted(counts, rank))
        if k >= len(BOUNDS):
            return BOUNDS[-1]
        low, before = (0.0, 0.0) if k == 0 else (BOUNDS[k - 1], float(counts[k - 1]))
        share = (rank - before) / (float(counts[k]) - before) if counts[k] > before else 1.0
        return low + (BOUNDS[k] - low) * share

    def recent_usage(self) -> float:
        """Usage of a ready pod over its request, between the last two readings of metrics-server (15 s apart)."""
        reading = SCRAPE // STEP
        end = self.now - self.now % reading
        begin = max(0, end - reading)
        if end == begin:
            return 0.0
        return (self.served[end] - self.served[begin]) / ((end - begin) * STEP) / CAPACITY
