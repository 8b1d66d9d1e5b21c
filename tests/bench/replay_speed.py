"""How long `kubectl resilience replay` takes for a week at 15 s of one policy with three rules.

    python -m tests.bench.replay_speed [--picture FILE]

Two ways, both whole: from a file that was exported earlier (read, unpack, join, decide), and from a server that
answers range queries over loopback as Prometheus does, at most 11,000 points at a time (ask, read, join, decide).
The server answers from memory: what Prometheus itself needs to read a week is not in the figure; that it runs in the
same process is. Values have seventeen digits, as real ones do. The bound: 10 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from urllib.parse import parse_qs

from resilience_operator.cli.common.policy_loader import load_policy
from resilience_operator.cli.replay.archive import Archive
from resilience_operator.cli.replay.range_client import RangeSource
from resilience_operator.cli.replay.recording import Recording
from resilience_operator.cli.replay.run import replay_policy
from resilience_operator.cli.replay.time_grid import MAX_POINTS, Grid
from resilience_operator.cli.report.chart import draw
from resilience_operator.cli.report.model import RunReport
from resilience_operator.cli.report.text import summary
from resilience_operator.signals.prometheus.config import SourceConfig
from tests.unit.cli.support import START, policy, recording

BOUND_SECONDS = 10.0
DAY = 86400.0


def a_week() -> Recording:
    """Busy hours each day, two releases, an outage of the metrics, noise."""
    grid, rng = Grid.covering(START, START + 7 * DAY - 15, 15.0), random.Random(1)

    def busy(at: float) -> bool:
        return 9 * 3600 <= at % DAY < 12 * 3600

    def old(at: float) -> float:
        return max(0.0, 6.0 - max(0.0, at - 2 * DAY) // 60)

    def new(at: float) -> float | None:
        return None if at < 2 * DAY else 6.0 - old(at)

    return recording(
        policy(),
        grid,
        pods={"7d9f5c8b6d": old, "5c6b7d8f9b": new},
        cpu=lambda at: rng.gauss(0.78 if busy(at) else 0.4, 0.02),
        latency=lambda at: rng.gauss(0.6 if busy(at) else 0.2, 0.03),
        rps=lambda at: rng.gauss(50.0, 3.0),
        measured=lambda at: not 4 * DAY <= at < 4 * DAY + 1800,
    )


@contextmanager
def server(known: Recording) -> Iterator[str]:
    """A server on loopback that answers range queries from `known`, and refuses what Prometheus would refuse."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            start, end, step = (float(asked[name][0]) for name in ("start", "end", "step"))
            times = [start + n * step for n in range(int((end - start) / step) + 1)]
            if len(times) > MAX_POINTS:
                self._answer(400, {"status": "error", "errorType": "bad_data", "error": "exceeded maximum resolution"})
                return
            numbers = [int((at - known.grid.start) // known.grid.step) for at in times]
            series = [
                {
                    "metric": dict(track.labels),
                    "values": [
                        [at, repr(value)]
                        for at, n in zip(times, numbers, strict=True)
                        if 0 <= n < known.grid.count and (value := track.values[n]) is not None
                    ],
                }
                for track in known.answers.get(asked["query"][0], ())
            ]
            data = {"resultType": "matrix", "result": [s for s in series if s["values"]]}
            self._answer(200, {"status": "success", "data": data})

        def _answer(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def from_file(path: Path) -> RunReport:
    """A replay over an exported file."""
    known = Recording.load(path)
    return asyncio.run(replay_policy(*load_policy(known.policy), Archive(known)))


def from_server(url: str, known: Recording) -> RunReport:
    """A replay over range queries."""
    source = RangeSource(SourceConfig(name="default", url=url))
    return asyncio.run(replay_policy(*load_policy(known.policy), Archive(Recording(known.grid, known.policy), source)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures; 1 when the bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replay_speed")
    parser.add_argument("--picture", type=Path, help="also draw the week")
    options = parser.parse_args(arguments)
    known = a_week()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "week.json.gz"
        known.save(path)
        size = path.stat().st_size
        begun, used = perf_counter(), process_time()
        story = from_file(path)
        file_seconds, file_used = perf_counter() - begun, process_time() - used
    with server(known) as url:
        begun, used = perf_counter(), process_time()
        same = from_server(url, known)
        server_seconds, server_used = perf_counter() - begun, process_time() - used
    assert [h.message for h in same.decisions] == [h.message for h in story.decisions], "both ways decide alike"
    print(summary(story))
    for how, seconds, cpu in (
        (f"from a file of {size / 1e6:.1f} MB", file_seconds, file_used),
        ("in range queries over loopback", server_seconds, server_used),
    ):
        print(f"a week at 15 s {how:32} {seconds:5.2f} s, of CPU {cpu:5.2f} s (bound {BOUND_SECONDS:.0f} s)")
    if options.picture:
        begun = perf_counter()
        draw(story, options.picture)
        print(f"its picture                                     {perf_counter() - begun:5.2f} s")
    return int(max(file_seconds, server_seconds) > BOUND_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
