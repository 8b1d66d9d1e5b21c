"""What a cluster is asked to be: given on the command line, remembered from before, or the default, in that order."""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.cluster.failure import ClusterError
from tests.cluster.machine import ADDRESS

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
DEFAULT_STATE = LOCAL / "cluster"
DEFAULT_KUBECONFIG = LOCAL / "kubeconfig"

Provider = Literal["local", "kind"]
NodeKind = Literal["simulated", "real"]
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """One port for each listener, on 127.0.0.1 or, where real pods have to reach it, on the real node's address."""

    prometheus: int = 9090
    apiserver: int = 6443
    etcd: int = 2379
    etcd_peer: int = 2380
    controller_manager: int = 10257
    scheduler: int = 10259
    kwok: int = 10247
    load_model: int = 9105
    containerd: int = 10256
    kubelet: int = 10250
    kubelet_health: int = 10248
    proxy_health: int = 10255
    proxy_metrics: int = 10249
    state_metrics: int = 10254
    state_metrics_telemetry: int = 10253

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Lay all ports in a row from ``base``, in the order of the fields; for clusters beside the default one."""
        names = [field.name for field in dataclasses.fields(cls)]
        if not 1024 <= base <= 65536 - len(names):
            raise ClusterError(f"the base port must lie between 1024 and {65536 - len(names)}, not {base}")
        return cls(**{name: base + offset for offset, name in enumerate(names)})


@dataclass(frozen=True)
class Options:
    """What the caller asks for; None means: as it was when the state was kept, else the default."""

    state: Path = DEFAULT_STATE
    ports: int | Ports | None = None
    """All ports, or the first of a row of them."""
    prometheus_port: int | None = None
    apiserver_port: int | None = None
    nodes: int | None = None
    kubeconfig: Path | None = None
    prometheus_scrape: str | None = None
    """``host:port`` of the load model."""
    load_model: bool | None = None
    """Start the load model, if its folder is there."""
    provider: Provider | None = None
    node: NodeKind | None = None
    """Simulated nodes, or this machine as a real one."""


@dataclass(frozen=True)
class Settings:
    """Everything that is decided; written to ``cluster.json`` so that any later command finds the same cluster."""

    state: Path
    kubeconfig: Path
    ports: Ports = Ports()
    nodes: int = 6
    prometheus_scrape: str = f"127.0.0.1:{Ports.load_model}"
    load_model: bool = True
    provider: Provider = "local"
    node: NodeKind = "simulated"

    @property
    def real(self) -> bool:
        """Whether this machine is the node."""
        return self.node == "real"

    @property
    def address(self) -> str:
        """Where the API server and Prometheus listen: where pods reach them, if there are any that run."""
        return ADDRESS if self.real else LOOPBACK

    @property
    def server(self) -> str:
        return f"https://{self.address}:{self.ports.apiserver}"

    @property
    def prometheus_url(self) -> str:
        return f"http://{self.address}:{self.ports.prometheus}"

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "state": str(self.state), "kubeconfig": str(self.kubeconfig)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Settings:
        return cls(
            **{
                **raw,
                "state": Path(raw["state"]),
                "kubeconfig": Path(raw["kubeconfig"]),
                "ports": Ports(**raw["ports"]),
            }
        )


def resolve(options: Options, kept: Settings | None) -> Settings:
    """Decide the settings from what was asked now and what was kept; refuses what cannot be."""
    state = options.state.resolve()
    if kept is None:
        own_kubeconfig = DEFAULT_KUBECONFIG if state == DEFAULT_STATE else state / "kubeconfig"
        kept = Settings(state=state, kubeconfig=own_kubeconfig)
    ports = options.ports if isinstance(options.ports, Ports) else kept.ports
    if isinstance(options.ports, int):
        ports = Ports.from_base(options.ports)
    single = {"prometheus": options.prometheus_port, "apiserver": options.apiserver_port}
    ports = dataclasses.replace(ports, **{name: port for name, port in single.items() if port is not None})
    scrape = options.prometheus_scrape
    if scrape is None:
        moved = ports.load_model != kept.ports.load_model
        scrape = f"127.0.0.1:{ports.load_model}" if moved else kept.prometheus_scrape
    ports = dataclasses.replace(ports, load_model=_loopback_port(scrape))
    _refuse_shared(ports)
    nodes = kept.nodes if options.nodes is None else options.nodes
    if not 1 <= nodes <= 250:
        raise ClusterError(f"between 1 and 250 nodes can be had, not {nodes}")
    node = options.node or kept.node
    provider = options.provider or kept.provider
    return Settings(
        state=state,
        kubeconfig=options.kubeconfig.resolve() if options.kubeconfig else kept.kubeconfig,
        ports=ports,
        nodes=nodes,
        prometheus_scrape=scrape,
        load_model=(kept.load_model if options.load_model is None else options.load_model) and node != "real",
        provider=provider,
        node=node,
    )


def _loopback_port(address: str) -> int:
    host, _, port = address.rpartition(":")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback or not port.isdigit():
        raise ClusterError(f"the load model's address must be 127.0.0.1:PORT, not {address!r}")
    return int(port)


def _refuse_shared(ports: Ports) -> None:
    taken: dict[int, str] = {}
    for name, port in dataclasses.asdict(ports).items():
        if port in taken:
            raise ClusterError(f"{name} and {taken[port]} cannot both have port {port}")
        taken[port] = name
