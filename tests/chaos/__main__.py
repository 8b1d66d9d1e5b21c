"""`python -m tests.chaos`: a run on a cluster of its own. Exits 1 when an invariant was violated."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.crowd import Crowd
from tests.chaos.harm import RESTARTS, WIRE, Stage
from tests.chaos.run import run
from tests.cluster import Options, down, up
from tests.support.install import ROOT, install, operator_kubeconfig
from tests.support.names import PROMETHEUS, Names
from tests.support.operator import Operator
from tests.support.proxy import api_proxy, kubeconfig_through, prometheus_proxy
from tests.support.world import World

PORTS = 29600
STATE = ROOT / ".local" / "chaos"


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m tests.chaos", description="The whole system under random harm.")
    found.add_argument("--minutes", type=float, default=10, help="of harm (default 10)")
    found.add_argument("--policies", type=int, default=200, help="targets, each with a policy (default 200)")
    found.add_argument("--namespaces", type=int, default=4, help="over which they are spread (default 4)")
    found.add_argument("--moves", type=float, default=2.0, help="changes of load and releases a second (default 2)")
    found.add_argument("--seed", type=int, default=None, help="what happens, and in which order (default: a new one)")
    found.add_argument("--log", type=Path, default=None, help="where the operator's log is kept")
    return found


def main() -> int:
    options = parser().parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = up(Options(state=STATE, ports=PORTS))
        stack.callback(down, STATE)
        install(cluster)
        api = stack.enter_context(api_proxy(cluster, folder, PORTS + 20))
        prometheus = stack.enter_context(prometheus_proxy(cluster, PORTS + 21))
        identity = kubeconfig_through(api, operator_kubeconfig(cluster, folder / "identity"), folder)
        log = options.log or folder / "operator.log"
        names = Names(folder, PROMETHEUS)
        environment = {"RESILIENCE_RELIST_SECONDS": "30", **names.environment}
        operator = Operator(identity, prometheus.at(PROMETHEUS), log, environment=environment)
        stack.callback(operator.stop)
        operator.start()
        worlds = [World(cluster, f"chaos-{n}").create() for n in range(options.namespaces)]
        crowd = Crowd(worlds, options.policies)
        crowd.create()
        print(f"{options.policies} policies are settled after {time.monotonic() - began:.0f} s", flush=True)
        report = run(
            Stage(cluster, api, prometheus, operator, names),
            crowd,
            WIRE | RESTARTS,
            seconds=options.minutes * 60,
            seed=seed,
            moves_per_second=options.moves,
        )
    print(report.text())
    if report.violations:
        size = f"--minutes {options.minutes:g} --policies {options.policies}"
        print(f"again with: python -m tests.chaos {size} --seed {seed}")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
