"""The same cluster where a container engine is at hand: kind's control plane, with our KWOK and Prometheus.

Its one real node keeps its taint, so that the workloads under test land on the simulated nodes as they do locally, and
their images are never pulled. The API server's audit log is not collected here.

The node's image is the one that kind publishes, or that of KIND_IMAGE. With KIND_IMAGE=built, `kindnode` builds one
without a registry.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import build, kindnode
from tests.cluster.failure import ClusterError
from tests.cluster.kubeconfig import write_private
from tests.cluster.layout import Layout
from tests.cluster.pki import ADMIN
from tests.cluster.settings import Settings

CONTROL_PLANE_TAINT = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


CGROUP_V1 = {"kind": "KubeletConfiguration", "failCgroupV1": False}
"""The kubelet refuses cgroup v1 unless told otherwise. It is deprecated, and works."""
BUILT = "built"
_CGROUP_V2 = Path("/sys/fs/cgroup/cgroup.controllers")
Say = Callable[[str], None]


def require() -> None:
    """Refuse, with what to do, where kind cannot work."""
    if shutil.which("docker") is None:
        raise ClusterError("--provider kind needs docker, which is not on PATH; --provider local does not")
    engine = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if engine.returncode != 0:
        why = (engine.stderr.strip() or engine.stdout.strip()).splitlines()
        raise ClusterError(f"--provider kind needs a running docker engine: {why[-1] if why else 'docker info failed'}")


def name_of(state: Path) -> str:
    """Return kind's name for the cluster of a state directory; two state directories never share one."""
    return f"resilience-{hashlib.sha256(str(state).encode()).hexdigest()[:8]}"


def config(settings: Settings) -> str:
    """Return kind's configuration: the API server on the port that was asked for, and the taint of its node."""
    patches: list[dict[str, Any]] = []
    if not settings.real:
        patches.append({"kind": "InitConfiguration", "nodeRegistration": {"taints": [CONTROL_PLANE_TAINT]}})
    if not _CGROUP_V2.exists():
        patches.append(CGROUP_V1)
    return yaml.safe_dump(
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {"apiServerAddress": "127.0.0.1", "apiServerPort": settings.ports.apiserver},
            "nodes": [{"role": "control-plane", "kubeadmConfigPatches": [yaml.safe_dump(patch) for patch in patches]}],
        },
        sort_keys=False,
    )


def create(settings: Settings, layout: Layout, say: Say) -> None:
    """Create kind's cluster, or find it again, and keep its credentials where the local one's would lie."""
    name = name_of(settings.state)
    if name not in run("get", "clusters").split():
        chosen = image(say)
        say(f"creating the kind cluster {name}")
        file = layout.config("kind.yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(config(settings))
        where = ["--config", str(file), "--kubeconfig", str(settings.kubeconfig), "--wait", "120s"]
        run("create", "cluster", "--name", name, *where, *([f"--image={chosen}"] if chosen else []))
    text = run("get", "kubeconfig", "--name", name)
    write_private(settings.kubeconfig, text.encode())
    credentials = yaml.safe_load(text)
    user = credentials["users"][0]["user"]
    for file, data in (
        (layout.pki.ca, credentials["clusters"][0]["cluster"]["certificate-authority-data"]),
        (layout.pki.cert(ADMIN.name), user["client-certificate-data"]),
        (layout.pki.key(ADMIN.name), user["client-key-data"]),
    ):
        write_private(file, base64.b64decode(data))


def delete(state: Path) -> None:
    """Delete the cluster of a state directory."""
    run("delete", "cluster", "--name", name_of(state))


def image(say: Say) -> str:
    """The node image to use; empty for the one that kind publishes."""
    wanted = os.environ.get("KIND_IMAGE", "")
    return kindnode.ensure(say) if wanted == BUILT else wanted


def program() -> str:
    """kind of this machine, or else a built one."""
    return shutil.which("kind") or str(build.ensure(["kind"], print)["kind"])


def run(*arguments: str) -> str:
    """Call kind, and return what it prints."""
    answer = subprocess.run([program(), *arguments], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise ClusterError(f"kind {' '.join(arguments)} failed:\n{answer.stderr.strip()}")
    return answer.stdout
