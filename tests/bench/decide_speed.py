"""How long one decision takes, and how long a week takes to replay.

    python -m tests.bench.decide_speed

The policy has three rules on three signals and its target is steady, which is what nearly every evaluation is. The
bounds: at most 50 µs a decision, so that a thousand policies at 15 s take less than 0.4% of one core; less than
10 s for a week at 15 s (40,320 steps).
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter

from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Policy, Rollback, Rule, ScaleUp, Signal
from resilience_operator.decision.model.target import TargetState
from resilience_operator.simulation.engine import Sample, replay
from resilience_operator.simulation.workload import steady_workload

BOUND_MICROSECONDS = 50.0
BOUND_WEEK_SECONDS = 10.0
WEEK_STEPS = 40_320

POLICY = Policy(
    uid="uid",
    namespace="shop",
    name="checkout",
    generation=1,
    rules=(
        Rule("cpu-saturation", (Condition("cpu", 0.7, hold=120.0),), scale_up=ScaleUp(pods=2)),
        Rule("slow-requests", (Condition("latency-p99", 1.0),), alert=True, scale_up=ScaleUp(percent=50)),
        Rule("failing-release", (Condition("error-rate", 0.01),), pause=True, rollback=Rollback()),
    ),
    signals={
        "cpu": Signal("cpu", unit="ratio"),
        "latency-p99": Signal("latency-p99", min_samples=100.0, unit="seconds"),
        "error-rate": Signal("error-rate", min_samples=20.0, unit="ratio"),
    },
    min_replicas=3,
    max_replicas=20,
)


def observed(at: float, cpu: float = 0.4, latency: float = 0.2, errors: float = 6.0) -> dict[str, Observation]:
    """The three signals over 6,000 requests."""
    return {
        "cpu": Observation(at, Measured(cpu), by_revision={"a": Measured(cpu)}, splittable=True),
        "latency-p99": Observation(
            at, Measured(latency, 6000.0), by_revision={"a": Measured(latency, 6000.0)}, splittable=True
        ),
        "error-rate": Observation(
            at,
            Measured(errors / 6000.0, 6000.0, errors),
            by_revision={"a": Measured(errors / 6000.0, 6000.0, errors)},
            splittable=True,
        ),
    }


def microseconds_a_decision(policy: Policy, target: TargetState, *, rounds: int = 20_000) -> float:
    """The best of a hundred short runs: what else the machine does is not the decision's cost."""
    memory = Memory()
    for i in range(3):
        memory = decide(policy, observed(1e9 + 15 * i), target, memory, 1e9 + 15 * i).memory
    observations, now = observed(1e9 + 60), 1e9 + 60
    best = float("inf")
    for _ in range(100):
        begun = perf_counter()
        for _ in range(rounds // 100):
            decide(policy, observations, target, memory, now)
        best = min(best, (perf_counter() - begun) / (rounds // 100))
    return best * 1e6


def seconds_a_week(policy: Policy, target: TargetState) -> tuple[float, int]:
    """Replays a week with a busy hour each day: seconds it took, and commands that were rehearsed."""

    def steps() -> Iterator[Sample]:
        for i in range(WEEK_STEPS):
            at = 1e9 + 15 * i
            busy = at % 86400 < 3600
            yield Sample(at, observed(at, cpu=0.85 if busy else 0.4, latency=1.4 if busy else 0.2), target)

    begun = perf_counter()
    commands = sum(len(turn.outcomes) for turn in replay(policy, steps()))
    return perf_counter() - begun, commands


def main() -> int:
    """Prints the figures; 1 when a bound is broken."""
    argparse.ArgumentParser(prog="python -m tests.bench.decide_speed", description=__doc__).parse_args()
    stable = steady_workload(4, "a", 1e9).state(1e9)
    baking = replace(stable, revisions=tuple(replace(r, created=1e9) for r in stable.revisions))
    gc.disable()
    quiet = microseconds_a_decision(POLICY, stable)
    watched = microseconds_a_decision(POLICY, baking)
    gc.enable()
    week, commands = seconds_a_week(POLICY, stable)
    print(f"decide, steady, 3 rules, 3 signals          {quiet:6.1f} µs   (bound {BOUND_MICROSECONDS:.0f} µs)")
    print(f"decide, the same while a release is watched {watched:6.1f} µs")
    print(f"replay of a week at 15 s, {commands} commands     {week:6.2f} s    (bound {BOUND_WEEK_SECONDS:.0f} s)")
    return int(quiet > BOUND_MICROSECONDS or week > BOUND_WEEK_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
