"""Bringing a cluster up and down, and the handle on a running one."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import build, components, drain, installed, kind, machine, objects, pause, processes, realnode
from tests.cluster.component import Component
from tests.cluster.configs import write_configs
from tests.cluster.failure import ClusterError, ComponentError
from tests.cluster.httpclient import Http
from tests.cluster.layout import Layout
from tests.cluster.locking import exclusive
from tests.cluster.pki import ADMIN
from tests.cluster.processes import Records
from tests.cluster.settings import DEFAULT_STATE, ROOT, Options, Settings, resolve

READY_WITHIN = 60.0
"""Seconds a component may take to become ready. The slowest needs four on an idle machine."""

_FIRST = (components.ETCD, components.PROMETHEUS)
_POLL = 0.05

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up, or whose state was kept; tests stop and start its parts through this."""

    settings: Settings
    binaries: dict[str, Path]

    @classmethod
    def load(cls, state: Path = DEFAULT_STATE) -> Cluster:
        """Find the cluster of a state directory again."""
        found = _recall(state)
        if found is None:
            raise ClusterError(f"there is no cluster in {state}; start one with: python -m tests.cluster up")
        return found

    @property
    def state(self) -> Path:
        return self.settings.state

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.settings.kubeconfig

    @property
    def server(self) -> str:
        return self.settings.server

    @property
    def prometheus_url(self) -> str:
        return self.settings.prometheus_url

    @property
    def ca_file(self) -> Path:
        return self.layout.pki.ca

    @property
    def audit_log(self) -> Path:
        """One JSON object a line, for each request that did not come from the cluster's own parts."""
        return self.layout.audit_log

    @property
    def layout(self) -> Layout:
        return Layout(self.settings.state)

    @property
    def components(self) -> dict[str, Component]:
        return components.components(self.settings, self.binaries)

    def running(self, name: str) -> processes.Process | None:
        """Return the component's process, if it runs."""
        return Records(self.layout.processes).running(name)

    def ready(self, name: str) -> bool:
        """Whether the component answers that it serves."""
        return self._http().ok(self._component(name).ready_url)

    def start(self, name: str, timeout: float = READY_WITHIN) -> None:
        """Start one component and return when it is ready; one that runs is left alone."""
        component = self._component(name)
        self._launch([component])
        self._await([component], timeout)

    def stop(self, name: str, grace: float = 10.0) -> None:
        """End one component and return when it is gone; with ``grace=0`` it is killed."""
        self._component(name)
        self._halt([name], grace)

    def restart(self, name: str, grace: float = 10.0) -> None:
        self.stop(name, grace)
        self.start(name)

    def _component(self, name: str) -> Component:
        try:
            return self.components[name]
        except KeyError:
            raise ClusterError(f"there is no component {name!r}; there are: {', '.join(self.components)}") from None

    def _http(self) -> Http:
        pki = self.layout.pki
        return Http(pki.ca, pki.cert(ADMIN.name), pki.key(ADMIN.name))

    def _launch(self, wanted: Iterable[Component]) -> None:
        """Start those that do not run."""
        records = Records(self.layout.processes)
        for component in wanted:
            if records.running(component.name):
                continue
            process = processes.spawn(
                component.argv,
                executable=component.executable,
                log=self.layout.log(component.name),
                cwd=ROOT,
                env=component.environment,
            )
            records.write(component.name, process)

    def _await(self, wanted: Sequence[Component], timeout: float) -> None:
        """Return when all are ready; raises for the first that ended, or is not ready in time."""
        http, deadline = self._http(), time.monotonic() + timeout
        waiting = list(wanted)
        while waiting := [component for component in waiting if not http.ok(component.ready_url)]:
            for component in waiting:
                if not self.running(component.name):
                    raise ComponentError(component.name, "ended while starting", self.layout.log(component.name))
                if time.monotonic() > deadline:
                    why = f"was not ready within {timeout:.0f} s"
                    raise ComponentError(component.name, why, self.layout.log(component.name))
            time.sleep(_POLL)

    def _await_objects(self) -> None:
        http, deadline = self._http(), time.monotonic() + READY_WITHIN
        nodes, name, who = self.settings.nodes, None, components.KWOK
        if self.settings.real:
            nodes, name, who = 0, realnode.NODE, realnode.KUBELET
        while (lacking := objects.missing(http, self.server, nodes, name)) is not None:
            if time.monotonic() > deadline:
                raise ComponentError(who, f"runs, but {lacking}", self.layout.log(who))
            time.sleep(_POLL)

    def _halt(self, names: Iterable[str], grace: float) -> None:
        records, names = Records(self.layout.processes), list(names)
        processes.stop([process for name in names if (process := records.running(name)) is not None], grace)
        for name in names:
            records.forget(name)


def up(options: Options | None = None, say: Say = print, *, use_installed: bool = False) -> Cluster:
    """Start what does not run yet of the cluster, and return when pods can be created in it.

    use_installed: take etcd and Prometheus of this machine where their versions fit.
    """
    options = options or Options()
    state = options.state.resolve()
    kept = _recall(state)
    provider = options.provider or (kept.settings.provider if kept else "local")
    real = (options.node or (kept.settings.node if kept else None)) == "real"
    if provider == "kind" and real:
        raise ClusterError("kind's node runs pods without --node real; tests of it: make test NODE=kind")
    if provider == "kind":
        kind.require()
    if real and not (kept and any(map(kept.running, kept.components))):
        machine.require()
    wanted = build.REAL_NODE if real else build.CLUSTER
    names = [name for name in wanted if provider == "local" or name != "controlplane"]
    own = installed.servers(names, say) if use_installed else {}
    binaries = {**build.ensure([name for name in names if name not in own], say), **own}
    _refuse_foreign(state)
    with exclusive(state):
        kept = _recall(state)
        cluster = Cluster(resolve(options, kept.settings if kept else None), binaries)
        if kept and any(map(kept.running, kept.components)):
            _refuse_change(kept.settings, cluster.settings)
        if not cluster.settings.load_model:
            cluster._halt([components.LOAD_MODEL], grace=5)
        lacking = [name for name in cluster.components if not cluster.running(name)]
        if not lacking:
            _remember(cluster)
            say(f"the cluster in {state} is running already")
            return cluster
        _refuse_taken_ports(cluster, lacking)
        _remember(cluster)
        _bring_up(cluster, say)
    return cluster


def down(state: Path = DEFAULT_STATE, *, keep: bool = False, say: Say = print) -> None:
    """Stop exactly what was started, wait until it is gone, and remove the state (unless it is to be kept)."""
    state = state.resolve()
    if _recall(state) is None:
        say(f"there is no cluster in {state}")
        return
    with exclusive(state):
        cluster = _recall(state)
        if cluster is None:
            return
        # Clients before the servers they hold connections to: a server waits for them.
        names = Records(cluster.layout.processes).names()
        servers = [components.APISERVER, components.ETCD]
        if cluster.settings.real:
            cluster._halt([components.CONTROLLER_MANAGER, components.SCHEDULER], grace=5)
            drain.drain(cluster._http(), cluster.server, cluster.layout, say)
            servers = [*realnode.RUNTIME, *servers]
        cluster._halt([name for name in names if name not in servers], grace=5)
        for name in servers:
            cluster._halt([name], grace=10)
        if cluster.settings.real:
            machine.clean_up(state, cluster.binaries["node"], say)
        if keep:
            say(f"the cluster is stopped; its state is kept in {state}")
            return
        if cluster.settings.provider == "kind":
            kind.delete(state)
        cluster.kubeconfig.unlink(missing_ok=True)
        shutil.rmtree(state)
    say(f"the cluster is stopped, and {state} is removed")


def _bring_up(cluster: Cluster, say: Say) -> None:
    began, launched = time.monotonic(), [name for name in cluster.components if not cluster.running(name)]
    try:
        if cluster.settings.provider == "kind":
            kind.create(cluster.settings, cluster.layout, say)
        write_configs(cluster.settings)
        if cluster.settings.real:
            machine.make_network(cluster.state)
        parts = cluster.components
        cluster._launch(part for name, part in parts.items() if name in _FIRST)
        for name in (components.ETCD, components.APISERVER):
            if name in parts:
                cluster._launch([parts[name]])
                cluster._await([parts[name]], READY_WITHIN)
        objects.apply_objects(cluster._http(), cluster.server, *_objects(cluster.settings))
        if cluster.settings.real:
            cluster._launch([parts[realnode.CONTAINERD]])
            cluster._await([parts[realnode.CONTAINERD]], READY_WITHIN)
            archive = cluster.state / "pause.tar"
            pause.write_image(cluster.binaries["pause"], archive, realnode.PAUSE)
            realnode.import_image(cluster.layout, archive)
        cluster._launch(parts.values())
        cluster._await(list(parts.values()), READY_WITHIN)
        cluster._await_objects()
    except BaseException:
        cluster._halt(reversed(launched), grace=5)
        if cluster.settings.real:
            machine.clean_up(cluster.state, cluster.binaries["node"], say)
        raise
    say(
        f"cluster ready in {time.monotonic() - began:.1f} s: {', '.join(launched)}\n"
        f"  kubeconfig  {cluster.kubeconfig}\n"
        f"  API server  {cluster.server}\n"
        f"  Prometheus  {cluster.prometheus_url}\n"
        f"  logs        {cluster.state / 'logs'}"
    )


def _objects(settings: Settings) -> tuple[int, list[tuple[str, dict[str, Any]]]]:
    """How many nodes are made, and what those who serve them may."""
    if settings.real:
        return 0, objects.node_permissions()
    return settings.nodes, objects.kwok_permissions() if settings.provider == "local" else []


def _recall(state: Path) -> Cluster | None:
    try:
        raw: dict[str, Any] = json.loads(Layout(state.resolve()).settings.read_text())
    except FileNotFoundError:
        return None
    binaries = {name: Path(path) for name, path in raw["binaries"].items()}
    return Cluster(Settings.from_json(raw["settings"]), binaries)


def _remember(cluster: Cluster) -> None:
    binaries = {name: str(path) for name, path in cluster.binaries.items()}
    text = json.dumps({"settings": cluster.settings.to_json(), "binaries": binaries}, indent=2)
    cluster.layout.settings.write_text(text + "\n")


def _refuse_change(running: Settings, wanted: Settings) -> None:
    """A running cluster is what it was started as; only the load model beside it comes and goes."""
    if dataclasses.replace(running, load_model=wanted.load_model) != wanted:
        raise ClusterError(
            f"the cluster in {running.state} runs with other settings than these; stop it first: "
            f"python -m tests.cluster down --state {running.state}"
        )


def _refuse_foreign(state: Path) -> None:
    """The state directory is removed on ``down``: never take one that holds something else."""
    if state.exists() and (not state.is_dir() or (any(state.iterdir()) and not Layout(state).settings.exists())):
        raise ClusterError(f"{state} exists and is no cluster's state directory; choose another with --state")


def _refuse_taken_ports(cluster: Cluster, lacking: Sequence[str]) -> None:
    ports, local = cluster.settings.ports, cluster.settings.provider == "local"
    wanted = {
        components.ETCD: [ports.etcd, ports.etcd_peer],
        components.APISERVER: [ports.apiserver],
        components.CONTROLLER_MANAGER: [ports.controller_manager],
        components.SCHEDULER: [ports.scheduler],
        components.KWOK: [ports.kwok],
        components.PROMETHEUS: [ports.prometheus],
        components.LOAD_MODEL: [ports.load_model],
        realnode.CONTAINERD: [ports.containerd],
        realnode.KUBELET: [ports.kubelet_health],
        realnode.PROXY: [ports.proxy_health, ports.proxy_metrics],
        realnode.STATE_METRICS: [ports.state_metrics, ports.state_metrics_telemetry],
    }
    taken = [f"{port} ({name})" for name in lacking for port in wanted[name] if not is_free(port)]
    if taken:
        advice = "--ports BASE lays all of them in a free row" if local else "choose others with --ports BASE"
        raise ClusterError(f"in use on 127.0.0.1 by something else: port {', '.join(taken)}; {advice}")


def is_free(port: int) -> bool:
    """Whether nobody listens on that port of loopback."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
