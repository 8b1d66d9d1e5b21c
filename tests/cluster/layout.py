"""Where things lie in a state directory. ``down`` removes all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.pki import Pki


@dataclass(frozen=True)
class Layout:
    """The files of one cluster."""

    state: Path

    @property
    def settings(self) -> Path:
        """What the cluster is; its presence is what makes a folder a state directory."""
        return self.state / "cluster.json"

    @property
    def pki(self) -> Pki:
        return Pki(self.state / "pki")

    @property
    def processes(self) -> Path:
        return self.state / "pids"

    @property
    def etcd(self) -> Path:
        return self.state / "etcd"

    @property
    def prometheus(self) -> Path:
        return self.state / "prometheus"

    @property
    def scrape_targets(self) -> Path:
        """Drop a file of Prometheus' ``file_sd`` format here, and what it names is scraped too, at once."""
        return self.prometheus / "targets"

    @property
    def audit_log(self) -> Path:
        return self.state / "logs" / "audit.log"

    def log(self, component: str) -> Path:
        return self.state / "logs" / f"{component}.log"

    def config(self, name: str) -> Path:
        return self.state / "config" / name

    def kubeconfig(self, identity: str) -> Path:
        return self.config(f"{identity}.kubeconfig")
