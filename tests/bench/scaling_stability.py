"""Whether scaling is calm: a day of a load that swings as a sine, with noise, looked at every 15 s.

    python -m tests.bench.scaling_stability [--hours N] [--seed N]

The policy runs in `simulate`, so `decide` and `apply_outcomes` are the live loop's. The service: each pod carries 100
requests/s at 100% CPU; CPU is what the load asks of the pods that are ready, averaged over the last minute as
`rate(…[1m])` does, with 5% of noise on the load at every look. A pod takes 30 s to be ready.

The bound: at most two changes of direction (up to down, or down to up) in each period of the load, that is, once up
and once down. Measured over periods of 1, 2 and 6 h, noise of 5% and 15%, and each way of asking for pods: never more
than once up and once down in a period (worst: 1.96, the day ending before its last turn). Without
`SCALE_DOWN_HYSTERESIS` the slow rise of a 6 h period made up to 12 changes.
"""

from __future__ import annotations

import argparse
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import pi, sin
from time import perf_counter

from resilience_operator.decision.model.commands import Verb
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Policy, Rule, ScaleDown, ScaleUp, Signal
from resilience_operator.simulation.engine import simulate
from resilience_operator.simulation.workload import Workload, steady_workload

BOUND_CHANGES = 2.0
CAPACITY = 100.0
"""Requests/s at which a pod is at 100% CPU."""

STEPS: Mapping[str, ScaleUp] = {
    "pods: 2": ScaleUp(pods=2),
    "percent: 50": ScaleUp(percent=50.0),
    "toTarget": ScaleUp(to_target=True),
}


@dataclass(frozen=True, slots=True)
class Load:
    """A sine between `low` and `high` requests/s, with a period in seconds, and noise as a share of the load."""

    low: float = 400.0
    high: float = 1200.0
    period: float = 7200.0
    noise: float = 0.05

    def at(self, now: float, rng: random.Random) -> float:
        """Requests/s."""
        middle, swing = (self.low + self.high) / 2, (self.high - self.low) / 2
        return max(0.0, (middle - swing * sin(2 * pi * now / self.period + pi / 2)) * rng.gauss(1.0, self.noise))


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run showed. overloaded: share of the looks at which CPU was over 100%."""

    changes: int
    periods: float
    ups: int
    downs: int
    least: int
    most: int
    overloaded: float

    @property
    def changes_a_period(self) -> float:
        """Changes of direction."""
        return self.changes / self.periods


def policy_with(scale_up: ScaleUp, *, hold: float = 120.0, after: float = 300.0) -> Policy:
    """CPU over 70% for `hold` asks for pods; one is given back for every `after` seconds of calm."""
    return Policy(
        uid="uid",
        namespace="shop",
        name="checkout",
        generation=1,
        rules=(Rule("cpu-saturation", (Condition("cpu", 0.7, hold=hold),), scale_up=scale_up),),
        signals={"cpu": Signal("cpu", window=60.0, unit="ratio")},
        min_replicas=3,
        max_replicas=40,
        scale_down=ScaleDown(after=after),
    )


def run(policy: Policy, load: Load, hours: float, seed: int) -> Figures:
    """Simulates `hours` from a trough of the load on."""
    rng = random.Random(seed)
    start = 1e9
    recent: deque[float] = deque(maxlen=max(1, round(policy.window / policy.interval)))
    overloaded = looks = 0

    def scene(now: float, workload: Workload) -> tuple[Workload, Mapping[str, Observation]]:
        nonlocal overloaded, looks
        ready = sum(pod.ready_at <= now for pod in workload.pods)
        recent.append(load.at(now - start, rng) / (CAPACITY * max(1, ready)))
        looks += 1
        overloaded += recent[-1] > 1
        return workload, {"cpu": Observation(now, Measured(min(1.0, sum(recent) / len(recent))))}

    direction, changes, ups, downs = 0, 0, 0, 0
    workload = steady_workload(round(load.low / CAPACITY / 0.6), "a", start)
    sizes = [workload.replicas]
    for judged, turn in simulate(policy, workload, scene, start, start + hours * 3600):
        sizes.append(judged.replicas)
        for outcome in turn.outcomes:
            now_up = 1 if outcome.command.verb is Verb.SCALE_UP else -1
            changes += direction not in (0, now_up)
            direction = now_up
            ups, downs = ups + (now_up > 0), downs + (now_up < 0)
    return Figures(changes, hours * 3600 / load.period, ups, downs, min(sizes), max(sizes), overloaded / looks)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures; 1 when the bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling_stability")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    begun, worst = perf_counter(), 0.0
    print(f"{options.hours:.0f} h of a sine between 400 and 1200 requests/s, 15 s interval")
    for name, scale_up in STEPS.items():
        for period in (3600.0, 7200.0, 21600.0):
            for noise in (0.05, 0.15):
                load = replace(Load(), period=period, noise=noise)
                f = run(policy_with(scale_up), load, options.hours, options.seed)
                worst = max(worst, f.changes_a_period)
                print(
                    f"  {name:11} period {period / 3600:.0f} h, noise {noise:3.0%}: "
                    f"{f.changes_a_period:4.2f} changes of direction a period "
                    f"({f.ups} up, {f.downs} down), {f.least} to {f.most} pods, "
                    f"overloaded {f.overloaded:.1%} of the time",
                    flush=True,
                )
    print(
        f"worst {worst:.2f} changes of direction a period (bound {BOUND_CHANGES:.0f}); {perf_counter() - begun:.0f} s"
    )
    return int(worst > BOUND_CHANGES)


if __name__ == "__main__":
    raise SystemExit(main())
