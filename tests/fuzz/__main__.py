"""`python -m tests.fuzz --objects 2000 --seed 1`: a fuzz run on a cluster of its own."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.cluster import Cluster
from tests.fuzz.run import fuzz, problems
from tests.support.fresh import fresh_cluster
from tests.support.install import install, operator_kubeconfig


def main() -> int:
    """Exit 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--objects", type=int, default=2000, help="objects to generate (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed generates the same objects (default: 1)")
    parser.add_argument("--refusals", action="store_true", help="tell what the API server refused or took long for")
    parser.add_argument("--state", type=Path, help="a running cluster's state folder, to be used and left running")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if options.state:
            return run(Cluster.load(options.state), folder, options)
        with fresh_cluster(folder) as cluster:
            return run(cluster, folder, options)


def run(cluster: Cluster, folder: Path, options: argparse.Namespace) -> int:
    """The run on this cluster."""
    install(cluster)
    kubeconfig = operator_kubeconfig(cluster, folder / "kubeconfig")
    log = folder / "operator.log"
    report = fuzz(cluster, kubeconfig, log, objects=options.objects, seed=options.seed, say=print)
    for reason, count in report.refusals.most_common(40) if options.refusals else ():
        print(f"{count:>5}  {reason}")
    for seconds, step in report.slowest if options.refusals else ():
        print(f"{seconds:6.1f} s  {step.verb} {step.path}: {step.body[:100]}")
    found = problems(report)
    for problem in found:
        print(f"FOUND: {problem}", file=sys.stderr)
    for failure in report.failures[:10]:
        print(f"the API server failed: {failure}", file=sys.stderr)
    if found:
        print(log.read_text(errors="replace")[-5000:], file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
