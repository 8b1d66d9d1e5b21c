"""`python -m tests.bench.scale [--policies N] [--parts cpu,latency]`: see the package for what is measured.

The whole takes about three quarters of an hour for 10,000 policies; its result goes into docs/performance.md. Fewer
policies, or some of the parts, are printed only. PEER_PID names another process to sample meanwhile, such as a peer's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.scale import report, usage
from tests.bench.scale.figures import figures, title
from tests.bench.scale.parts import PARTS, Experiment, Plan, Results
from tests.bench.scale.stage import Stage, say
from tests.support.install import ROOT

FULL = 10_000


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    made.add_argument("--policies", type=int, default=FULL, help="how many (default: %(default)s)")
    made.add_argument(
        "--interval",
        type=lambda text: tuple(float(part) for part in text.split(",")),
        default=(15.0, 5.0, 2.0),
        metavar="S,…",
        help="seconds; those in turn (default: 15,5,2)",
    )
    made.add_argument("--parts", default=",".join(PARTS), metavar="P,…", help="some of: %(default)s")
    made.add_argument("--window", type=float, default=60.0, help="seconds of a measurement (default: %(default)g)")
    made.add_argument("--soak", type=float, default=600.0, help="the same, at the main interval (default: %(default)g)")
    made.add_argument("--steps", type=int, default=200, help="policies that cross, one by one (default: %(default)s)")
    made.add_argument("--crossing", type=int, default=500, help="that cross at once (default: %(default)s)")
    made.add_argument("--asking", type=int, default=500, help="with queries of their own (default: %(default)s)")
    made.add_argument("--scrape", type=float, default=1.0, help="seconds between two scrapes (default: %(default)g)")
    made.add_argument("--state", type=Path, default=ROOT / ".local" / "scale", help="the cluster's state folder")
    made.add_argument("--ports", type=int, default=26200, help="its first port (default: %(default)s)")
    made.add_argument("--write", action=argparse.BooleanOptionalAction, help="put the result into docs/performance.md")
    return made


async def run(options: argparse.Namespace, plan: Plan) -> Results:
    """On a stage that is built, and taken down again."""
    async with Stage.built(options.state, options.ports, plan.policies, plan.asking, plan.scrape) as stage:
        experiment = Experiment(stage, plan)
        try:
            return await experiment.run()
        except BaseException:
            if found := figures(experiment.results):
                say(f"broken off; until then:\n{report.table(found)}")
            if stage.operator is not None:
                say(stage.operator.tail())
            raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures; 1 when a bound is broken, 130 when interrupted."""
    options = parser().parse_args(arguments)
    parts = frozenset(options.parts.split(","))
    if unknown := parts - set(PARTS):
        parser().error(f"there is no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    peer = os.environ.get("PEER_PID")
    plan = Plan(
        policies=options.policies,
        parts=parts,
        intervals=options.interval,
        window=options.window,
        soak=options.soak,
        steps=min(options.steps, options.policies // 5),
        crossing=min(options.crossing, options.policies // 5),
        asking=options.asking if "custom" in parts else 0,
        scrape=options.scrape,
        peer=int(peer) if peer else None,
    )
    # Both, whatever was inherited: a shell lets what it starts in the background ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    say(f"{title(plan)}; {usage.machine()}")
    try:
        found = asyncio.run(run(options, plan))
    except KeyboardInterrupt:
        say("interrupted; what was started is stopped again")
        return 130
    made = figures(found)
    say(f"\n{report.table(made)}")
    whole = plan.policies >= FULL and parts == set(PARTS)
    if options.write or (options.write is None and whole):
        report.write(found, shlex.join(["python", "-m", "tests.bench.scale", *(arguments or sys.argv[1:])]))
        say(f"written: {report.PAGE.relative_to(ROOT)}")
    return int(any(figure.met is False for figure in made))


if __name__ == "__main__":
    sys.exit(main())
