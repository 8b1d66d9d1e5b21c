"""Compares the samples' policies with the HPA, KEDA and an oracle on recorded load.

    python -m tests.bench.autoscaling --data DIR [--seeds N] [--quick] [--picture FILE] [--synthetic] [--random N]

DIR has traces as CSV files `seconds,value`. For each trace and in total it prints the share of requests that arrived
while the load exceeded the ready capacity ("short"), the share that met a P99 over 1 s ("slow"), pod-hours against the
HPA at 70%, and changes of direction; then the response to two steps. Exits 1 if a bar is missed. `docs/autoscaling.md`
describes the model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from tests.bench.autoscaling.controllers import HPA, KEDA, Controller, Oracle, Reactive
from tests.bench.autoscaling.loads import (
    STEP,
    Array,
    BadTrace,
    random_loads,
    read_traces,
    step_load,
    synthetic,
    with_noise,
)
from tests.bench.autoscaling.picture import draw
from tests.bench.autoscaling.policies import sample
from tests.bench.autoscaling.product import Product
from tests.bench.autoscaling.service import CAPACITY, MAX_PODS, MIN_PODS, Service

HPA_TARGETS = (0.4, 0.5, 0.6, 0.7, 0.8)
PROPOSED, FOUNDING, REFERENCE = "sample load.yaml", "sample checkout.yaml", "HPA 70%"
AT_PODS = "load.yaml, by pods"
"""The proposed policy where requests are counted by the pods, and not before they reach them."""
NOISE_SHARE, NOISE_HOURS = 0.02, 0.03
"""Differences that count as noise: percentage points of requests, and a share of the pod-hours."""

MAKERS: Mapping[str, Callable[[Array, int], Controller]] = {
    **{f"HPA {target:.0%}": lambda _, seed, t=target: HPA(t, seed) for target in HPA_TARGETS},  # type: ignore[misc]
    "KEDA rps[2m]": lambda _, seed: KEDA(phase=seed),
    FOUNDING: lambda _, __: Product(sample("checkout")),
    PROPOSED: lambda _, __: Product(sample("load"), ingress=True),
    AT_PODS: lambda _, __: Product(sample("load")),
    "reactive, 75%": lambda offered, _: Reactive(offered, 0.75),
    "oracle": lambda offered, _: Oracle(offered),
}
STEPS = {600.0: 45.0, 1200.0: 75.0}
"""Requests/s after a step from 300, and the seconds within which the proposed policy must be healthy again."""

PEAK = 1.3

CALM = 300
"""Seconds without a bad step after which a service has recovered."""


@dataclass(slots=True)
class Figures:
    """Sums of one or more runs."""

    requests: float = 0.0
    short: float = 0.0
    slow: float = 0.0
    hours: float = 0.0
    turns: int = 0
    healthy: float = 0.0
    peak: int = 0
    recovered: float = 0.0

    def add(self, other: Figures) -> None:
        """Add another run."""
        self.requests += other.requests
        self.short += other.short
        self.slow += other.slow
        self.hours += other.hours
        self.turns += other.turns

    @property
    def short_share(self) -> float:
        """Percent of the requests."""
        return 100 * self.short / max(self.requests, 1.0)

    @property
    def slow_share(self) -> float:
        """Percent of the requests."""
        return 100 * self.slow / max(self.requests, 1.0)


def run(name: str, load: Array, seed: int) -> Figures:
    """Run one controller over one load."""
    offered = with_noise(load, seed)
    pods = min(max(ceil(offered[0] / (0.7 * CAPACITY)), MIN_PODS), MAX_PODS)
    service, controller = Service(offered, seed, pods), MAKERS[name](offered, seed)
    for _ in range(len(offered)):
        controller.step(service)
        service.step()
    moves = np.diff(np.array(service.sizes[1:]))
    signs = np.sign(moves[moves != 0])
    hours = sum(service.sizes[1:]) * STEP / 3600
    return Figures(
        service.requests,
        service.short,
        service.slow,
        hours,
        int((signs[1:] != signs[:-1]).sum()),
        (service.last_bad + 1) * STEP,
        max(service.sizes),
        _recovered(service.bad),
    )


def _recovered(bad: Sequence[int]) -> float:
    """Return when the first five minutes without a bad step began, seconds; 0 if no step was bad."""
    for index, step in enumerate(bad):
        if index + 1 == len(bad) or bad[index + 1] - step > CALM // STEP:
            return (step + 1) * STEP
    return 0.0


def _job(job: tuple[str, str, Array, int]) -> tuple[str, str, Figures]:
    name, trace, load, seed = job
    return name, trace, run(name, load, seed)


def compare(
    loads: Mapping[str, Array], names: Sequence[str], seeds: int, workers: int
) -> dict[str, dict[str, Figures]]:
    """Return the sums over the seeds, by controller and trace."""
    jobs = [
        (name, trace, load, seed) for seed in range(1, seeds + 1) for trace, load in loads.items() for name in names
    ]
    found: dict[str, dict[str, Figures]] = {name: {trace: Figures() for trace in loads} for name in names}
    with ProcessPoolExecutor(workers) as pool:
        for name, trace, figures in pool.map(_job, jobs):
            found[name][trace].add(figures)
    return found


def total(of: Mapping[str, Figures]) -> Figures:
    """Return the sum over the traces."""
    found = Figures()
    for figures in of.values():
        found.add(figures)
    return found


def dominated(ours: Figures, theirs: Figures) -> bool:
    """Return whether the other controller is better in one figure by more than noise, and worse in none."""
    short, slow = theirs.short_share - ours.short_share, theirs.slow_share - ours.slow_share
    hours = theirs.hours / ours.hours - 1
    if short > 0 or slow > 0 or hours > 0:
        return False
    return short < -NOISE_SHARE or hours < -NOISE_HOURS


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures and the bars; 1 if one is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.autoscaling")
    parser.add_argument("--data", type=Path, help="folder of traces: CSV files with lines `seconds,value`")
    parser.add_argument("--synthetic", action="store_true", help="synthetic loads, instead of or beside traces")
    parser.add_argument(
        "--random", type=int, default=0, metavar="N", help="N loads with random shapes, beside the others"
    )
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="seed of the first random load")
    parser.add_argument("--only", default="", help="substrings of controllers, separated by commas: no bars then")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed and one day of each trace")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--picture", type=Path, help="write the comparison as an SVG picture")
    options = parser.parse_args(arguments)
    seeds = 1 if options.quick else options.seeds
    loads: dict[str, Array] = {}
    try:
        if options.data is not None:
            loads.update(read_traces(options.data, days=1 if options.quick else 2))
    except BadTrace as error:
        parser.error(str(error))
    loads.update(random_loads(options.random, options.first))
    if options.synthetic or not loads:
        loads.update(synthetic())
    names = [n for n in MAKERS if n == REFERENCE or any(part in n for part in options.only.split(","))]
    found = compare(loads, names, seeds, options.workers)
    totals = {name: total(found[name]) for name in names}
    _print(found, totals, loads)
    missed = [] if options.only else _bars(found, totals, loads) + _step_bars(seeds)
    if options.picture is not None:
        options.picture.write_text(
            draw({n: (f.short_share, f.hours / totals[REFERENCE].hours) for n, f in totals.items() if n != AT_PODS})
        )
        print(f"picture: {options.picture}")
    print(f"{len(missed)} bars missed{': ' + '; '.join(missed) if missed else ''}")
    return int(bool(missed))


def _print(
    found: Mapping[str, Mapping[str, Figures]], totals: Mapping[str, Figures], loads: Mapping[str, Array]
) -> None:
    base = totals[REFERENCE].hours
    print("% of requests short of capacity / % slow / pod-hours against HPA 70% / changes of direction")
    for name, figures in totals.items():
        print(
            f"{name:22} {figures.short_share:6.3f} / {figures.slow_share:6.3f} / {figures.hours / base - 1:+6.1%} / "
            f"{figures.turns}"
        )
        for trace in loads:
            f, reference = found[name][trace], found[REFERENCE][trace]
            print(
                f"    {trace:18} {f.short_share:6.3f} / {f.slow_share:6.3f} / {f.hours / reference.hours - 1:+6.1%} / "
                f"{f.turns}"
            )


def _bars(
    found: Mapping[str, Mapping[str, Figures]], totals: Mapping[str, Figures], loads: Mapping[str, Array]
) -> list[str]:
    ours, founding, reference = totals[PROPOSED], totals[FOUNDING], totals[REFERENCE]
    checks = [
        ("pod-hours at most those of the HPA at 70%", ours.hours <= reference.hours),
        ("at most half of its under-provisioned requests", ours.short <= reference.short / 2),
        ("changes of direction at most the HPA's", ours.turns <= reference.turns),
        ("the founding sample: pod-hours at most 15% above the HPA at 70%", founding.hours <= 1.15 * reference.hours),
    ]
    for name in totals:
        if name.startswith("HPA"):
            worse = [trace for trace in loads if dominated(found[PROPOSED][trace], found[name][trace])]
            checks.append((f"not dominated by {name}{' on ' + ', '.join(worse) if worse else ''}", not worse))
    return _report(checks)


def _step_bars(seeds: int) -> list[str]:
    checks = []
    for to, bound in STEPS.items():
        for name in (REFERENCE, FOUNDING, PROPOSED, AT_PODS):
            runs = [run(name, step_load(to, at=3600.0 + STEP * s), s) for s in range(1, seeds + 1)]
            healthy = sum(r.healthy - 3600.0 - STEP * s for s, r in enumerate(runs, 1)) / seeds
            peak, need = max(r.peak for r in runs), to / (0.7 * CAPACITY)
            back = ", ".join(f"{r.recovered - 3600.0 - STEP * s:.0f}" for s, r in enumerate(runs, 1))
            print(
                f"300 → {to:.0f}: {name:22} last bad step after {healthy:4.0f} s (recovered after {back} s), "
                f"peak {peak} pods, needs {need:.1f}"
            )
            if name == PROPOSED:
                checks.append((f"300 → {to:.0f}: healthy within {bound:.0f} s", healthy <= bound))
                checks.append((f"300 → {to:.0f}: peak at most {PEAK} × the need", peak <= PEAK * need))
    return _report(checks)


def _report(checks: Sequence[tuple[str, bool]]) -> list[str]:
    for text, kept in checks:
        print(f"  {'kept  ' if kept else 'MISSED'}  {text}")
    return [text for text, kept in checks if not kept]


if __name__ == "__main__":
    sys.exit(main())
