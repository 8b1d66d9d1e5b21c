"""From offered load and settings to what one pod does now. Pure; rates per second, CPU in cores.

* CPU      = answered requests/s x CPU seconds per request, at most the pod's limit (or request x burst
factor).
* latency  = the queue's law (see `queueing`); a CPU limit that lets fewer requests through slows the queue.
* errors   = the image's own share, of what was answered, plus the time-outs.

Each can be overridden outright; what is not overridden keeps following the load.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from . import layouts, queueing
from .layouts import Layout, Profile
from .objects import Container
from .queueing import Sojourn
from .settings import Effective

OK, FAILED, TIMED_OUT, NO_BACKEND = "200", "500", "504", "503"

_UNBOUNDED_CORES = 1.0
"""The CPU that a pod with neither request nor limit may use at most."""


@dataclass(frozen=True, slots=True)
class PodNow:
    """What a pod does at this moment, until load, settings or backlog change."""

    rps: float
    cpu_cores: float
    capacity_rps: float
    rho: float
    law: Sojourn
    latency_p99_override: float | None
    code_rates: tuple[tuple[str, float], ...]
    """Requests/s by status code, only those that matter."""

    @property
    def error_ratio(self) -> float:
        """Share of requests with a 5xx code."""
        return 0.0 if self.rps <= 0 else sum(r for code, r in self.code_rates if code[0] == "5") / self.rps

    @property
    def latency_p99(self) -> float:
        """True P99 in seconds: of the law, or as overridden; 0 without requests."""
        if self.rps <= 0:
            return 0.0
        return self.latency_p99_override or queueing.quantile(self.law, 0.99, self.law.timeout)

    def profile(self, layout: Layout, code: str) -> Profile:
        """What one request with this code adds to a histogram."""
        if self.latency_p99_override is not None:
            return layouts.calibrated(layout, self.latency_p99_override)
        if code == TIMED_OUT:
            return layouts.timed_out(layout, self.law.timeout)
        return layouts.answered(layout, self.law)


def shares(total: float, pods: Iterable[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Split `total` among `pods` by weight (1 where not named); all weights 0 means nobody gets any."""
    by_pod = {pod: weights.get(pod, 1.0) for pod in pods}
    whole = sum(by_pod.values())
    return {pod: total * weight / whole if whole else 0.0 for pod, weight in by_pod.items()}


def cpu_cap(containers: Iterable[Container], burst_factor: float) -> float:
    """The most CPU, in cores, that a pod gets: each container's limit, or its request x burst factor."""

    def cap(container: Container) -> float:
        if container.cpu_limit is not None:
            return container.cpu_limit
        return (container.cpu_request or 0.0) * burst_factor

    return sum(map(cap, containers)) or _UNBOUNDED_CORES


def cpu_request(containers: Iterable[Container]) -> float:
    """The sum of CPU requests in cores."""
    return sum(c.cpu_request or 0.0 for c in containers)


def split_cpu(
    usage: float, containers: tuple[Container, ...], shares: Mapping[str, float] = MappingProxyType({})
) -> tuple[float, ...]:
    """Usage by container: by the shares if there are any, else in proportion to the requests.

    The first container gets it all where nothing is requested.
    """
    if (given := sum(shares.get(c.name, 0.0) for c in containers)) > 0:
        return tuple(usage * shares.get(c.name, 0.0) / given for c in containers)
    whole = cpu_request(containers)
    if not whole:
        return (usage, *(0.0 for _ in containers[1:])) if containers else ()
    return tuple(usage * (c.cpu_request or 0.0) / whole for c in containers)


def capacity(containers: Iterable[Container], settings: Effective) -> tuple[float, float]:
    """(requests/s that the CPU lets through, requests/s that the pod can answer)."""
    per_request = settings.cpu_seconds_per_request
    by_cpu = cpu_cap(containers, settings.cpu_burst_factor) / per_request if per_request else math.inf
    return by_cpu, queueing.throughput(settings.service_time_seconds, settings.servers, by_cpu)


def pod_now(
    settings: Effective,
    containers: tuple[Container, ...],
    *,
    rps: float,
    cpu_total_share: float,
    backlog: float = 0.0,
) -> PodNow:
    """What a running pod does at `rps` with `backlog` requests waiting.

    `cpu_total_share` is the pod's part of `cpu_total_cores`, in cores; it counts only where that is set.
    """
    by_cpu, capable = capacity(containers, settings)
    law = queueing.sojourn(
        rps,
        settings.service_time_seconds,
        settings.servers,
        cpu_throughput=by_cpu,
        backlog=backlog,
        timeout=settings.timeout_seconds,
    )
    if settings.cpu_utilisation is not None:
        cpu = settings.cpu_utilisation * cpu_request(containers)
    elif settings.cpu_total_cores is not None:
        cpu = cpu_total_share
    else:
        work = capable if backlog > 0 else min(rps, capable)
        cpu = min(work * settings.cpu_seconds_per_request, cpu_cap(containers, settings.cpu_burst_factor))
    return PodNow(
        rps=rps,
        cpu_cores=cpu,
        capacity_rps=capable,
        rho=rps / capable,
        law=law,
        latency_p99_override=settings.latency_p99_seconds,
        code_rates=_code_rates(settings, rps, law.timeout_share),
    )


def _code_rates(settings: Effective, rps: float, timeout_share: float) -> tuple[tuple[str, float], ...]:
    if settings.error_ratio is not None:
        by_code = {OK: rps * (1 - settings.error_ratio), FAILED: rps * settings.error_ratio}
    else:
        in_time = rps * (1 - timeout_share)
        by_code = {
            OK: in_time * (1 - settings.base_error_ratio),
            FAILED: in_time * settings.base_error_ratio,
            TIMED_OUT: rps * timeout_share,
        }
    # One in a million is never: else every pod would have a series of time-outs that counts next to nothing.
    return tuple((code, rate) for code, rate in by_code.items() if rate > 1e-6 * rps)


def idle(containers: tuple[Container, ...], settings: Effective) -> PodNow:
    """A pod that gets no requests and does nothing."""
    now = pod_now(settings, containers, rps=0.0, cpu_total_share=0.0)
    return PodNow(0.0, 0.0, now.capacity_rps, 0.0, now.law, now.latency_p99_override, ())
