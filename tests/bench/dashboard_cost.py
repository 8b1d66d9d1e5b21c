"""What the dashboard costs with ten thousand policies: when nobody looks, and when somebody does.

    python -m tests.bench.dashboard_cost

Bounds: 30 µs for the point of an evaluation, and 8 kB for a policy's hour (three signals, every 15 s); while somebody
looks, 50 ms for a list in which nothing changed, one every 2 s at most, and 1 s for one in which everything did; no
stretch of it keeps the event loop for more than 100 ms. Times are of the processor, so other work does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tracemalloc
from dataclasses import replace
from time import thread_time

from resilience_operator.decision.decide import decide
from resilience_operator.decision.model.memory import Memory
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.dashboard import policy_list as fleets
from resilience_operator.runtime.dashboard.policy_list import PolicyList, Search
from resilience_operator.runtime.telemetry.history import EvaluationHistory, append_to
from resilience_operator.simulation.workload import steady_workload
from tests.bench.decide_speed import POLICY, observed
from tests.unit.runtime.test_dashboard import accepted, body

POLICIES = 10_000
BOUND_POINT, BOUND_BYTES = 30.0, 8_000
BOUND_SAME, BOUND_ALL, BOUND_STRETCH = 50.0, 1000.0, 100.0


def of_points() -> tuple[float, int]:
    """Microseconds a point, and bytes an hour."""
    target = steady_workload(4, "a", 1e9).state(1e9)
    decision = decide(POLICY, observed(1e9), target, Memory(), 1e9)
    decisions = [replace(decision, at=1e9 + 15 * n) for n in range(480)]
    gc.collect()
    tracemalloc.start()
    tracks: list[EvaluationHistory | None] = [None] * 100
    for number in range(len(tracks)):
        for one in decisions:
            tracks[number] = append_to(tracks[number], one, target)
    size = tracemalloc.get_traced_memory()[0] // len(tracks)
    tracemalloc.stop()
    track: EvaluationHistory | None = None
    begun = thread_time()
    for _ in range(20):
        track = None
        for one in decisions:
            track = append_to(track, one, target)
    return (thread_time() - begun) / (20 * len(decisions)) * 1e6, size


async def of_lists() -> tuple[float, float, float]:
    """Milliseconds for a list in which everything is new, for the same again, and the longest stretch of either."""
    store = PolicyCache()
    for number in range(POLICIES):
        store.upsert(body(number, **accepted()))
    fleets.FRESH = 0.0
    fleet = PolicyList(store, lambda _: False)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = thread_time()
        while True:
            await asyncio.sleep(0)
            now = thread_time()
            longest = max(longest, now - last)
            last = now

    watching = asyncio.create_task(watch())
    times = []
    for _ in range(2):
        begun = thread_time()
        await fleet.page(Search.of("team", "", "3"))
        times.append((thread_time() - begun) * 1e3)
    watching.cancel()
    return times[0], times[1], longest * 1e3


def main() -> int:
    """Prints the figures; 1 when a bound is broken."""
    argparse.ArgumentParser(prog="python -m tests.bench.dashboard_cost", description=__doc__).parse_args()
    point, size = of_points()
    gc.disable()
    new, same, stretch = asyncio.run(of_lists())
    gc.enable()
    print(f"a point, at each evaluation            {point:8.1f} µs   (bound {BOUND_POINT:.0f} µs)")
    print(f"a policy's hour, 3 signals, every 15 s {size:8d} B    (bound {BOUND_BYTES} B)")
    print(f"a page of {POLICIES} policies, all changed  {new:8.1f} ms   (bound {BOUND_ALL:.0f} ms)")
    print(f"the same when nothing changed          {same:8.1f} ms   (bound {BOUND_SAME:.0f} ms)")
    print(f"longest stretch on the event loop      {stretch:8.1f} ms   (bound {BOUND_STRETCH:.0f} ms)")
    kept = point <= BOUND_POINT and size <= BOUND_BYTES and new <= BOUND_ALL and same <= BOUND_SAME
    return int(not kept or stretch > BOUND_STRETCH)


if __name__ == "__main__":
    raise SystemExit(main())
