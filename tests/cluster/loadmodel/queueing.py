"""How long a request takes: pure functions of arrival rate, service time, servers and backlog.

Units: seconds, requests per second. Laws are frozen, so that a law can be the key of a cache.

Steady state is the M/M/c queue (Poisson arrivals at rate lambda, c servers, exponential service at rate mu
each). With offered load a = lambda/mu, utilisation rho = a/c < 1 and Pw = C(c, a), Erlang's C formula:

    P(wait > t) = Pw exp(-(c mu - lambda) t)
    sojourn     = wait + service, both independent

Source: Kleinrock, "Queueing Systems, Volume 1: Theory" (1975), sections 3.2, 3.5 and 5.7; Gross, Shortle,
Thompson and Harris, "Fundamentals of Queueing Theory", 4th ed. (2008), section 2.3. For c = 1 the sojourn
is exponential with rate mu - lambda.

Above saturation there is no steady state. The backlog B grows as a fluid, dB/dt = lambda - c mu, and a
request waits w = B / (c mu) before its service. Callers give up after a time-out T; what has given up
costs the server nothing. The backlog stops growing where what is answered in time is what the servers can
do, 1 - P(time-out) = 1/rho, which puts

    w_max = T + ln(1 - 1/rho) / mu,        P(time-out) = 1 - 1/rho

Source of the fluid limit and of its abandonment share: Whitt, "Fluid Models for Multiserver Queues with
Abandonments", Operations Research 54(1), 2006, 37-54.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

RHO_STEADY = 0.95
"""The highest utilisation at which the steady state is taken at its word. Nearer to 1 the queue needs
thousands of service times to get there, longer than any test looks; the fluid backlog takes over at 1."""

_INTEGRATION_STEPS = 200
_BISECTION_STEPS = 60


def erlang_b(servers: int, offered: float) -> float:
    """Share of arrivals lost with `servers` servers and no queue; `offered` in erlangs. Stable recursion
    in servers."""
    blocking = 1.0
    for n in range(1, servers + 1):
        blocking = offered * blocking / (n + offered * blocking)
    return blocking


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival has to wait in M/M/c; 1 when the offered load reaches the number of
    servers."""
    if offered <= 0:
        return 0.0
    if offered >= servers:
        return 1.0
    blocking = erlang_b(servers, offered)
    return blocking / (1 - (offered / servers) * (1 - blocking))


class Law(Protocol):
    """A distribution of response times."""

    def cdf(self, t: float) -> float:
        """Share of requests that are over within `t` seconds."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """The plain exponential law, used where a test asks for a P99 outright."""

    mean: float

    def cdf(self, t: float) -> float:
        return -math.expm1(-t / self.mean) if t > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Sojourn:
    """Response time of an M/M/c queue with a fluid backlog and a time-out.

    The slower of two laws at every t: the steady state, and the time to drain the backlog plus one
    service. So the response time never drops while a queue is filling, and does not recover before the
    backlog is gone.
    """

    wait_probability: float
    """Erlang C of the steady state."""
    wait_rate: float
    """c mu - lambda of the steady state, per second."""
    service_rate: float
    """1 / mean service time of a lone request, per second."""
    backlog_wait: float = 0.0
    """Seconds that the backlog takes to drain."""
    timeout: float = math.inf
    """Seconds after which the caller is gone."""

    def steady_cdf(self, t: float) -> float:
        """M/M/c sojourn, as the convolution of (atom at 0, else Exp(theta)) and Exp(nu)."""
        if t <= 0:
            return 0.0
        theta, nu, pw = self.wait_rate, self.service_rate, self.wait_probability
        alone = math.exp(-nu * t)
        if math.isclose(theta, nu, rel_tol=1e-9):
            waited = (1 + nu * t) * alone
        else:
            waited = (nu * math.exp(-theta * t) - theta * alone) / (nu - theta)
        return min(1.0, max(0.0, 1 - (1 - pw) * alone - pw * waited))

    def untimed_cdf(self, t: float) -> float:
        """As if callers never gave up."""
        if self.backlog_wait <= 0:
            return self.steady_cdf(t)
        behind = t - self.backlog_wait
        fluid = -math.expm1(-self.service_rate * behind) if behind > 0 else 0.0
        return min(self.steady_cdf(t), fluid)

    @property
    def timeout_share(self) -> float:
        """Share of requests that are not answered in time."""
        return 0.0 if math.isinf(self.timeout) else 1 - self.untimed_cdf(self.timeout)

    def cdf(self, t: float) -> float:
        """Every request is over at the time-out, answered or not."""
        return 1.0 if t >= self.timeout else self.untimed_cdf(t)


def sojourn(
    rate: float,
    service_time: float,
    servers: int,
    *,
    cpu_throughput: float = math.inf,
    backlog: float = 0.0,
    timeout: float = math.inf,
) -> Sojourn:
    """The law of response times at `rate` requests/s.

    `cpu_throughput` is how many requests/s the CPU limit lets through. Where that is less than the servers
    could do, the queue behaves as one of fewer and slower servers, while a lone request still takes
    `service_time`.
    """
    capacity = throughput(service_time, servers, cpu_throughput)
    busy = min(servers, max(1, math.ceil(capacity * service_time - 1e-9)))
    steady = min(rate, RHO_STEADY * capacity)
    return Sojourn(
        wait_probability=erlang_c(busy, steady / capacity * busy),
        wait_rate=capacity - steady,
        service_rate=1 / service_time,
        backlog_wait=backlog / capacity,
        timeout=timeout,
    )


def throughput(service_time: float, servers: int, cpu_throughput: float = math.inf) -> float:
    """Requests/s that a pod can answer: what its servers can, unless its CPU limit allows less."""
    return min(servers / service_time, cpu_throughput)


def next_backlog(
    backlog: float, rate: float, capacity: float, service_time: float, timeout: float, seconds: float
) -> float:
    """The fluid backlog, in requests, after `seconds` at `rate` against `capacity` (both requests/s)."""
    grown = max(0.0, backlog + (rate - capacity) * seconds)
    if grown == 0.0 or math.isinf(timeout):
        return grown
    longest = timeout + math.log1p(-capacity / rate) * service_time if rate > capacity else timeout
    return min(grown, max(0.0, longest) * capacity)


def mean(law: Law, upper: float) -> float:
    """Mean of `law` cut off at `upper` seconds: the integral of 1 - F, by Simpson's rule, finer near zero."""
    # t = upper * u**3 puts points where a short service time needs them; dt = 3 upper u**2 du.
    n = _INTEGRATION_STEPS
    total = 0.0
    for i in range(n + 1):
        u = i / n
        weight = 1 if i in (0, n) else 4 if i % 2 else 2
        total += weight * (1 - law.cdf(upper * u**3)) * 3 * upper * u * u if u < 1 else 0.0
    return total / (3 * n)


def quantile(law: Law, q: float, upper: float = 3600.0) -> float:
    """The time within which a share `q` of requests is over, by bisection on [0, upper]."""
    low, high = 0.0, upper
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        if law.cdf(middle) < q:
            low = middle
        else:
            high = middle
    return high
