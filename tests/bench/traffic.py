"""How much traffic a verdict on a release needs: the table in docs/traffic.md.

    python -m tests.bench.traffic [--seeds 12]

Runs the operator's own code in the simulator. 5 pods, a release after 5 minutes, the example's rule on the error rate
(above 1%: pause, roll back after 30 s), 40 minutes in total. Prints for each share of failing requests and each load
how many runs were rolled back, and the median time from the release to the rollback.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import yaml

from resilience_operator.cli.scenario.reader import read_scenario
from resilience_operator.cli.scenario.run import run

ROOT = Path(__file__).resolve().parents[2]
SHARES = ("5%", "10%", "30%", "100%")
LOADS = (0.5, 1, 2, 5, 10, 50)
"""Requests per second of all pods together."""
RELEASE = 300.0


def scenario(share: str, load: float, folder: Path) -> Path:
    """The file of one scenario."""
    file = folder / f"{share.rstrip('%')}-{load}.yaml"
    content = {
        "policy": str(ROOT / "docs" / "scenarios" / "policy.yaml"),
        "duration": "40m",
        "workload": {"replicas": 5},
        "load": load,
        "events": [{"at": "5m", "release": {"revision": "v2", "errors": share}}],
    }
    file.write_text(yaml.safe_dump(content))
    return file


def rolled_back(file: Path, seed: int) -> float | None:
    """Seconds from the release to its rollback; None if there was none."""
    found = read_scenario(str(file), None)
    result = run(found.scenario.model_copy(update={"seed": seed}), found.policy, found.title, found.folder)
    times = [event.at - result.trace.start for event in result.trace.events if event.action == "rollback"]
    return min(times) - RELEASE if times else None


def cell(file: Path, seeds: int) -> str:
    """`rolled back of all runs`, and the median time."""
    times = [at for seed in range(1, seeds + 1) if (at := rolled_back(file, seed)) is not None]
    return f"{len(times)}/{seeds}" + (f", {statistics.median(times):.0f} s" if times else "")


def main() -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=12, help="runs of each scenario (default: %(default)s)")
    seeds = parser.parse_args().seeds
    print(f"| fails | {' | '.join(f'{load:g}/s' for load in LOADS)} |")
    print(f"|---|{'---|' * len(LOADS)}")
    with tempfile.TemporaryDirectory() as folder:
        for share in SHARES:
            cells = [cell(scenario(share, load, Path(folder)), seeds) for load in LOADS]
            print(f"| {share} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
