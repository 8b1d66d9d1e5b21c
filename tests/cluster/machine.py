"""What this machine has to have, to be a real node: and taking away again what a node leaves behind on it.

A node is more than its processes: a bridge, mounts, rules of the packet filter, cgroups. All of them bear names of
their own, so that what is removed is what was made here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.failure import ClusterError

BRIDGE = "resilience0"
ADDRESS = "10.77.0.1"
"""The node's, on its bridge: pods, the API server and Prometheus meet there. No other machine has a route to it."""
PODS = "10.77.0.0/16"
CGROUP = "resilience"
CNI = Path("/usr/lib/cni")
_CGROUPS = Path("/sys/fs/cgroup")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_CHAIN = "KUBE-FIREWALL"
_LEFT_BY_CLEANUP = [["-D", "INPUT", "-j", _CHAIN], ["-D", "OUTPUT", "-j", _CHAIN]]
"""What `kube-proxy --cleanup` does not take away."""
_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
}


def lacking() -> list[str]:
    """What a real node needs and this machine does not have, in words; empty when all is there."""
    if sys.platform != "linux":
        return [f"Linux (this is {sys.platform})"]
    found = [] if os.geteuid() == 0 else ["root (sudo -E)"]
    packages = [package for tool, package in _PACKAGES.items() if shutil.which(tool) is None]
    packages += [] if (CNI / "bridge").exists() else ["containernetworking-plugins"]
    return found + ([f"apt-get install {' '.join(packages)}"] if packages else [])


def require() -> None:
    """Refuse, with what to do, where this machine cannot be a node."""
    if wanted := lacking():
        raise ClusterError(f"a real node needs: {'; '.join(wanted)}")
    if subprocess.run(["iptables", "-w", "-S", _CHAIN], check=False, capture_output=True).returncode == 0:
        raise ClusterError(f"there is a chain {_CHAIN} in iptables: this machine is a node of another cluster already")
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        raise ClusterError(f"there is a bridge {BRIDGE} already: one real node a machine; stop the other cluster first")


def make_network(state: Path) -> None:
    """The bridge, with the node's address on it, and a cgroup for all pods."""
    (state / "ip_forward").write_text(_FORWARDING.read_text())
    _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "address", "add", f"{ADDRESS}/16", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    for hierarchy in _hierarchies():
        (hierarchy / CGROUP).mkdir(exist_ok=True)


def clean_up(state: Path, proxy: Path, say: Callable[[str], None]) -> None:
    """Remove the bridge, the mounts below `state`, the packet filter's rules and the cgroups."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if Path(m).is_relative_to(state)), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    subprocess.run(["kube-proxy", "--cleanup"], executable=proxy, check=False, capture_output=True)
    for filtering in ("iptables", "ip6tables"):
        for rule in (*_LEFT_BY_CLEANUP, ["-F", _CHAIN], ["-X", _CHAIN]):
            subprocess.run([filtering, "-w", *rule], check=False, capture_output=True)
    subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)
    if (state / "ip_forward").exists():  # the bridge's plugin turns it on
        _FORWARDING.write_text((state / "ip_forward").read_text())
    for hierarchy in _hierarchies():
        _remove_cgroup(hierarchy / CGROUP)
        if (hierarchy / CGROUP).exists():
            say(f"left behind: {hierarchy / CGROUP}")


def _hierarchies() -> list[Path]:
    """Where cgroups live: one tree (v2), or one for each controller (v1)."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [each for each in _CGROUPS.iterdir() if each.is_dir() and not each.is_symlink()]


def _remove_cgroup(folder: Path) -> None:
    for _ in range(50):
        for inner in sorted(folder.glob("**/"), key=lambda f: len(f.parts), reverse=True):
            try:
                inner.rmdir()
            except OSError:
                continue
        if not folder.exists():
            return
        time.sleep(0.1)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}")
