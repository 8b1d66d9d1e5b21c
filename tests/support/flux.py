"""Flux's source-controller and kustomize-controller, with a git repository served over HTTP on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import Cluster, build
from tests.support.gitops import apply_definitions

SOURCE = "source.toolkit.fluxcd.io"
KINDS = {
    "GitRepository": (SOURCE, ("v1",), "gitrepositories"),
    "OCIRepository": (SOURCE, ("v1",), "ocirepositories"),
    "HelmRepository": (SOURCE, ("v1",), "helmrepositories"),
    "HelmChart": (SOURCE, ("v1",), "helmcharts"),
    "Bucket": (SOURCE, ("v1",), "buckets"),
    "ExternalArtifact": (SOURCE, ("v1",), "externalartifacts"),
    "Kustomization": ("kustomize.toolkit.fluxcd.io", ("v1",), "kustomizations"),
}


def binaries() -> dict[str, Path]:
    """The controllers by name, whether or not they are built."""
    return {name: build.SOURCES[name].binary() for name in build.FLUX}


def missing() -> list[str]:
    """The controllers that are not built."""
    return [name for name, path in binaries().items() if not path.exists()]


def git(folder: Path, *arguments: str) -> str:
    """Run git without the machine's configuration."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        **{f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip()


class _Backend(BaseHTTPRequestHandler):
    """`git http-backend` as CGI (https://git-scm.com/docs/git-http-backend)."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        assert isinstance(self.server, _Server)
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(
            ["git", "http-backend"], check=False, input=body, env=environment, capture_output=True, timeout=30
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Write nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, root: Path) -> None:
        self.root = root
        super().__init__(("127.0.0.1", 0), _Backend)


@dataclass(frozen=True)
class Repository:
    """A git repository with one branch, `main`."""

    folder: Path
    url: str

    def commit(self, files: Mapping[str, Any]) -> str:
        """Commit files with these documents. Returns the version as Flux writes it."""
        for name, document in files.items():
            (self.folder / name).write_text(yaml.safe_dump(document))
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "-m", "change")
        git(self.folder, "push", "-q", "origin", "main")
        return f"main@sha1:{git(self.folder, 'rev-parse', 'HEAD')}"


@contextmanager
def repository(folder: Path) -> Iterator[Repository]:
    """A repository, served over HTTP."""
    bare, clone = folder / "served" / "shop.git", folder / "clone"
    bare.mkdir(parents=True)
    git(bare, "init", "-q", "--bare", "-b", "main")
    git(folder, "clone", "-q", str(bare), str(clone))
    git(clone, "checkout", "-q", "-B", "main")
    server = _Server(bare.parent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Repository(clone, f"http://127.0.0.1:{server.server_address[1]}/shop.git")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def controllers(cluster: Cluster, folder: Path) -> Iterator[None]:
    """Both controllers, with the administrator's rights."""
    apply_definitions(cluster, KINDS)
    (folder / "storage").mkdir()
    storage, *others = _free_ports(5)
    common = ["--watch-all-namespaces", "--enable-leader-election=false", "--log-level=info"]
    flags = {
        "source-controller": [
            f"--storage-path={folder / 'storage'}",
            f"--storage-addr=127.0.0.1:{storage}",
            f"--storage-adv-addr=127.0.0.1:{storage}",
        ],
        "kustomize-controller": [],
    }
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "RUNTIME_NAMESPACE": "default"}
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name, path in binaries().items():
            addresses = [f"--metrics-addr=127.0.0.1:{others.pop()}", f"--health-addr=127.0.0.1:{others.pop()}"]
            with (folder / f"{name}.log").open("wb") as log:
                running.append(
                    subprocess.Popen(
                        [str(path), *common, *addresses, *flags[name]],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        env=environment,
                        cwd=folder,
                    )
                )
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=30)
