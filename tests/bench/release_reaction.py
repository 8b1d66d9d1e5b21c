"""How soon a bad release is paused and gone, and what happens to a good one when the metrics go.

    python -m tests.bench.release_reaction [--releases N] [--outages N]

An outage is the peers' (500, hanging, empty, NaN), at a proxy between the operator and the real Prometheus.

On the real control plane with a real Prometheus, the operator under its own ServiceAccount. The clock starts when the
bad value is readable: when the query that the operator asks answers, for the new revision alone, with an error rate
over the threshold. The peers' figures are those of the same experiment on the same kind of machine (two cores, the
same control plane, 15 s interval): Argo Rollouts 1.9.1 with failureLimit 1, Flagger 1.44 with threshold 1 and 2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import Options, down, up
from tests.support.install import ROOT, install, operator_kubeconfig
from tests.support.operator import Operator
from tests.support.proxy import Proxy, faults, prometheus_proxy
from tests.support.proxy.prometheus import data, values
from tests.support.waiting import eventually
from tests.support.world import World

STATE = ROOT / ".local" / "bench"
PORTS = 28600
BOUND_PAUSED = 6.0
"""Seconds from readable to paused, at an interval of 5 s."""
BOUND_GONE = 3.0
"""Seconds from the rollback's due time to no bad pod left."""
AFTER = 5.0
PEERS = """
from the bad value to the canary gone, 15 s interval:
  Argo Rollouts 1.9.1 (failure limit 1)   29.6 s
  Flagger 1.44 (threshold 1 / 2)          44 s / 60 s
metrics gone during a good release:
  Argo Rollouts   aborted it (500: 53 s, empty: 54 s, NaN: 29 s; hanging: 204 s, or promoted it unmeasured)
  Flagger         rolled it back in 44 to 60 s, in every case
"""
OUTAGES = {
    "500": faults.answer(500, "oh no", content_type="text/plain"),
    "hanging": faults.hang(),
    "empty": data(lambda d: d.update(result=[])),
    "nan": values("NaN"),
}
SLOW: dict[str, Any] = {
    "minReadySeconds": 20,
    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
}
"""One new pod beside the old ones for 20 s, as a canary stands."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """Seconds: from readable to paused, from readable to gone, and from the due time of the rollback to gone."""

    paused: float
    gone: float
    after_due: float


def readable(world: World) -> bool:
    """Whether the new revision's error rate is over 1% in Prometheus."""
    base = f'http_requests_total{{namespace="{world.namespace}"'
    owner = 'label_replace({}, "owner", "$1", "pod", "(.*)-[^-]+")'
    errors = owner.format(f'increase({base},code=~"5.."}}[10s])')
    requests = owner.format(f"increase({base}}}[10s])")
    query = f"max(sum by (owner) ({errors}) / sum by (owner) ({requests})) > 0.01"
    address = f"{world.cluster.prometheus_url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(address, timeout=5) as answer:
        return bool(json.load(answer)["data"]["result"])


def when(look: Callable[[], object], what: str) -> float:
    """The monotonic moment at which something is first seen."""
    eventually(look, what, every=0.05)
    return time.monotonic()


def prepared(world: World, source: str = "well") -> None:
    """A good release, watched and known."""
    world.deployment(replicas=4, **SLOW)
    world.load.workload(world.namespace, "checkout", rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    world.policy(replicas={"min": 4}, metricSource={"name": source})
    world.until_phase("Stable")
    # Until the old pods are available, and not only ready, the controller takes no pod away, bad or not.
    eventually(lambda: world.get()["status"].get("availableReplicas") == 4, "the good pods are available")


def bad_release(world: World) -> Reaction:
    """Release an image that fails one request in five."""
    prepared(world)
    world.load.image(world.image("2.0"), error_ratio=0.2)
    world.release("2.0")
    seen = when(lambda: readable(world), "the bad value is readable")
    paused = when(world.paused, "paused")
    gone = when(lambda: "2.0" not in world.tags() and world.running() == "1.0", "the bad pods are gone")
    decided = world.until(lambda: [d for d in world.status().get("history", ()) if d["action"] == "rollback"], "told")
    assert decided[0]["rule"] == "failing-release"
    return Reaction(paused - seen, gone - seen, gone - paused - AFTER)


def outage(world: World, kind: str, proxy: Proxy) -> tuple[bool, bool]:
    """A good release while the metrics are gone: (rolled back or paused, called good unmeasured)."""
    prepared(world, kind)
    good = world.status()["target"]["lastGoodRevision"]
    proxy.add(OUTAGES[kind])
    world.until_verdict("error-rate", "Unknown")
    world.release("1.1")
    world.until(lambda: world.told("ReleaseNotJudged") or world.told("BakeUnmeasured"), "it is told")
    world.until(lambda: world.told("BakeUnmeasured"), "the bake is over but for the measuring", patience=400)
    return bool(world.actions()), world.status()["target"]["lastGoodRevision"] != good


def main() -> int:
    """Prints the figures; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.release_reaction")
    parser.add_argument("--releases", type=int, default=5, help="bad releases (default: %(default)s)")
    parser.add_argument(
        "--outages", type=int, default=1, help="good releases in each kind of outage (default: %(default)s)"
    )
    options = parser.parse_args()
    cluster = up(Options(state=STATE, ports=PORTS))
    try:
        install(cluster)
        with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
            folder = Path(temporary)
            proxies = {kind: stack.enter_context(prometheus_proxy(cluster)) for kind in ("well", *OUTAGES)}
            config = folder / "config.yaml"
            config.write_text(yaml.safe_dump({"sources": [{"name": n, "url": p.url} for n, p in proxies.items()]}))
            identity = operator_kubeconfig(cluster, folder / "kubeconfig")
            operator = Operator(identity, cluster.prometheus_url, folder / "operator.log", ("--config", str(config)))
            stack.callback(operator.start().stop)
            return _measure(lambda: World(cluster, f"b-{uuid.uuid4().hex[:8]}").create(), proxies, options)
    finally:
        down(STATE)


def _measure(fresh: Callable[[], World], proxies: Mapping[str, Proxy], options: argparse.Namespace) -> int:
    found = [bad_release(fresh()) for _ in range(options.releases)]
    print(
        f"{len(found)} bad releases: 20% errors on the new pod, interval 5 s, window 10 s, back after {AFTER:.0f} s",
        flush=True,
    )
    for what, seconds in (
        (f"readable → paused            (bound {BOUND_PAUSED:.0f} s)", [r.paused for r in found]),
        ("readable → bad pods gone", [r.gone for r in found]),
        (f"rollback due → bad pods gone (bound {BOUND_GONE:.0f} s)", [r.after_due for r in found]),
    ):
        print(f"  {what:44} median {statistics.median(seconds):5.2f} s   worst {max(seconds):5.2f} s")
    acted, unmeasured = 0, 0
    for _ in range(options.outages):
        with ThreadPoolExecutor(len(OUTAGES)) as side_by_side:
            ended = list(side_by_side.map(lambda kind: outage(fresh(), kind, proxies[kind]), OUTAGES))
        acted, unmeasured = acted + sum(a for a, _ in ended), unmeasured + sum(u for _, u in ended)
        for kind in OUTAGES:
            proxies[kind].clear()
    print(
        f"{options.outages * len(OUTAGES)} good releases without metrics ({', '.join(OUTAGES)}), each told: "
        f"{acted} acted on, {unmeasured} called good"
    )
    print(PEERS)
    slow = max(r.paused for r in found) > BOUND_PAUSED or max(r.after_due for r in found) > BOUND_GONE
    return int(slow or acted or unmeasured)


if __name__ == "__main__":
    sys.exit(main())
