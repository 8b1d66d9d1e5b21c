"""Building the cluster's binaries from their Go modules, once.

A binary's name carries a stamp of everything its content depends on here: go.mod, go.sum, main.go and the flags. So a
changed version is built anew, an unchanged one never, and two checkouts of different versions do not get in each
other's way. Go's own build cache, which outlives a checkout, makes a second first build quick.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.failure import ClusterError, tail
from tests.cluster.locking import exclusive
from tests.cluster.settings import LOCAL
from tests.cluster.toolchain import Version, find_go, parse_version

BIN = LOCAL / "bin"
MODULES = Path(__file__).resolve().parent
Say = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A binary to build: the folder of its module, the package, and where its version is told to it."""

    name: str
    holds: str
    """What is inside, for the person who waits."""
    module: Path
    package: str
    version_of: str
    """The required module whose version is the binary's."""
    version_variables: Callable[[str], dict[str, str]]
    tags: str = ""

    def flags(self) -> list[str]:
        """Return the flags of ``go build``; no debug symbols, no paths of this machine."""
        required = required_version((self.module / "go.mod").read_text(), self.version_of)
        variables = [f"-X {name}={value}" for name, value in self.version_variables(required).items()]
        flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", " ".join(["-s -w", *variables])]
        return [*flags, "-tags", self.tags] if self.tags else flags

    def binary(self) -> Path:
        files = [self.module / name for name in ("go.mod", "go.sum")] + [self.module / self.package / "main.go"]
        content = [file.read_bytes() for file in files if file.exists()]
        return BIN / f"{self.name}-{stamp(content, [self.package, *self.flags()])}"


def _kubernetes_version(version: str) -> dict[str, str]:
    """A client refuses a server that does not tell its version."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    package = "k8s.io/component-base/version"
    return {
        f"{package}.gitVersion": version,
        f"{package}.gitMajor": major,
        f"{package}.gitMinor": minor,
        f"{package}.gitTreeState": "clean",
    }


def _staging_version(version: str) -> dict[str, str]:
    """Kubernetes 1.37.2 is v0.37.2 in the modules it is made of."""
    return _kubernetes_version(version.replace("v0.", "v1.", 1))


def _kwok_version(version: str) -> dict[str, str]:
    return {"sigs.k8s.io/kwok/pkg/consts.Version": version}


def _prometheus_version(version: str) -> dict[str, str]:
    """Prometheus 3.16.0 is the Go module v0.316.0."""
    _, release, patch = version.removeprefix("v").split(".")
    return {"github.com/prometheus/common/version.Version": f"{release[:-2]}.{int(release[-2:])}.{patch}"}


def _state_metrics_version(version: str) -> dict[str, str]:
    return {"github.com/prometheus/common/version.Version": version}


_PROMETHEUS = "github.com/prometheus/prometheus"
_ACTIONLINT = "github.com/rhysd/actionlint"
_FLUX = "github.com/fluxcd"
_COREDNS = "github.com/coredns/coredns"
_KIND = "sigs.k8s.io/kind"
_STATE_METRICS = "k8s.io/kube-state-metrics/v2"
_NO_DISCOVERY = "remove_all_sd"
"""Leaves out the clouds' clients, which are most of Prometheus' build time; files and static targets stay."""

SOURCES = {
    source.name: source
    for source in (
        Source(
            "controlplane",
            "etcd, kube-apiserver, kube-controller-manager, kube-scheduler",
            MODULES / "controlplane",
            ".",
            "k8s.io/kubernetes",
            _kubernetes_version,
        ),
        Source("kwok", "KWOK", MODULES / "kwok", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok", _kwok_version),
        Source(
            "prometheus",
            "Prometheus",
            MODULES / "prometheus",
            f"{_PROMETHEUS}/cmd/prometheus",
            _PROMETHEUS,
            _prometheus_version,
            _NO_DISCOVERY,
        ),
        Source(
            "promtool",
            "promtool, which checks rules",
            MODULES / "prometheus",
            f"{_PROMETHEUS}/cmd/promtool",
            _PROMETHEUS,
            _prometheus_version,
            _NO_DISCOVERY,
        ),
        Source(
            "discovering-prometheus",
            "Prometheus that finds pods through the API",
            MODULES / "prometheus",
            f"{_PROMETHEUS}/cmd/prometheus",
            _PROMETHEUS,
            _prometheus_version,
            f"{_NO_DISCOVERY},enable_kubernetes_sd",
        ),
        Source("node", "kubelet, kube-proxy", MODULES / "node", ".", "k8s.io/kubernetes", _kubernetes_version),
        Source("pause", "what holds a pod together", MODULES / "node", "./pause", "k8s.io/kubernetes", lambda _: {}),
        Source(
            "statemetrics",
            "kube-state-metrics",
            MODULES / "statemetrics",
            _STATE_METRICS,
            _STATE_METRICS,
            _state_metrics_version,
        ),
        *(
            Source(name, f"Flux's {name}", MODULES / "flux", f"{_FLUX}/{name}", f"{_FLUX}/{name}", lambda _: {})
            for name in ("source-controller", "kustomize-controller")
        ),
        Source("clients", "helm, kubectl", MODULES / "clients", ".", "k8s.io/kubectl", _staging_version),
        Source("kubeadm", "kubeadm", MODULES / "node", "./kubeadm", "k8s.io/kubernetes", _kubernetes_version),
        Source("coredns", "CoreDNS", MODULES / "coredns", ".", _COREDNS, lambda _: {}),
        Source("kind", "kind", MODULES / "kindcli", _KIND, _KIND, lambda _: {}),
        Source(
            "actionlint",
            "actionlint, which checks the workflows of GitHub Actions",
            MODULES / "actionlint",
            f"{_ACTIONLINT}/cmd/actionlint",
            _ACTIONLINT,
            lambda _: {},
        ),
    )
}
FLUX = ("source-controller", "kustomize-controller")
CLUSTER = ("controlplane", "kwok", "prometheus")
REAL_NODE = ("controlplane", "discovering-prometheus", "node", "pause", "statemetrics")
KIND_NODE = ("controlplane", "node", "kubeadm", "clients", "coredns", "pause")
"""What a node image of kind holds beside Debian's packages."""


def stamp(contents: Iterable[bytes], flags: Sequence[str]) -> str:
    """Return twelve characters that change when any content or flag does."""
    digest = hashlib.sha256()
    for part in (*contents, *(flag.encode() for flag in flags)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:12]


def required_version(go_mod: str, module: str) -> str:
    """Return the version at which a go.mod requires ``module``."""
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+(v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise ClusterError(f"go.mod does not require {module}")
    return found.group(1)


def needed_go(sources: Iterable[Source]) -> Version:
    """Return the newest ``go`` directive of the modules."""
    texts = [(source.module / "go.mod").read_text() for source in sources]
    return max(parse_version(line) for text in texts for line in re.findall(r"^go (\S+)$", text, re.MULTILINE))


def ensure(names: Sequence[str], say: Say) -> dict[str, Path]:
    """Return the binaries by name, building those that are not there yet, one after another."""
    sources = [SOURCES[name] for name in names]
    binaries = {source.name: source.binary() for source in sources}
    if all(binary.exists() for binary in binaries.values()):
        return binaries
    with exclusive(BIN):
        go = find_go(needed_go(sources), say)
        for source in sources:
            if not binaries[source.name].exists():
                _build(go, source, binaries[source.name], say)
    return binaries


def module_folder(name: str) -> Path:
    """Return where Go keeps the source of the module that gives a binary its version; downloads it if need be."""
    source = SOURCES[name]
    go = find_go(needed_go([source]), print)
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    command = [str(go), "mod", "download", "-json", source.version_of]
    done = subprocess.run(command, cwd=source.module, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"{source.version_of} could not be downloaded: {(done.stderr or done.stdout).strip()}")
    return Path(json.loads(done.stdout)["Dir"])


def _build(go: Path, source: Source, binary: Path, say: Say) -> None:
    draft, log = binary.with_suffix(".part"), binary.with_suffix(".log")
    command = [str(go), "build", *source.flags(), "-o", str(draft), source.package]
    # A newer Go is never fetched behind our back: find_go has seen to it that this one will do.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOOS": "", "GOARCH": ""}
    started = time.monotonic()
    with log.open("wb") as output:
        build = subprocess.Popen(
            command, cwd=source.module, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            _watch(build, f"building {source.name} ({source.holds})", started, say)
        finally:
            build.kill()
            build.wait()
    if build.returncode != 0:
        raise ClusterError(f"{source.name} could not be built; the end of {log}:\n{tail(log, 25)}")
    draft.replace(binary)
    log.unlink()
    size = binary.stat().st_size / 2**20
    say(f"built {source.name} in {clock(time.monotonic() - started)} ({size:.0f} MiB)")


def _watch(build: subprocess.Popen[bytes], what: str, started: float, say: Say) -> None:
    """Tell how long it has been: in place on a terminal, a line each ten seconds elsewhere."""
    live = sys.stdout.isatty()
    say(f"{what}; the first time this takes minutes")
    told = 0
    while True:
        try:
            build.wait(timeout=1)
        except subprocess.TimeoutExpired:
            seconds = int(time.monotonic() - started)
            if live:
                sys.stdout.write(f"\r  {clock(seconds)} ")
                sys.stdout.flush()
            elif seconds - told >= 10:
                told = seconds
                say(f"  {what}: {clock(seconds)}")
        else:
            if live:
                sys.stdout.write("\r")
            return


def clock(seconds: float) -> str:
    """Write a duration as people read it: 48s, 4m 40s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"
