"""``python -m tests.cluster``: start, stop and look at the local cluster."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import build, kind, kindnode
from tests.cluster.cluster import Cluster, down, up
from tests.cluster.failure import ClusterError
from tests.cluster.installed import CLIENTS, installed, provider
from tests.cluster.settings import DEFAULT_STATE, Options, Ports


def parser() -> argparse.ArgumentParser:
    defaults = Ports()
    root = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description="A Kubernetes control plane, simulated nodes and a Prometheus, without a container engine.",
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    start = commands.add_parser("up", help="start the cluster (builds its binaries the first time)")
    _state(start)
    start.add_argument("--ports", type=int, metavar="BASE", help="lay all ports in a row from BASE")
    start.add_argument("--prometheus-port", type=int, metavar="PORT", help=f"default {defaults.prometheus}")
    start.add_argument("--apiserver-port", type=int, metavar="PORT", help=f"default {defaults.apiserver}")
    start.add_argument("--nodes", type=int, metavar="N", help="simulated nodes, over three zones (default 6)")
    start.add_argument(
        "--node",
        choices=["simulated", "real"],
        help="real: this machine as the one node, with kubelet and containerd (Linux, root; default simulated)",
    )
    start.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="PATH",
        help="where to write the administrator's kubeconfig (default .local/kubeconfig; STATE/kubeconfig with --state)",
    )
    start.add_argument(
        "--prometheus-scrape",
        metavar="HOST:PORT",
        help=f"the load model, scraped each second (default 127.0.0.1:{defaults.load_model})",
    )
    start.add_argument(
        "--load-model",
        action=argparse.BooleanOptionalAction,
        help="start the load model beside the cluster (the default)",
    )
    start.add_argument(
        "--provider",
        choices=("local", "kind", "auto"),
        help="local (the default), or kind where docker is; auto: kind if it is installed, and else local with this "
        "machine's etcd and Prometheus where their versions fit",
    )

    stop = commands.add_parser("down", help="stop the cluster and remove its state")
    _state(stop)
    stop.add_argument("--keep", action="store_true", help="keep the state; the next up goes on from it")

    _state(commands.add_parser("status", help="tell what runs; exits 1 unless all of it is ready"))

    make = commands.add_parser("build", help="build the binaries and start nothing")
    make.add_argument("--promtool", action="store_true", help="promtool too")
    make.add_argument("--clients", action="store_true", help="helm and kubectl too, unless this machine's fit")
    make.add_argument("--flux", action="store_true", help="Flux's controllers too, for tests/e2e/test_flux.py")
    commands.add_parser("kind-image", help="build a node image for kind without a registry, and print its name")
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        match options.command:
            case "up":
                chosen = vars(options).copy()
                del chosen["command"]
                automatic = chosen["provider"] == "auto"
                if automatic:
                    known = (chosen["state"] / "cluster.json").exists()
                    chosen["provider"] = None if known else "local" if chosen["node"] == "real" else provider(_say)
                up(Options(**chosen), _say, use_installed=automatic)
            case "down":
                down(options.state, keep=options.keep, say=_say)
            case "status":
                return _status(options.state)
            case "kind-image":
                kind.require()
                _say(kindnode.ensure(_say))
            case "build":
                began = time.monotonic()
                names = [*build.CLUSTER, *(["promtool"] if options.promtool else [])]
                names += build.FLUX if options.flux else ()
                if options.clients and not all(map(installed, CLIENTS)):
                    names.append("clients")
                for binary in build.ensure(names, _say).values():
                    _say(str(binary))
                _say(f"all binaries are there ({build.clock(time.monotonic() - began)})")
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was started is stopped again", file=sys.stderr)
        return 130
    return 0


def _state(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--state", type=Path, default=DEFAULT_STATE, metavar="DIR", help="its state directory (default .local/cluster)"
    )


def _status(state: Path) -> int:
    cluster = Cluster.load(state)
    healthy = True
    for name in cluster.components:
        process = cluster.running(name)
        ready = process is not None and cluster.ready(name)
        healthy = healthy and ready
        condition = "ready" if ready else "not ready" if process else "stopped"
        print(f"{name:<24} {condition:<10} {process.pid if process else '-':<8} {cluster.layout.log(name)}")
    print(f"\nkubeconfig  {cluster.kubeconfig}\nAPI server  {cluster.server}\nPrometheus  {cluster.prometheus_url}")
    return 0 if healthy else 1


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
