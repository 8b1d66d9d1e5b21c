"""The operator as a process of its own, started, killed and started again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.install import ROOT
from tests.support.waiting import eventually

_PORTS = range(11_000, 25_000)
"""Of no cluster of the tests, and below those that Linux gives to connections that go out: one of them could take a
port between its choice and its use."""


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    chance = random.SystemRandom()
    while True:
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port := chance.choice(_PORTS)))
            return port


def total(page: str, name: str, **labels: str) -> float:
    """The sum of a metric's series that carry these labels, on a page of /metrics."""
    found = 0.0
    for line in page.splitlines():
        if line.startswith((f"{name} ", f"{name}{{")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            found += float(line.rsplit(" ", 1)[1])
    return found


class Operator:
    """One operator process. `log` keeps growing over restarts. Without `prometheus_url` its configuration names one."""

    def __init__(
        self,
        kubeconfig: Path,
        prometheus_url: str,
        log: Path,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.kubeconfig, self.prometheus_url, self.log = kubeconfig, prometheus_url, log
        self.arguments = tuple(arguments)
        self.environment = dict(environment or {})
        self.port, self.dashboard_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> Operator:
        """Start it, and return when it is ready."""
        self.launch(*arguments)
        eventually(self.ready, "the operator is ready", last=self.tail, patience=180)
        return self

    def launch(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it, and return at once."""
        assert self.process is None, "it runs already"
        command = [
            sys.executable, "-m", "resilience_operator.cli.operator", "run",
            "--kubeconfig", str(self.kubeconfig),
            *(("--prometheus-url", self.prometheus_url) if self.prometheus_url else ()),
            "--listen", "127.0.0.1", "--port", str(self.port), "--dashboard-port", str(self.dashboard_port),
            "--log-format", "json",
            *self.arguments, *arguments,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "PYTHONUNBUFFERED": "1", **self.environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        return self.process

    def ready(self) -> bool:
        """Whether /readyz says so."""
        assert self.process is not None
        assert self.process.poll() is None, f"the operator ended with {self.process.returncode}: {self.tail()}"
        return self.get("/readyz")[0] == 200

    def get(self, path: str, *, host: str = "", token: str = "") -> tuple[int, str]:
        """Status and body of one of its endpoints; status 0 when it does not answer. host: another Host header."""
        port = self.port if path in ("/healthz", "/readyz", "/metrics") else self.dashboard_port
        headers = {"Host": host} if host else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that carry these labels."""
        return total(self.get("/metrics")[1], name, **labels)

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait; returns the exit code."""
        return self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: it stands still, its connections open, and knows nothing of it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it stood."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @property
    def leads(self) -> bool:
        """Whether it says that it is the leader."""
        return self.metric("resilience_leader") == 1

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.process = None
            raise AssertionError(f"the operator did not end within 30 s: {self.tail()}") from None
        self.process = None
        return code

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
