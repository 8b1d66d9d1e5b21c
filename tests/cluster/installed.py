"""Programs of this machine that need not be built, because their versions fit.

kubectl and helm are always taken. `make cluster CLUSTER=auto` also takes etcd and Prometheus, and kind as the provider
where a docker engine runs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.cluster.build import SOURCES, required_version

CLIENTS = ("kubectl", "helm")
SERVERS = {"etcd": "controlplane", "prometheus": "prometheus"}
"""The binary of `build` that each replaces. The control plane is built in any case; its etcd is then not used."""
PATIENCE = 30
"""Seconds that a program may take to say its version."""


def installed(name: str) -> Path | None:
    """The program on the PATH if its version fits; None if it has to be built."""
    found = shutil.which(name)
    return Path(found) if found and _FITS[name](found) else None


def provider(say: Callable[[str], None]) -> str:
    """`kind` where kind of a version that fits and a running docker engine are; else `local`."""
    if installed("kind") is None:
        why = "no kind of a version that fits is on the PATH"
    elif not _engine_runs():
        why = "no docker engine answers"
    else:
        say("the cluster is one of kind")
        return "kind"
    say(f"the cluster is the local one: {why}")
    return "local"


def servers(names: Iterable[str], say: Callable[[str], None]) -> dict[str, Path]:
    """Those of `SERVERS` that replace a binary of `names`, by their own name."""
    wanted = set(names)
    found = {name: installed(name) for name, replaced in SERVERS.items() if replaced in wanted}
    chosen = {name: path for name, path in found.items() if path is not None}
    for name, path in chosen.items():
        say(f"{name} of this machine fits: {path}")
    return chosen


def _engine_runs() -> bool:
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _version(command: list[str]) -> tuple[int, ...]:
    """The first version in a command's output, like (1, 37, 2); empty if it prints none or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"(?:\bv|[vV]ersion:? v?)(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return tuple(int(part) for part in match.groups() if part) if match and done.returncode == 0 else ()


def _wanted(module: str, source: str = "clients") -> tuple[int, int]:
    """Major and minor version of a module that the tests build."""
    text = (SOURCES[source].module / "go.mod").read_text()
    major, minor, *_ = required_version(text, module).removeprefix("v").split(".")
    return int(major), int(minor)


def _kubectl_fits(program: str) -> bool:
    """Within one minor version of the API server. The Go module v0.37.2 is version 1.37.2."""
    found = _version([program, "version", "--client"])
    return len(found) >= 2 and found[0] == 1 and abs(found[1] - _wanted("k8s.io/kubectl")[1]) <= 1


def _helm_fits(program: str) -> bool:
    return _is_as_new(_version([program, "version", "--short"]), _wanted("helm.sh/helm/v4"))


def _etcd_fits(program: str) -> bool:
    return _is_as_new(_version([program, "--version"]), _wanted("go.etcd.io/etcd/server/v3", "controlplane"))


def _prometheus_fits(program: str) -> bool:
    """The Go module v0.316.0 is version 3.16.0."""
    release = _wanted("github.com/prometheus/prometheus", "prometheus")[1]
    return _is_as_new(_version([program, "--version"]), divmod(release, 100))


def _kind_fits(program: str) -> bool:
    return _is_as_new(_version([program, "version"]), _wanted("sigs.k8s.io/kind", "kind"))


def _is_as_new(found: tuple[int, ...], wanted: tuple[int, int]) -> bool:
    """Of the same major version as the one that is built, and not older."""
    return len(found) >= 2 and found[0] == wanted[0] and found[1] >= wanted[1]


_FITS: dict[str, Callable[[str], bool]] = {
    "kubectl": _kubectl_fits,
    "helm": _helm_fits,
    "etcd": _etcd_fits,
    "prometheus": _prometheus_fits,
    "kind": _kind_fits,
}
