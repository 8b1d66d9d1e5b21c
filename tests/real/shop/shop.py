"""A small HTTP service whose requests cost CPU: what is guarded on a real node.

The file of its version beside this one says what it is: `version` is told in every answer, `failing` is the share of
requests that are answered 500; the file `failing` of a mounted ConfigMap `settings` overrides it. WORK is CPU time a
request, in seconds. A request with `?wait=1.4` waits so long for a dependency that is slow. Requests and their
durations are counted under the common names.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

(FILE,) = Path(__file__).parent.glob("*.json")
FACTS = json.loads(FILE.read_text())
VERSION, FAILING = FACTS["version"], FACTS["failing"]
OVERRIDE = Path("/etc/settings/failing")
WORK = float(os.environ.get("WORK", "0.003"))

REQUESTS = Counter("http_requests", "Requests answered.", ["code"])
SECONDS = Histogram(
    "http_request_duration_seconds",
    "From the request's arrival to its answer.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
for code in ("200", "500"):
    REQUESTS.labels(code)


def burn(seconds: float) -> None:
    """Use that much CPU time, however long it takes to get it."""
    until, data = time.thread_time() + seconds, b"x" * 4096
    while time.thread_time() < until:
        data = hashlib.sha256(data).digest() * 128


def failing() -> float:
    """The share of requests that fail. The file is read for each request, as the kubelet may update it at any time."""
    try:
        return float(OVERRIDE.read_text())
    except (OSError, ValueError):
        return float(FAILING)


class Handler(BaseHTTPRequestHandler):
    """One request a connection, so that a Service spreads them."""

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
        elif self.path == "/healthz":
            self._answer(200, b"ok\n")
        else:
            self._work()

    def _work(self) -> None:
        began = time.perf_counter()
        burn(WORK)
        time.sleep(float(self.path.partition("wait=")[2] or 0))
        code = 500 if random.random() < failing() else 200
        REQUESTS.labels(str(code)).inc()
        SECONDS.observe(time.perf_counter() - began)
        self._answer(code, f"{VERSION}\n".encode())

    def _answer(self, code: int, body: bytes, content_type: str = "text/plain") -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = False  # Requests that have begun are answered before the end.


if __name__ == "__main__":
    server = Server(("", 8080), Handler)

    def end(*_: object) -> None:
        """No longer ready before no longer there: endpoints are told first."""
        time.sleep(float(os.environ.get("DRAIN", "1")))
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    try:
        server.serve_forever(poll_interval=0.1)
    except SystemExit:
        server.server_close()
        sys.exit(0)
