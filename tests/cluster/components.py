"""What each component is: its binary, its flags, and how it says that it is ready. Data only; nothing is run here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.cluster import realnode
from tests.cluster.component import Component
from tests.cluster.layout import Layout
from tests.cluster.pki import ETCD_CLIENT, KUBELET_CLIENT
from tests.cluster.settings import ROOT, Settings

HERE = Path(__file__).resolve().parent
AUDIT_POLICY = HERE / "controlplane" / "audit-policy.yaml"
KWOK_STAGES = HERE / "kwok" / "config.yaml"

SERVICE_RANGE = "172.30.0.0/16"
"""Outside 10.0.0.0/8, which the nodes share out among their pods."""

ETCD, APISERVER = "etcd", "kube-apiserver"
CONTROLLER_MANAGER, SCHEDULER = "kube-controller-manager", "kube-scheduler"
KWOK, PROMETHEUS, LOAD_MODEL = "kwok", "prometheus", "load-model"


def components(settings: Settings, binaries: Mapping[str, Path]) -> dict[str, Component]:
    """Return the cluster's own processes by name, in the order in which they depend on each other."""
    layout = Layout(settings.state)
    chosen = []
    if settings.provider == "local":
        binary = binaries["controlplane"]
        chosen += [
            _etcd(settings, layout, binaries.get("etcd", binary)),
            _apiserver(settings, layout, binary),
            _controller_manager(settings, layout, binary),
            _scheduler(settings, layout, binary),
        ]
    if settings.real:
        chosen += realnode.components(settings, layout, binaries)
        chosen.append(_prometheus(settings, layout, binaries["discovering-prometheus"]))
    else:
        chosen += [_kwok(settings, layout, binaries["kwok"]), _prometheus(settings, layout, binaries["prometheus"])]
    if settings.load_model and (HERE / "loadmodel" / "__main__.py").exists():
        chosen.append(_load_model(settings))
    return {component.name: component for component in chosen}


def _etcd(settings: Settings, layout: Layout, binary: Path) -> Component:
    pki, ports = layout.pki, settings.ports
    client, peer = f"https://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    return Component(
        ETCD,
        binary,
        (
            "--name=local",
            f"--data-dir={layout.etcd}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=local={peer}",
            f"--cert-file={pki.cert('server')}",
            f"--key-file={pki.key('server')}",
            f"--trusted-ca-file={pki.ca}",
            "--client-cert-auth",
            "--unsafe-no-fsync",  # A test cluster need not survive a power cut; it does survive a killed process.
            f"--quota-backend-bytes={8 * 2**30}",
            "--log-level=warn",
        ),
        f"{client}/readyz",
    )


def _apiserver(settings: Settings, layout: Layout, binary: Path) -> Component:
    pki, ports = layout.pki, settings.ports
    return Component(
        APISERVER,
        binary,
        (
            f"--bind-address={settings.address}",
            f"--secure-port={ports.apiserver}",
            f"--advertise-address={settings.address}",
            *_for_pods(settings, layout),
            f"--etcd-servers=https://127.0.0.1:{ports.etcd}",
            f"--etcd-cafile={pki.ca}",
            f"--etcd-certfile={pki.cert(ETCD_CLIENT.name)}",
            f"--etcd-keyfile={pki.key(ETCD_CLIENT.name)}",
            f"--tls-cert-file={pki.cert('server')}",
            f"--tls-private-key-file={pki.key('server')}",
            f"--client-ca-file={pki.ca}",
            "--anonymous-auth=false",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",  # As in any cluster that people install: tests ask who may make such pods.
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-signing-key-file={pki.service_account_key}",
            f"--service-account-key-file={pki.service_account_key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--audit-policy-file={AUDIT_POLICY}",
            f"--audit-log-path={layout.audit_log}",
            "--audit-log-mode=blocking",  # A request that was answered is in the log: tests read it right after.
            "--audit-log-maxsize=500",
            "--audit-log-maxbackup=2",
            "--profiling=false",
            "--shutdown-watch-termination-grace-period=1s",  # Else a stop waits for watches to end by themselves.
        ),
        f"{settings.server}/readyz",
    )


def _for_pods(settings: Settings, layout: Layout) -> list[str]:
    """What an API server needs for pods that run: to be found by them, and to ask their kubelet for their logs."""
    if not settings.real:
        return ["--endpoint-reconciler-type=none"]  # Endpoints may not name loopback addresses.
    pki = layout.pki
    return [
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={pki.ca}",
        f"--kubelet-client-certificate={pki.cert(KUBELET_CLIENT.name)}",
        f"--kubelet-client-key={pki.key(KUBELET_CLIENT.name)}",
    ]


def _controller_manager(settings: Settings, layout: Layout, binary: Path) -> Component:
    pki, port = layout.pki, settings.ports.controller_manager
    return Component(
        CONTROLLER_MANAGER,
        binary,
        (
            *_authenticated(layout, "controller-manager", port),
            f"--kubeconfig={layout.kubeconfig('controller-manager')}",
            f"--root-ca-file={pki.ca}",
            f"--service-account-private-key-file={pki.service_account_key}",
            "--use-service-account-credentials",
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--node-monitor-period=1s",
            "--concurrent-deployment-syncs=20",
            "--concurrent-replicaset-syncs=20",
            "--concurrent-statefulset-syncs=20",
            "--concurrent-daemonset-syncs=5",
            "--concurrent-namespace-syncs=20",
            "--concurrent-gc-syncs=20",
            "--kube-api-qps=2000",
            "--kube-api-burst=4000",
        ),
        f"https://127.0.0.1:{port}/healthz",
    )


def _scheduler(settings: Settings, layout: Layout, binary: Path) -> Component:
    port = settings.ports.scheduler
    return Component(
        SCHEDULER,
        binary,
        (*_authenticated(layout, "scheduler", port), f"--config={layout.config('scheduler.yaml')}"),
        f"https://127.0.0.1:{port}/readyz",
    )


def _authenticated(layout: Layout, identity: str, port: int) -> tuple[str, ...]:
    """Flags of a component that serves on loopback and asks the API server who is calling it."""
    kubeconfig = layout.kubeconfig(identity)
    return (
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={layout.pki.cert('server')}",
        f"--tls-private-key-file={layout.pki.key('server')}",
        f"--client-ca-file={layout.pki.ca}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--profiling=false",
    )


def _kwok(settings: Settings, layout: Layout, binary: Path) -> Component:
    listen = f"127.0.0.1:{settings.ports.kwok}"
    kubeconfig = layout.kubeconfig("kwok") if settings.provider == "local" else settings.kubeconfig
    return Component(
        KWOK,
        binary,
        (f"--config={KWOK_STAGES}", f"--kubeconfig={kubeconfig}", f"--server-address={listen}", "--v=WARN"),
        f"http://{listen}/healthz",
        {"KWOK_WORKDIR": str(layout.state / "kwok")},  # Otherwise a configuration in the home folder is read too.
    )


def _prometheus(settings: Settings, layout: Layout, binary: Path) -> Component:
    return Component(
        PROMETHEUS,
        binary,
        (
            f"--config.file={layout.config('prometheus.yaml')}",
            f"--storage.tsdb.path={layout.prometheus / 'data'}",
            "--storage.tsdb.retention.time=2d",
            f"--web.listen-address={settings.address}:{settings.ports.prometheus}",
            "--log.level=warn",
        ),
        f"{settings.prometheus_url}/-/ready",
    )


def _load_model(settings: Settings) -> Component:
    return Component(
        LOAD_MODEL,
        Path(sys.executable),
        (
            "-m",
            "tests.cluster.loadmodel",
            f"--kubeconfig={settings.kubeconfig}",
            f"--listen={settings.prometheus_scrape}",
        ),
        f"http://{settings.prometheus_scrape}/healthz",
        {"PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}", "PYTHONUNBUFFERED": "1"},
        called=sys.executable,  # Python finds its virtual environment by the name it is called by.
    )
