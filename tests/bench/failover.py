"""How soon another replica decides when the leader goes: `python -m tests.bench.failover [--times N] [--shards N]`.

Two replicas with leader election, on the real control plane. The leader is killed (SIGKILL) or stopped (SIGTERM)
while it guards twenty Deployments; the clock runs until the other replica's first evaluation is done. Then a new
standby takes the dead one's place, and it begins anew. With shards, of which each replica holds half, the clock runs
until the other one holds all.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.cluster import Options, down, up
from tests.support.install import ROOT, grant_lease, install, operator_kubeconfig
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import World

STATE = ROOT / ".local" / "failover"
PORTS = 26660
TARGETS = 20
BOUNDS = {"SIGKILL": 15.0, "SIGTERM": 2.0}
"""Seconds until the next leader's first decision, or until all shards are held."""


def evaluated(operator: Operator) -> float:
    """Policies that it has decided on so far."""
    return operator.metric("resilience_evaluations_total", result="evaluated")


def failover(end: str, leader: Operator, standby: Operator) -> float:
    """Seconds from the leader's end to the standby's first decision."""
    eventually(lambda: leader.leads and evaluated(leader) >= TARGETS, "the leader is at work", last=leader.tail)
    assert evaluated(standby) == 0
    assert leader.process is not None
    began = time.monotonic()
    leader.process.send_signal(signal.Signals[end])
    eventually(lambda: evaluated(standby) > 0, "the standby decides", every=0.02, last=standby.tail)
    seconds = time.monotonic() - began
    leader.stop()
    return seconds


def takeover(end: str, one: Operator, other: Operator, shards: int) -> float:
    """Seconds from the one's end until the other holds its shards, too."""
    eventually(lambda: held(one) == held(other) == shards / 2, "each holds its half", last=other.tail)
    assert one.process is not None
    began = time.monotonic()
    one.process.send_signal(signal.Signals[end])
    eventually(lambda: held(other) == shards, "the other holds all", every=0.02, last=other.tail)
    seconds = time.monotonic() - began
    one.stop()
    return seconds


def held(operator: Operator) -> float:
    """Shards in which it may act."""
    return operator.metric("resilience_shards_held")


def main() -> int:
    """Prints the seconds; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.failover", description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="for each way to end (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=1, help="an even number; 1: a leader (default: %(default)s)")
    options = parser.parse_args()
    how = "--leader-election" if options.shards == 1 else f"--shards={options.shards}"
    with ExitStack() as stack:
        cluster = up(Options(state=STATE, ports=PORTS))
        stack.callback(down, STATE)
        install(cluster)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        world = World(cluster, f"b-{uuid.uuid4().hex[:8]}").create()
        grant_lease(cluster, world.namespace)
        identity = operator_kubeconfig(cluster, folder / "kubeconfig")
        for number in range(TARGETS):
            name = f"app-{number:02d}"
            world.deployment(name, replicas=1)
            world.policy(name, targetRef={"name": name}, replicas={"min": 1})

        def replica() -> Operator:
            found = Operator(
                identity,
                cluster.prometheus_url,
                folder / f"{uuid.uuid4().hex}.log",
                ("--namespace", world.namespace, how),
                {"RESILIENCE_LEASE_NAMESPACE": world.namespace},
            )
            stack.callback(found.stop)
            return found.start()

        return _measure(replica, options.times, options.shards)


def _measure(replica: Callable[[], Operator], times: int, shards: int) -> int:
    what = "first decision of the next leader" if shards == 1 else "all shards held again"
    leader = replica()
    eventually(lambda: leader.leads, "the first leads")
    broken = False
    for end, bound in BOUNDS.items():
        found = []
        for _ in range(times):
            standby = replica()
            found.append(failover(end, leader, standby) if shards == 1 else takeover(end, leader, standby, shards))
            leader = standby
        broken |= max(found) > bound
        print(
            f"{end}: {times} times, {what} after {statistics.median(found):.2f} s (median), "
            f"{min(found):.2f} to {max(found):.2f} s (bound {bound:g} s)",
            flush=True,
        )
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
