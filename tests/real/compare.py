"""What the operator is worth: the same bad release and the same load, guarded and not, and how many requests failed.

    python -m tests.real.compare [--runs N]

On a real node: pods whose CPU is burnt by real requests, and the operator in pods of its own image. A request has
failed when it is answered 5xx, or not within 5 s; it is slow when it takes more than a second. Counted from the moment
of the release, or of the rise of the load, for as long as people take to notice and to act by hand: three minutes, a
figure assumed and not measured, which can be set by --seconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_api_client import PrometheusConnect

from tests.cluster import Cluster, ClusterError, Options, down, up
from tests.cluster.realnode import import_image
from tests.cluster.settings import LOCAL
from tests.real import images, installed
from tests.real.load import Load, percentile
from tests.real.shopworld import ShopWorld

STATE = LOCAL / "real-compare"
PORTS = 27500
CALM, RELEASE_RATE, FLOOD = 20.0, 40.0, 140.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. sent, failed, slow: requests. p99: seconds. until: seconds until it was over; None: it never was."""

    sent: int
    failed: int
    slow: int
    p99: float
    until: float | None


def bad_release(world: ShopWorld, *, guarded: bool, seconds: float) -> Outcome:
    """Four pods at a steady load; a version that fails one request in five is released."""
    with Load(world.shop(replicas=4), RELEASE_RATE) as load:
        if guarded:
            world.guard()
        else:
            _warm(load)
        began = time.monotonic()
        world.release("2.0")
        _pass(seconds, began)
    return _outcome(load, began, seconds, over=lambda answer: answer.failed)


def rise(world: ShopWorld, *, guarded: bool, seconds: float) -> Outcome:
    """Two pods; the load rises to what needs twice as many."""
    with Load(world.shop(), CALM) as load:
        if guarded:
            world.guard()
        else:
            _warm(load)
        began = time.monotonic()
        load.rate = FLOOD
        _pass(seconds, began)
    return _outcome(load, began, seconds, over=lambda answer: answer.failed or answer.seconds > 1)


EXPERIMENTS: dict[str, Callable[..., Outcome]] = {
    "a version that fails 20% of its requests is released": bad_release,
    "the load rises from 20 to 140 requests/s, which is more than two pods bear": rise,
}


def _warm(load: Load) -> None:
    """As long as the guarded service is calm before."""
    while len(load.answers) < 20 * load.rate:
        time.sleep(0.2)


def _pass(seconds: float, began: float) -> None:
    time.sleep(max(0.0, began + seconds - time.monotonic()))


def _outcome(load: Load, began: float, seconds: float, over: Callable[..., bool]) -> Outcome:
    answers = [a for a in load.since(began) if a.sent < began + seconds]
    bad = [a.sent for a in answers if over(a)]
    # Over, when the last fifteenth of the time saw nothing of it.
    last = max(bad, default=began)
    return Outcome(
        sent=len(answers),
        failed=sum(a.failed for a in answers),
        slow=sum(not a.failed and a.seconds > 1 for a in answers),
        p99=percentile(answers, 0.99),
        until=last - began if last < began + seconds * 14 / 15 else None,
    )


@contextmanager
def real_cluster() -> Iterator[Cluster]:
    """A real node with the images and the operator on it."""
    archives = images.archives(_say)
    cluster = up(Options(state=STATE, ports=PORTS, node="real"), _say)
    try:
        for archive in archives:
            import_image(cluster.layout, archive)
        with tempfile.TemporaryDirectory() as folder:
            installed.with_kubectl(cluster, Path(folder))
            yield cluster
    finally:
        down(STATE, say=_say)


def main() -> int:
    """Print a table, in the form of Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.real.compare", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--runs", type=int, default=3, help="of each experiment, guarded and not (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=180, help="counted in each (default: %(default)s)")
    options = parser.parse_args()
    try:
        with real_cluster() as cluster:
            rows = [
                _row(cluster, what, experiment, guarded, options)
                for what, experiment in EXPERIMENTS.items()
                for guarded in (False, True)
            ]
            needs = _needs(cluster)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    counted = f"{options.seconds:.0f} s, median of {options.runs}"
    print(f"\n| {counted} | | requests | failed | slower than 1 s | P99 | over after |\n|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"\nThe operator's pods, at most: {needs}")
    return 0


def _needs(cluster: Cluster) -> str:
    """What the operator's pods used at most since they began, as the kubelet's cAdvisor measured it."""
    prometheus = PrometheusConnect(cluster.prometheus_url)
    whose = f'{{namespace="{installed.NAMESPACE}", container!=""}}'
    queries = {
        "MB": f"max(max_over_time(container_memory_working_set_bytes{whose}[2h])) / 1e6",
        "cores over five minutes": f"max(max_over_time(rate(container_cpu_usage_seconds_total{whose}[5m])[2h:1m]))",
    }
    found = {unit: float(prometheus.custom_query(query)[0]["value"][1]) for unit, query in queries.items()}
    return ", ".join(f"{value:.3g} {unit}" for unit, value in found.items())


def _row(
    cluster: Cluster, what: str, experiment: Callable[..., Outcome], guarded: bool, options: argparse.Namespace
) -> str:
    found = []
    for run in range(options.runs):
        world = ShopWorld(cluster, f"shop-{uuid.uuid4().hex[:6]}").create()
        found.append(experiment(world, guarded=guarded, seconds=options.seconds))
        world.remove()
        _say(f"{what}, {'guarded' if guarded else 'alone'}, {run + 1} of {options.runs}: {found[-1]}")
    sent, failed, slow = (
        statistics.median(values) for values in zip(*((o.sent, o.failed, o.slow) for o in found), strict=True)
    )
    ended = [o.until for o in found if o.until is not None]
    over = f"{statistics.median(ended):.0f} s" if len(ended) == len(found) else "not"
    p99 = statistics.median(o.p99 for o in found)
    who = "with the operator" if guarded else "without"
    return f"| {what} | {who} | {sent:.0f} | {failed:.0f} | {slow:.0f} | {p99:.2f} s | {over} |"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
