"""Whole releases through `decide()`, look by look, with the preset's own aggregation.

A Deployment of four pods is rolled out two pods at a time, then bakes for ten minutes. Each pod counts its requests;
the windows are aggregated by `signals.presets.aggregate`. The increments are what each pod counted since the last look.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.commands import Outcome, Result, Verb
from resilience_operator.decision.model.memory import Memory, Phase
from resilience_operator.decision.model.observation import Histogram, Increment, Measured, Observation
from resilience_operator.decision.model.policy import Condition, Policy, Release, Rollback, Rule, Signal
from resilience_operator.decision.model.target import Revision, TargetState
from resilience_operator.decision.outcomes import apply_outcomes
from resilience_operator.signals.model import Signal as AskedSignal
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.presets import aggregate
from resilience_operator.signals.presets.histogram import quantile
from resilience_operator.signals.presets.models import Join

START, WINDOW = 1_000_000.0, 120.0
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)
"""The default bounds of Prometheus' client libraries."""

AT_ONCE = 2
"""Pods that a default rolling update of four replaces at a time (25% more and 25% fewer)."""

ERRORS = Signal("error-rate", WINDOW, 20.0, "ratio")
ABOVE_1_PERCENT = Condition("error-rate", 0.01)
LATENCY = Signal("latency-p99", WINDOW, 100.0, "seconds", quantile=0.99)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of release.

    rate: requests/s. failing: (seconds since the release, new revision, seconds since the pod started) → share of
    failing requests. burst: failures come in bursts of that many, at the same mean. slow: (new revision, age) → factor
    of the latencies; tail: share of the new revision's requests that take 8 times longer.
    incident: seconds of a shared incident, in which `incident_rate` more of all requests fail, at a random time
    until `incident_by`.
    step: seconds for each step of the rollout. warm_up: as in the policy.
    others: other workloads came into breach at the same time.
    """

    rate: float
    failing: Callable[[float, bool, float], float] = lambda at, new, age: 0.001
    burst: int = 1
    slow: Callable[[bool, float], float] | None = None
    tail: float = 0.0
    incident: float = 0.0
    incident_rate: float = 0.05
    incident_by: float = math.inf
    condition: Condition = ABOVE_1_PERCENT
    median: float = 0.08
    sigma: float = 0.5
    step: float = 30.0
    bake: float = 600.0
    every: float = 5.0
    warm_up: float = 30.0
    others: bool = False


@dataclass(slots=True)
class Verdict:
    """What happened: when the release was paused and rolled back (seconds since it began), or None."""

    paused: float | None = None
    rolled_back: float | None = None
    convicted: float | None = None


@dataclass(slots=True)
class _Pod:
    name: str
    revision: str
    started: float
    window: deque[tuple[float, float, np.ndarray]] = field(default_factory=lambda: deque(maxlen=24))


def policy_of(case: Case) -> Policy:
    rule = Rule("guard", (case.condition,), pause=True, rollback=Rollback(after=30.0))
    return Policy(
        uid="uid", namespace="shop", name="checkout", generation=1, rules=(rule,),
        signals={case.condition.signal: LATENCY if case.slow else ERRORS}, interval=case.every,
        min_replicas=4, max_replicas=4, release=Release(bake=case.bake, warm_up=case.warm_up),
    )  # fmt: skip


def run(case: Case, seed: int) -> Verdict:
    """One release."""
    rng = np.random.default_rng(seed)
    policy, memory, result = policy_of(case), Memory(), Verdict()
    pods = [_Pod(f"checkout-a-{i}", "a", START - 86400) for i in range(4)]
    gone: list[_Pod] = []  # their series stay in the look-back
    now, began, stepped, paused = START, None, 0.0, False
    latest = min(4 * case.step + case.bake, case.incident_by)
    incident = rng.uniform(0, latest) if case.incident else math.inf
    looks = 0
    while True:
        now += case.every
        looks += 1
        since = 0.0 if began is None else now - began
        increments = tuple(_serve(case, rng, pods, now, since, incident if began is not None else math.inf))
        if began is None and looks == 25:
            began = stepped = now
            gone += pods[:AT_ONCE]
            for i in range(AT_ONCE):
                pods[i] = _Pod(f"checkout-b-{i}", "b", now)
        elif began is not None and not paused and now - stepped >= case.step:
            old = [i for i, pod in enumerate(pods) if pod.revision == "a"]
            for i in old[:AT_ONCE]:
                gone.append(pods[i])
                pods[i], stepped = _Pod(f"checkout-b-{i}", "b", now), now
        target = _target(pods, began, paused=paused)
        observation = _observe(case, [*pods, *gone], now)
        for pod in gone:
            pod.window.append((0.0, 0.0, np.zeros(len(BOUNDS))))
        if began == now:
            observation = observation._replace(first_look=True)
        elif began is not None:
            observation = observation._replace(increments=increments, since=now - case.every)
        seen = {case.condition.signal: observation}
        decision = decide(policy, seen, target, memory, now, shared_incident=case.others)
        memory = apply_outcomes(decision.memory, tuple(Outcome(c, Result.DONE) for c in decision.commands), target, now)
        for command in decision.commands:
            if command.verb is Verb.PAUSE:
                paused, result.paused = True, result.paused or since
            elif command.verb is Verb.ROLLBACK:
                result.rolled_back = since
                return result
        guard = memory.rules["guard"]
        if guard.release_breach_since is not None and result.convicted is None:
            result.convicted = since
        phase = decision.phase
        if began is not None and (since > 4 * case.step + 2 * case.bake or (phase is Phase.STABLE and since > 10)):
            return result


def _serve(
    case: Case, rng: np.random.Generator, pods: list[_Pod], now: float, since: float, incident: float
) -> Iterator[Increment]:
    hit = incident <= since < incident + case.incident
    for pod in pods:
        new, age = pod.revision == "b", now - pod.started
        mean = case.rate * case.every / len(pods)
        requests = float(rng.poisson(mean))
        buckets = np.zeros(len(BOUNDS))
        failures = 0.0
        if case.slow is not None:
            buckets = _latencies(case, rng, int(requests), new, age)
        else:
            share = case.failing(since, new, age) + (case.incident_rate if hit else 0.0)
            if case.burst == 1:
                failures = float(rng.binomial(int(requests), share))
            else:
                failures = float(rng.poisson(mean * share / case.burst) * case.burst)
                requests += failures
        pod.window.append((requests, failures, buckets))
        histogram = Histogram(BOUNDS, tuple(np.cumsum(buckets))) if case.slow is not None else None
        yield Increment(pod.name, pod.revision, requests, None if case.slow else failures, histogram)


def _latencies(case: Case, rng: np.random.Generator, requests: int, new: bool, age: float) -> np.ndarray:
    assert case.slow is not None
    factor = case.slow(new, age)
    shares = np.diff([0.0, *(_below(b, case.median * factor, case.sigma) for b in BOUNDS)])
    if new and case.tail:
        far = np.diff([0.0, *(_below(b, 8 * case.median * factor, case.sigma) for b in BOUNDS)])
        shares = (1 - case.tail) * shares + case.tail * far
    return rng.multinomial(requests, shares / shares.sum()).astype(float)


def _below(bound: float, median: float, sigma: float) -> float:
    if math.isinf(bound):
        return 1.0
    return 0.5 * (1 + math.erf(math.log(bound / median) / sigma / math.sqrt(2)))


_KEYS = aggregate.series_keys(
    SignalRequest("shop", "checkout", "Deployment", {"checkout-a": "a", "checkout-b": "b"}, AskedSignal("error-rate")),
    Join(by="owner", namespace="namespace", name="owner"),
)


def _observe(case: Case, pods: list[_Pod], now: float) -> Observation:
    """The signal over its look-back, as the preset aggregates it."""
    requests: dict[tuple[str, str], float] = {}
    failures: dict[tuple[str, str], float] = {}
    buckets: dict[tuple[str, str], np.ndarray] = {}
    for pod in pods:
        key = ("shop", f"checkout-{pod.revision}")
        for n, x, b in pod.window:
            requests[key] = requests.get(key, 0.0) + n
            failures[key] = failures.get(key, 0.0) + x
            buckets[key] = buckets.get(key, np.zeros(len(BOUNDS))) + b
    if case.slow is None:
        return aggregate.ratio(_KEYS, now, failures, requests)
    split = {}
    for (_, owner), counts in buckets.items():
        if counts.sum() > 0:
            split[owner.removeprefix("checkout-")] = _measured(counts)
    whole = np.sum(list(buckets.values()), axis=0)
    return Observation(now, _measured(whole), by_revision=split, splittable=True)


def _measured(counts: np.ndarray) -> Measured:
    cumulative = np.cumsum(counts)
    value = quantile(0.99, dict(zip(BOUNDS, cumulative, strict=True)))
    return Measured(float(value), float(cumulative[-1]), None, Histogram(BOUNDS, tuple(cumulative)))


def _target(pods: list[_Pod], began: float | None, *, paused: bool) -> TargetState:
    new = sum(pod.revision == "b" for pod in pods)
    revisions = [Revision("a", "checkout-a", 1, START - 86400, 4 - new, 4 - new)]
    if began is not None:
        revisions.append(Revision("b", "checkout-b", 2, began, new, new))
    state = TargetState(
        kind="Deployment", namespace="shop", name="checkout", uid="t", resource_version="1", replicas=4, ready=4,
        rolled_out=new in (0, 4), revision="a" if began is None else "b", revisions=tuple(revisions),
    )  # fmt: skip
    return replace(state, paused=True, paused_by="resilience-operator") if paused else state
