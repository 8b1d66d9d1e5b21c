"""The configuration files that components read, written anew at each start."""

from __future__ import annotations

from typing import Any

import yaml

from tests.cluster import pki, realnode
from tests.cluster.kubeconfig import write_kubeconfig
from tests.cluster.layout import Layout
from tests.cluster.settings import Settings


def write_configs(settings: Settings) -> None:
    """Write everything the components of ``settings`` read, and the user's kubeconfig."""
    layout = Layout(settings.state)
    layout.audit_log.parent.mkdir(parents=True, exist_ok=True)
    layout.scrape_targets.mkdir(parents=True, exist_ok=True)
    _write(layout, "prometheus.yaml", prometheus_config(settings))
    if settings.provider != "local":
        return  # kind wrote its own
    layout.pki.ensure()
    _write(layout, "scheduler.yaml", scheduler_config(layout))
    if settings.real:
        for name, text in realnode.configs(settings, layout).items():
            file = layout.config(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    nodes = (pki.KUBELET, pki.PROXY) if settings.real else (pki.KWOK,)
    for identity in (pki.CONTROLLER_MANAGER, pki.SCHEDULER, *nodes, pki.ADMIN):
        write_kubeconfig(
            settings.kubeconfig if identity is pki.ADMIN else layout.kubeconfig(identity.name),
            settings.server,
            layout.pki.ca,
            client_cert=layout.pki.cert(identity.name),
            client_key=layout.pki.key(identity.name),
            user=identity.name,
        )


def prometheus_config(settings: Settings) -> dict[str, Any]:
    """Scrape the load model each second; it names pods and namespaces itself, so its labels are kept as they are.

    On a real node, what there really is: see `realnode.prometheus`.
    """
    targets = Layout(settings.state).scrape_targets
    if settings.real:
        return realnode.prometheus(settings, Layout(settings.state))
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "5s"},
        "scrape_configs": [
            {
                "job_name": "load-model",
                "honor_labels": True,
                "static_configs": [{"targets": [settings.prometheus_scrape]}],
            },
            {
                "job_name": "more",
                "file_sd_configs": [{"files": [f"{targets}/*.json", f"{targets}/*.yaml"], "refresh_interval": "5s"}],
            },
        ],
    }


def scheduler_config(layout: Layout) -> dict[str, Any]:
    """Let the scheduler keep up with thousands of pods, and retry soon what did not fit."""
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {
            "kubeconfig": str(layout.kubeconfig(pki.SCHEDULER.name)),
            "qps": 2000,
            "burst": 4000,
        },
        "podInitialBackoffSeconds": 1,
        "podMaxBackoffSeconds": 2,
    }


def _write(layout: Layout, name: str, content: dict[str, Any]) -> None:
    file = layout.config(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(content, sort_keys=False))
