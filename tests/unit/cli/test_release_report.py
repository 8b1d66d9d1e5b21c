"""`report`: the figures of DORA, from the answers of a Prometheus."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
from typer.testing import CliRunner

from resilience_operator.cli.kubectl import app
from resilience_operator.cli.release_report.figures import durations_of

RELEASES = {"begun": 42.0, "good": 39.0, "rolled_back": 2.0}
RESTORE = {"30": 0.0, "60": 2.0, "+Inf": 2.0}


class Answers(ThreadingHTTPServer):
    """Answers range queries about releases. scraped: whether there are any."""

    scraped = True
    queries: list[str]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Answers)
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        query = asked["query"][0]
        self.server.queries.append(query)
        found: dict[tuple[str, str], float] = {}
        if not self.server.scraped:
            pass
        elif "releases_total" in query:
            found = {("result", name): value for name, value in RELEASES.items()}
        elif "restore_seconds_bucket" in query:
            found = {("le", bound): count for bound, count in RESTORE.items()}
        elif "restore_seconds_sum" in query:
            found = {("", ""): 82.0}
        result = [
            {"metric": {label: value} if label else {}, "values": [[float(asked["end"][0]), str(number)]]}
            for (label, value), number in found.items()
        ]
        body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def prometheus() -> Iterator[Answers]:
    server = Answers(("127.0.0.1", 0), Handler)
    server.queries = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def report(prometheus: Answers, *arguments: str) -> tuple[int, str, str]:
    url = f"http://127.0.0.1:{prometheus.server_address[1]}"
    result = CliRunner().invoke(app, ["report", "--prometheus-url", url, *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_figures_for_scripts(prometheus: Answers) -> None:
    code, text, _ = report(prometheus, "-o", "json", "--matchers", 'cluster="eu"')
    assert code == 0
    assert json.loads(text) == {
        "seconds": 2592000,
        "deployments": 42,
        "deploymentsPerDay": 1.4,
        "good": 39,
        "rolledBack": 2,
        "changeFailureRate": pytest.approx(2 / 42),
        "timeToRestore": {"count": 2, "meanSeconds": 41.0, "medianSeconds": 45.0},
        "leadTime": {"count": 0, "meanSeconds": None, "medianSeconds": None},
    }
    assert all('cluster="eu"' in query and "[2592000s]" in query for query in prometheus.queries)


def test_the_figures_for_people(prometheus: Answers) -> None:
    code, text, notes = report(prometheus, "--since", "30d")
    assert code == 0
    lines = [line.split("  ")[0] for line in text.splitlines()]
    assert lines == ["FIGURE", "deployments", "change failure rate", "time to restore", "lead time"]
    for part in ("1.4 a day", "4.8%", "45s (median)", "mean 41s"):
        assert part in text
    assert "resilience-operator.io/commit-time" in notes


def test_without_the_operators_metrics_it_says_so(prometheus: Answers) -> None:
    prometheus.scraped = False
    code, _, notes = report(prometheus)
    assert code == 1
    assert "resilience_releases_total" in notes


@pytest.mark.parametrize("since", ["0s", "5s", "x", "-1d"])
def test_a_time_that_cannot_be_reported_on_is_refused(prometheus: Answers, since: str) -> None:
    code, _, notes = report(prometheus, f"--since={since}")
    assert code == 2
    assert notes


@pytest.mark.parametrize(
    ("buckets", "median"),
    [
        ({}, None),
        ({"10": 0.0, "+Inf": 0.0}, None),
        ({"10": 0.4, "+Inf": 0.4}, None),
        ({"10": 4.0, "+Inf": 4.0}, 5.0),
        ({"10": 1.0, "20": 4.0, "+Inf": 4.0}, pytest.approx(13.333, abs=0.01)),
        ({"10": 1.0, "+Inf": 4.0}, None),
        ({"+Inf": float("nan")}, None),
    ],
)
def test_the_median_is_interpolated(buckets: dict[str, float], median: float | None) -> None:
    assert durations_of(buckets, 40.0).median == median
