"""A kind cluster with a Prometheus: the node of `NODE=real`, in a container."""

from __future__ import annotations

import ipaddress
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import build, kind
from tests.cluster.archive import write_image
from tests.cluster.failure import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.settings import LOCAL, Options, Settings, resolve
from tests.support.clients import call

STATE = LOCAL / "kind-test"
PORTS = 27560
MONITORING = Path(__file__).with_name("monitoring.yaml")
RANGES = ("10.96.0.0/16", "10.244.0.0/16")
"""Addresses of Services and pods: this machine sends requests to them."""


@dataclass(frozen=True)
class KindCluster:
    """What the tests ask of a cluster."""

    settings: Settings
    prometheus_url: str = "http://prometheus-server.monitoring.svc"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.settings.kubeconfig

    @property
    def name(self) -> str:
        """kind's name for it."""
        return kind.name_of(self.settings.state)

    @property
    def node(self) -> str:
        """The container that is the node."""
        return f"{self.name}-control-plane"

    def restart(self, name: str) -> None:
        """Restart a service of the node, such as containerd."""
        _run("docker", "exec", self.node, "systemctl", "restart", name)

    def load(self, archives: list[Path]) -> None:
        """Put images on the node."""
        for archive in archives:
            kind.run("load", "image-archive", str(archive), "--name", self.name)


@contextmanager
def running(say: Callable[[str], None]) -> Iterator[KindCluster]:
    """The cluster with its Prometheus, while the block lasts."""
    kind.require()
    settings = resolve(Options(state=STATE, ports=PORTS, provider="kind", node="real"), None)
    cluster = KindCluster(settings)
    kind.delete(settings.state)  # what a run that was killed left; none is no error
    try:
        kind.create(settings, Layout(settings.state), say)
        _route(cluster.node)
        _monitor(cluster, say)
        yield cluster
    finally:
        for each in RANGES:
            subprocess.run(["ip", "route", "delete", each], check=False, capture_output=True)
        kind.delete(settings.state)


def _route(node: str) -> None:
    """Send what is for pods and Services to the node."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    address = _run("docker", "inspect", "--format", form, node).split()[0]
    for each in RANGES:
        _run("ip", "route", "replace", each, "via", str(ipaddress.ip_address(address)))


def _monitor(cluster: KindCluster, say: Callable[[str], None]) -> None:
    binaries = build.ensure(["discovering-prometheus", "statemetrics"], say)
    with tempfile.TemporaryDirectory() as folder:
        archives = []
        for name, binary in (("prometheus", "discovering-prometheus"), ("kube-state-metrics", "statemetrics")):
            archive = Path(folder, f"{name}.tar")
            write_image(archive, [f"localhost/{name}:built"], {f"/{name}": binaries[binary]}, Entrypoint=[f"/{name}"])
            archives.append(archive)
        cluster.load(archives)
    call("kubectl", "apply", "-f", str(MONITORING), kubeconfig=cluster.kubeconfig)
    wait = ["rollout", "status", "deployment/prometheus-server", "-n", "monitoring", "--timeout=120s"]
    call("kubectl", *wait, kubeconfig=cluster.kubeconfig)


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command[:3])} failed: {done.stderr.strip()}")
    return done.stdout
