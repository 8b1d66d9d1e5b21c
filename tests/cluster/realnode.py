"""The processes of a real node: containerd, kubelet, kube-proxy; and kube-state-metrics, which pods are counted by."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import pki
from tests.cluster.component import Component
from tests.cluster.failure import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.machine import ADDRESS, BRIDGE, CGROUP, CNI, PODS
from tests.cluster.settings import LOOPBACK, Settings

CONTAINERD, KUBELET, PROXY, STATE_METRICS = "containerd", "kubelet", "kube-proxy", "kube-state-metrics"
RUNTIME = (KUBELET, CONTAINERD)
NODE = "real-1"
PAUSE = "localhost/pause:1"


def components(settings: Settings, layout: Layout, binaries: Mapping[str, Path]) -> list[Component]:
    """In the order in which they depend on each other."""
    ports, state = settings.ports, layout.state
    containerd = Path(shutil.which(CONTAINERD) or f"/usr/bin/{CONTAINERD}")
    return [
        Component(
            CONTAINERD,
            containerd,
            (f"--config={layout.config('containerd.toml')}",),
            f"http://{LOOPBACK}:{ports.containerd}/v1/metrics",
        ),
        Component(
            KUBELET,
            binaries["node"],
            (
                f"--config={layout.config('kubelet.yaml')}",
                f"--kubeconfig={layout.kubeconfig(pki.KUBELET.name)}",
                f"--root-dir={state / 'kubelet'}",
                f"--cert-dir={state / 'kubelet' / 'pki'}",
                f"--hostname-override={NODE}",
                f"--node-ip={ADDRESS}",
                "--node-labels=topology.kubernetes.io/region=local,topology.kubernetes.io/zone=a",
                # cAdvisor looks this often at what containers use; the default of 10 s is for nodes of a hundred pods.
                "--housekeeping-interval=1s",
            ),
            f"http://{LOOPBACK}:{ports.kubelet_health}/healthz",
            {"CADVISOR_CONTAINERD": str(socket(layout))},
        ),
        Component(
            PROXY,
            binaries["node"],
            (f"--config={layout.config('kube-proxy.yaml')}",),
            f"http://{LOOPBACK}:{ports.proxy_health}/livez",
        ),
        Component(
            STATE_METRICS,
            binaries["statemetrics"],
            (
                f"--kubeconfig={settings.kubeconfig}",
                f"--host={LOOPBACK}",
                f"--port={ports.state_metrics}",
                f"--telemetry-host={LOOPBACK}",
                f"--telemetry-port={ports.state_metrics_telemetry}",
                "--resources=pods,deployments",
            ),
            f"http://{LOOPBACK}:{ports.state_metrics}/healthz",
        ),
    ]


def socket(layout: Layout) -> Path:
    """Where containerd listens."""
    return layout.state / "containerd.sock"


def configs(settings: Settings, layout: Layout) -> dict[str, str]:
    """The files they read, by name."""
    return {
        "containerd.toml": _containerd(settings, layout),
        "cni/10-bridge.conflist": json.dumps(_cni(layout)),
        "kubelet.yaml": yaml.safe_dump(_kubelet(settings, layout), sort_keys=False),
        "kube-proxy.yaml": yaml.safe_dump(_kube_proxy(settings, layout), sort_keys=False),
    }


def import_image(layout: Layout, archive: Path) -> None:
    """Hand the image of an archive to containerd."""
    command = ["ctr", "--address", str(socket(layout)), "--namespace", "k8s.io", "images", "import", str(archive)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{archive.name} could not be imported: {done.stderr.strip()}")


def _containerd(settings: Settings, layout: Layout) -> str:
    """Without `restrict_oom_score_adj`, runc fails where the launcher itself may not lower its own score."""
    return f"""\
version = 2
root = "{layout.state / "containerd"}"
state = "{layout.state / "run"}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{socket(layout)}"
[ttrpc]
  address = "{socket(layout)}.ttrpc"
[metrics]
  address = "{LOOPBACK}:{settings.ports.containerd}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
    conf_dir = "{layout.config("cni")}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.internal.v1.opt"]
  path = "{layout.state / "opt"}"
"""


def _cni(layout: Layout) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(layout.state / "addresses"),
            "ranges": [[{"subnet": PODS, "rangeStart": "10.77.1.0", "gateway": ADDRESS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "0.4.0", "name": "resilience", "plugins": [bridge]}


def _kubelet(settings: Settings, layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "port": settings.ports.kubelet,
        "healthzBindAddress": LOOPBACK,
        "healthzPort": settings.ports.kubelet_health,
        "tlsCertFile": str(layout.pki.cert("server")),
        "tlsPrivateKeyFile": str(layout.pki.key("server")),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(layout.pki.ca)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{socket(layout)}",
        "podLogsDir": str(layout.state / "pod-logs"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        # Rules of its own that it would not take away again; kube-proxy makes all that Services need.
        "makeIPTablesUtilChains": False,
        "failSwapOn": False,
        "resolvConf": "",
        "nodeStatusUpdateFrequency": "2s",
        "syncFrequency": "5s",
        # A full disk is not what is tested here.
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "serializeImagePulls": False,
    }


def _kube_proxy(settings: Settings, layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": NODE,
        "bindAddress": ADDRESS,
        "clusterCIDR": PODS,
        "clientConnection": {"kubeconfig": str(layout.kubeconfig(pki.PROXY.name))},
        "healthzBindAddress": f"{LOOPBACK}:{settings.ports.proxy_health}",
        "metricsBindAddress": f"{LOOPBACK}:{settings.ports.proxy_metrics}",
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        # The machine's own table of connections is left as it is.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
    }


def prometheus(settings: Settings, layout: Layout) -> dict[str, Any]:
    """Pods that ask for it by annotation, cAdvisor's numbers from the kubelet, requests from kube-state-metrics."""
    who, ca = pki.PROMETHEUS.name, {"ca_file": str(layout.pki.ca)}
    tls = ca | {"cert_file": str(layout.pki.cert(who)), "key_file": str(layout.pki.key(who))}
    discovery = {"api_server": settings.server, "tls_config": tls}
    annotation = "__meta_kubernetes_pod_annotation_prometheus_io"
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "5s"},
        "scrape_configs": [
            {
                "job_name": "pods",
                "kubernetes_sd_configs": [{"role": "pod", **discovery}],
                "relabel_configs": [
                    {"source_labels": [f"{annotation}_scrape"], "regex": "true", "action": "keep"},
                    {
                        "source_labels": ["__meta_kubernetes_pod_ip", f"{annotation}_port"],
                        "separator": ":",
                        "target_label": "__address__",
                    },
                    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
                    {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
                ],
            },
            {
                "job_name": "cadvisor",
                "scheme": "https",
                "tls_config": tls,
                "metrics_path": "/metrics/cadvisor",
                "honor_timestamps": False,
                "kubernetes_sd_configs": [{"role": "node", **discovery}],
            },
            {
                "job_name": "kube-state-metrics",
                "honor_labels": True,
                "static_configs": [{"targets": [f"{LOOPBACK}:{settings.ports.state_metrics}"]}],
            },
        ],
    }
