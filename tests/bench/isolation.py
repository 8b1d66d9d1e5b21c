"""What bad neighbours cost the others: `python -m tests.bench.isolation [--policies 5000]`.

The others are policies in fifty namespaces. First they are alone. Then come, all at once: one namespace with
thousands of policies, some of which ask queries of their own; policies whose metrics endpoint hangs; and one whose
metric source raises. Twice it is measured how late evaluations begin, and how long the others take from a load that
jumps to the patch of their Deployment. On the real API server and a real Prometheus; see `tests.bench.scale` for what
is played.

Bounds: no evaluation begins more than an interval late, and no reaction takes longer than two intervals.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.bench.scale import crowd
from tests.bench.scale.api import for_all
from tests.bench.scale.counters import Page, quantile
from tests.bench.scale.crowd import Member
from tests.bench.scale.reaction import Reactions, Sample, one_by_one
from tests.bench.scale.stage import Stage, say
from tests.bench.scale.window import LAG
from tests.support.install import ROOT, operator_kubeconfig
from tests.support.operator import Operator, free_port
from tests.support.plugins import install_plugins
from tests.support.proxy import Proxy, faults

INTERVAL = 15.0
"""Seconds; a bound of the lag's histogram, so that what is later can be counted."""
OTHERS, HANGING = 120, 20
STEPS = 50
"""Of the others, whose load jumps in each part."""
OWN = 0.1
"""Share of the crowd that asks two queries of its own each."""


@dataclass(frozen=True, slots=True)
class Part:
    """What was measured. lag: p50 and p99, seconds; late: evaluations that began more than an interval late."""

    policies: int
    evaluations: float
    late: float
    lag: tuple[float, float]
    reactions: Reactions

    @property
    def slowest(self) -> float:
        """Seconds of the slowest reaction."""
        return self.reactions.quantile(1.0)

    def row(self, name: str) -> str:
        """Of a table."""
        r = self.reactions.quantile
        return (
            f"| {name} | {self.policies:,} | {self.evaluations:,.0f} | {self.late:.0f} | {self.lag[0]:.2f} s, "
            f"{self.lag[1]:.2f} s | {r(0.5):.1f} s, {r(0.99):.1f} s, {self.slowest:.1f} s |"
        )


async def measure(stage: Stage, policies: int, members: list[Member]) -> Part:
    """Let members' loads jump, one after the other."""
    before = await stage.page()
    reactions = await one_by_one(stage, members, INTERVAL)
    after = await stage.page()
    lags = before.buckets(LAG), after.buckets(LAG)
    return Part(
        policies,
        _grown(before, after, "resilience_evaluations_total"),
        _grown(before, after, f"{LAG}_count") - (lags[1][INTERVAL] - lags[0].get(INTERVAL, 0.0)),
        (quantile(0.5, *lags), quantile(0.99, *lags)),
        reactions,
    )


def _grown(before: Page, after: Page, name: str) -> float:
    return after.total(name) - before.total(name)


async def start(stage: Stage, hanging: str, folder: Path) -> None:
    """The operator, with a source that hangs and one that raises beside the real one."""
    site, config = folder / "site", folder / "config.yaml"
    install_plugins(site)
    sources = [{"name": "hanging", "url": hanging}, {"name": "rogue", "type": "rogue", "options": {"how": "raise"}}]
    config.write_text(yaml.safe_dump({"sources": sources}))
    stage.operator = Operator(
        operator_kubeconfig(stage.cluster, folder / "kubeconfig"),
        stage.cluster.prometheus_url,
        folder / "operator.log",
        ("--config", str(config)),
        {"PYTHONPATH": f"{ROOT / 'operator'}:{site}"},
    )
    await asyncio.to_thread(stage.operator.start)


async def guard(
    stage: Stage, members: list[Member], source: dict[str, str] | None = None, *, own: bool = False
) -> None:
    """Create policies, on another source than the default."""

    async def create(member: Member) -> None:
        body: Any = (crowd.asking_policy if own else crowd.policy)(member, INTERVAL, stage.window)
        if source:
            body["spec"]["metricSource"] = source
        await stage.api.call("POST", crowd.policies(member.namespace), body, fieldValidation="Strict")

    await for_all(members, create)


async def run(options: argparse.Namespace) -> tuple[Part, Part]:
    """Both parts."""
    with tempfile.TemporaryDirectory() as folder:
        size = OTHERS + HANGING + 1
        async with Stage.built(options.state, options.ports, size, options.policies, 2.0) as stage:
            others, hanging, raising = stage.members[:OTHERS], stage.members[OTHERS:-1], stage.members[-1:]
            with Proxy(stage.cluster.prometheus_url, free_port()) as proxy:
                proxy.add(faults.hang())
                await stage.controller.make([*stage.members, *stage.asking])
                await stage.scraped()
                await start(stage, proxy.url, Path(folder))
                sample = Sample(others)
                await guard(stage, others)
                await stage.until_calm()
                say(f"{OTHERS} policies are alone")
                alone = await measure(stage, OTHERS, sample.take(STEPS))
                say(f"now come {options.policies:,} in one namespace, {HANGING} that hang and one that raises")
                own = round(OWN * options.policies)
                await guard(stage, stage.asking[:own], own=True)
                await guard(stage, stage.asking[own:])
                await guard(stage, hanging, {"name": "hanging"})
                await guard(stage, raising, {"type": "rogue"}, own=True)
                await stage.until_calm()
                beside = await measure(stage, size + options.policies, sample.take(STEPS))
    return alone, beside


def main() -> int:
    """Prints both parts; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.isolation", description=__doc__)
    parser.add_argument("--policies", type=int, default=5000, help="in the one namespace (default: %(default)s)")
    parser.add_argument("--state", type=Path, default=ROOT / ".local" / "isolation", help="the cluster's state folder")
    parser.add_argument("--ports", type=int, default=26640, help="its first port (default: %(default)s)")
    alone, beside = asyncio.run(run(parser.parse_args()))
    say(
        f"\n| interval {INTERVAL:g} s | policies | evaluations | over an interval late | lag p50, p99 "
        "| the others' reaction p50, p99, most |\n|---|---|---|---|---|---|"
    )
    say(alone.row("the others alone"))
    say(beside.row("beside bad neighbours"))
    broken = alone.late or beside.late or beside.slowest > 2 * INTERVAL
    say(f"\nthe bounds are {'broken' if broken else 'kept'}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
