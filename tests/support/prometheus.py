"""A Prometheus of a test's own, for what would harm those who share the cluster's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from tests.cluster import Cluster, build
from tests.support.operator import free_port, total
from tests.support.waiting import eventually


@contextmanager
def prometheus(cluster: Cluster, folder: Path, *flags: str) -> Iterator[str]:
    """Its address, while the block runs. It scrapes what the cluster's does; its data and its log go to `folder`."""
    binary = build.ensure(("prometheus",), print)["prometheus"]
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        str(binary),
        f"--config.file={cluster.layout.config('prometheus.yaml')}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        *flags,
    ]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            eventually(lambda: _page(url, "/-/ready"), "Prometheus is ready")
            yield url
        finally:
            process.terminate()


def queries_under_way(url: str) -> float:
    """Queries that a Prometheus works on, those among them for which nobody waits any more."""
    return total(_page(url, "/metrics"), "prometheus_engine_queries")


def _page(url: str, path: str) -> str:
    with urlopen(f"{url}{path}", timeout=30) as answer:
        return str(answer.read().decode())
