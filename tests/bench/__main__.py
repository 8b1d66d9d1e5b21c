"""All benchmarks, one after another: `make bench`, or `python -m tests.bench [NAME…]` for some of them.

Each prints its figures and the bound that it must keep. Exits 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

BENCHMARKS = (
    "decide_speed",
    "replay_speed",
    "release_statistics",
    "scaling_stability",
    "release_reaction",
    "dashboard_cost",
    "evaluation_cost",
    "failover",
    "isolation",
    "scale",
)
"""Those that need no cluster first."""


def main() -> int:
    """Run them as processes of their own, so that none warms up for another."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[[], *BENCHMARKS], help="which (default: all)")
    names = parser.parse_args().name or BENCHMARKS
    broken = []
    for name in names:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode:
            broken.append(name)
    print(
        f"\n{len(names) - len(broken)} of {len(names)} keep their bounds"
        + (f"; not: {', '.join(broken)}" if broken else "")
    )
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
