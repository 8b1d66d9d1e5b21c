"""The Prometheus source against servers that misbehave in every way a network can: raw sockets, real HTTP client."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from resilience_operator.cli.replay.range_client import RangeSource
from resilience_operator.cli.replay.time_grid import Grid
from resilience_operator.decision.model.observation import Observation
from resilience_operator.resilience.deadline import Deadline
from resilience_operator.resilience.errors import CallError, DeadlineExceeded, GiveUp, TryAgain, Unauthorized
from resilience_operator.signals.collector import SignalCollector
from resilience_operator.signals.model import Signal as Preset
from resilience_operator.signals.model import SignalRequest
from resilience_operator.signals.prometheus.config import SourceConfig
from resilience_operator.signals.prometheus.source import PrometheusSource
from resilience_operator.signals.query.extract import buckets_by_target
from resilience_operator.signals.sources.registry import SourceRegistry
from tests.support.observed import observed
from tests.unit.decision.builders import T0, Run, policy, releasing, target, verbs

VECTOR = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1.5, "2"]}]},
}


def http(
    body: bytes | str | dict[str, object], status: str = "200 OK", kind: str = "application/json", more: str = ""
) -> bytes:
    raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n{more}\r\n"
    return head.encode() + raw


class Server:
    """Answers each request with `reply`, or gives the connection to it.

    others: part of a request → the answer to it.
    """

    def __init__(self, reply: bytes | Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> None:
        self.reply = reply
        self.tls = tls
        self.requests: list[bytes] = []
        self.others: dict[bytes, bytes] = {}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                while request := self._request(connection):
                    self.requests.append(request)
                    if callable(self.reply):
                        self.reply(connection)
                        return
                    other = next((reply for part, reply in self.others.items() if part in request), None)
                    connection.sendall(other or self.reply)
        except OSError:
            pass

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(reply: bytes | Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(reply, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def source(port: int, **config: object) -> PrometheusSource:
    return PrometheusSource(SourceConfig(name="default", url=f"http://127.0.0.1:{port}", **config))  # type: ignore[arg-type]


async def failure(port: int, seconds: float = 5.0, **config: object) -> CallError:
    found = source(port, **config)
    try:
        with pytest.raises(CallError) as caught:
            await found.query("up", deadline=Deadline.after(seconds))
    finally:
        await found.close()
    return caught.value


def hang(_: socket.socket) -> None:
    time.sleep(30)


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(300):
        connection.sendall(b" ")
        time.sleep(0.1)


def half(connection: socket.socket) -> None:
    connection.sendall(http(VECTOR)[:-20])


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def error(kind: str, text: str) -> dict[str, object]:
    return {"status": "error", "errorType": kind, "error": text}


def vector(kind: str, result: object) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": kind, "result": result}}


async def test_an_answer_comes_whole(serve: Callable[..., Server]) -> None:
    server = serve(http(VECTOR))
    found = source(server.port, parameters={"dedup": "true"})
    answer = await found.query("up{a='b'}", at=1.5, deadline=Deadline.after(5))
    await found.close()
    assert [tuple(s) for s in answer.series] == [({"a": "b"}, 2.0, 1.5)]
    assert answer.warnings == ()
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v1/query HTTP/1.1")
    assert b"query=up%7Ba%3D%27b%27%7D" in body
    assert b"dedup=true" in body and b"time=1.500" in body and b"timeout=" in body


async def test_an_answer_tells_how_long_it_was_in_coming(serve: Callable[..., Server]) -> None:
    def slowly(connection: socket.socket) -> None:
        whole = http(VECTOR)
        connection.sendall(whole[:-20])
        time.sleep(0.2)
        connection.sendall(whole[-20:])

    found = source(serve(slowly).port)
    answer = await found.query("up", deadline=Deadline.after(5))
    await found.close()
    assert answer.seconds is not None
    assert answer.seconds >= 0.2


async def test_get_where_it_is_configured(serve: Callable[..., Server]) -> None:
    server = serve(http(VECTOR))
    found = source(server.port, method="GET")
    await found.query("up", deadline=Deadline.after(5))
    await found.close()
    assert server.requests[0].startswith(b"GET /api/v1/query?query=up&timeout=")


@pytest.mark.parametrize("login", ["http://operator:hush@", ""])
async def test_through_the_proxy_that_the_environment_names(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    proxy = serve(http(VECTOR))
    monkeypatch.setenv("http_proxy", f"{login}127.0.0.1:{proxy.port}")
    monkeypatch.setenv("no_proxy", "")
    found = PrometheusSource(SourceConfig(name="default", url="http://prometheus.invalid:9090/prefix"))
    for _ in range(2):
        await found.query("up", deadline=Deadline.after(5))
    await found.close()
    for request in proxy.requests:
        assert request.startswith(b"POST http://prometheus.invalid:9090/prefix/api/v1/query HTTP/1.1\r\n")
        assert (b"\r\nProxy-Authorization: Basic " in request) == bool(login)
        assert request.count(b"query=up") == 1
    assert len(proxy.requests) == 2


async def test_a_proxy_that_speaks_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://operator:CANARY@127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    found = await failure(1)
    assert isinstance(found, GiveUp) and found.reason == "address"
    assert "CANARY" not in str(found)


async def test_a_proxy_on_the_way_to_tls_is_told_its_own_secret_alone(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proxy, token = serve(http("", "403 Forbidden")), tmp_path / "token"
    token.write_text("CANARY")
    monkeypatch.setenv("https_proxy", f"http://operator:hush@127.0.0.1:{proxy.port}")
    monkeypatch.setenv("no_proxy", "")
    found = PrometheusSource(
        SourceConfig(name="default", url="https://prometheus.invalid:9090", bearer_token_file=token)
    )
    with pytest.raises(CallError):
        await found.query("up", deadline=Deadline.after(5))
    await found.close()
    assert proxy.requests[0].startswith(b"CONNECT prometheus.invalid:9090 HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic " in proxy.requests[0]
    assert not any(b"CANARY" in request for request in proxy.requests)


async def test_a_configured_header_takes_the_place_of_ours(serve: Callable[..., Server]) -> None:
    server = serve(http(VECTOR))
    found = source(server.port, headers={"user-agent": "of the house"})
    await found.query("up", deadline=Deadline.after(5))
    await found.close()
    assert server.requests[0].lower().count(b"user-agent:") == 1
    assert b": of the house\r\n" in server.requests[0]


async def test_no_netrc_and_no_cookie_is_sent(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login operator password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = serve(http(VECTOR, more="Set-Cookie: who=operator; Path=/\r\n"))
    found = source(server.port)
    for _ in range(2):
        await found.query("up", deadline=Deadline.after(5))
    await found.close()
    assert len(server.requests) == 2
    assert not any(b"Authorization" in request or b"Cookie" in request for request in server.requests)


@pytest.mark.parametrize(
    ("document", "warnings"),
    [
        ({**VECTOR, "warnings": ["store 1 is away"]}, ("store 1 is away",)),
        ({**VECTOR, "isPartial": True}, ("the server marked the answer as partial",)),
        ({**VECTOR, "warnings": "store 1 is away"}, ("store 1 is away",)),
        ({**VECTOR, "isPartial": "true"}, ("the server marked the answer as partial",)),
        ({**VECTOR, "warnings": ["PromQL warning: bad bucket label"], "infos": ["PromQL info: x"]}, ()),
        ({**VECTOR, "warnings": None, "isPartial": False}, ()),
    ],
)
async def test_warnings_about_missing_data(
    serve: Callable[..., Server], document: dict[str, object], warnings: tuple[str, ...]
) -> None:
    found = source(serve(http(document)).port)
    assert (await found.query("up", deadline=Deadline.after(5))).warnings == warnings
    await found.close()


PART = vector(
    "vector",
    [
        {"metric": {"namespace": "shop", "owner": "checkout-a", "part": part}, "value": [T0, "1000"]}
        for part in ("events", "samples", "value", "numerator", "denominator")
    ],
)
"""As good as can be believed: a whole answer like this is measured."""

WHOLE = {
    "Prometheus": {},
    "VictoriaMetrics": {"isPartial": False},
    "Mimir": {"warnings": [], "infos": ["PromQL info: x"]},
}
PARTIAL = {
    "Thanos": {"warnings": ["receive series from Addr: 10.0.0.7:10901: rpc error: code = Unavailable"]},
    "Thanos without stores": {"warnings": ["No StoreAPIs matched for this query"]},
    "VictoriaMetrics": {"isPartial": True},
    "remote read": {"warnings": ["remote_read: server returned HTTP status 500"]},
}


async def seen_through(server: Server) -> dict[str, Observation]:
    """What the collector makes of the three signals of checkout, of which two revisions run."""
    found = source(server.port)
    requests = [
        SignalRequest(
            "shop", "checkout", "Deployment", {"checkout-a": "a", "checkout-b": "b"}, Preset(name, preset=name)
        )
        for name in ("cpu", "latency-p99", "error-rate")
    ]
    collector = SignalCollector(SourceRegistry({"default": found}))
    observations = await observed(collector, requests, now=T0, deadline=Deadline.after(5))
    await found.close()
    return {request.signal.name: seen for request, seen in zip(requests, observations, strict=True)}


@pytest.mark.parametrize("mark", WHOLE.values(), ids=WHOLE)
async def test_a_whole_answer_of_each_server_is_measured(serve: Callable[..., Server], mark: dict[str, object]) -> None:
    server = serve(http({**PART, **mark}))
    # Nothing is unreadable, and no container is without a request.
    server.others = dict.fromkeys((b"%5B1-5%5D", b"unless+on+%28namespace%2C+pod%2C"), http(vector("vector", [])))
    observations = await seen_through(server)
    assert all(seen.measured for seen in observations.values())


@pytest.mark.parametrize("mark", PARTIAL.values(), ids=PARTIAL)
async def test_a_partial_answer_of_each_server_proves_nothing(
    serve: Callable[..., Server], mark: dict[str, object]
) -> None:
    """Neither that all is calm, so that pods could go, nor that a release fails, nor that it is good."""
    observations = await seen_through(serve(http({**PART, **mark})))
    assert {seen.reason for seen in observations.values()} == {"PartialAnswer"}
    release, calm = Run(policy(), releasing()), Run(policy(), target(replicas=9, ready=9))
    for run in (release, calm):
        assert [verb for _ in range(100) for verb in verbs(run.look(observations))] == []
    assert release.release.good is None


@pytest.mark.parametrize(
    ("reply", "kind", "reason", "says"),
    [
        (http("<html>oops", kind="text/html"), TryAgain, "bad_answer", "text/html"),
        (http("{"), TryAgain, "bad_answer", "not JSON"),
        (http("[]"), TryAgain, "bad_answer", "list"),
        (http("[" * 100_000), TryAgain, "bad_answer", "not JSON"),
        (http({}), TryAgain, "bad_answer", "no `data`"),
        (http(vector("vector", None)), TryAgain, "bad_answer", "resultType"),
        (http(vector("tensor", [])), TryAgain, "bad_answer", "tensor"),
        (http(vector("vector", [{"metric": {}, "value": [1, "x"]}])), TryAgain, "bad_answer", "cannot be parsed"),
        (http(vector("vector", [{"metric": {}}])), TryAgain, "bad_answer", "no value"),
        (http(vector("vector", [7])), TryAgain, "bad_answer", "cannot be parsed"),
        (http(vector("vector", [{"metric": {}, "histogram": [1, {}]}])), TryAgain, "bad_answer", "no value"),
        (http(vector("matrix", [])), GiveUp, "bad_query", "matrix"),
        (half, TryAgain, "bad_answer", "ended early"),
        (reset, TryAgain, "reset", ""),
        (lambda c: None, TryAgain, "reset", ""),
        (http(error("bad_data", "1:5: parse error"), "400 Bad Request"), GiveUp, "bad_query", "parse error"),
        (http(error("execution", "many-to-many"), "422 Unprocessable Entity"), GiveUp, "bad_query", "many-to-many"),
        (
            http(error("execution", "expanding series: context deadline exceeded"), "422 Unprocessable Entity"),
            TryAgain,
            "timeout",
            "deadline exceeded",
        ),
        (
            http(error("bad_data", 'invalid parameter "query": context deadline exceeded'), "400 Bad Request"),
            TryAgain,
            "timeout",
            "deadline exceeded",
        ),
        (http(error("timeout", "query timed out"), "503 Service Unavailable"), TryAgain, "timeout", "timed out"),
        (http("x" * 5000, "500 Internal Server Error", "text/plain"), TryAgain, "status_500", "HTTP 500"),
        (http("busy", "503 Service Unavailable", "text/plain"), TryAgain, "status_503", "busy"),
        (http("no", "401 Unauthorized", "text/plain"), Unauthorized, "status_401", ""),
        (http("no", "403 Forbidden", "text/plain"), GiveUp, "status_403", ""),
        (http("<h1>404</h1>", "404 Not Found", "text/html"), GiveUp, "status_404", "HTTP 404"),
        (http("", "302 Found", more="Location: http://127.0.0.1:1/\r\n"), GiveUp, "redirect", "redirects"),
    ],
)
async def test_failures_are_told_apart(
    serve: Callable[..., Server], reply: object, kind: type[CallError], reason: str, says: str
) -> None:
    found = await failure(serve(reply).port)
    assert (type(found) is kind or isinstance(found, kind)) and found.reason == reason
    assert says in found.message
    assert len(found.message) < 500


async def test_retry_after_is_passed_on(serve: Callable[..., Server]) -> None:
    found = await failure(serve(http("", "429 Too Many Requests", more="Retry-After: 7\r\n")).port)
    assert isinstance(found, TryAgain)
    assert found.retry_after == 7.0


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = await failure(port)
    assert isinstance(found, TryAgain)
    assert found.reason == "refused"


async def test_one_who_says_nothing_is_late(serve: Callable[..., Server]) -> None:
    """Not unreachable: what is late may be the query's doing, and does not speak against the source."""
    found = await failure(serve(hang).port, 20, connect_timeout_seconds=5, read_timeout_seconds=0.3)
    assert isinstance(found, TryAgain)
    assert (found.reason, found.message) == ("timeout", "no answer in time")


async def test_a_name_that_does_not_resolve() -> None:
    found = PrometheusSource(SourceConfig(name="default", url="http://no-such-host.invalid:1"))
    with pytest.raises(TryAgain) as caught:
        await found.query("up", deadline=Deadline.after(5))
    await found.close()
    assert caught.value.reason == "dns"


@pytest.mark.parametrize("body", [b" " * 3000, b"[" + b"1," * 3000])
async def test_an_answer_too_large_is_refused(serve: Callable[..., Server], body: bytes) -> None:
    found = await failure(serve(http(body)).port, max_answer_bytes=2048)
    assert isinstance(found, GiveUp)
    assert found.reason == "too_large"


@pytest.mark.parametrize("reply", [hang, drip])
async def test_the_deadline_ends_it_and_frees_the_connection(serve: Callable[..., Server], reply: object) -> None:
    server = serve(reply)
    found = source(server.port, concurrency=1)
    started = time.monotonic()
    with pytest.raises((DeadlineExceeded, TryAgain)):
        await found.query("up", deadline=Deadline.after(0.3))
    # The only connection may be used again, well before the server would have let go: after half a minute.
    server.reply = http(VECTOR)
    assert (await found.query("up", deadline=Deadline.after(15))).series
    assert time.monotonic() - started < 15
    await found.close()


async def test_a_drip_is_cut_at_the_whole_time_out(serve: Callable[..., Server]) -> None:
    started = time.monotonic()
    found = await failure(serve(drip).port, 20, connect_timeout_seconds=0.2, read_timeout_seconds=0.4)
    assert isinstance(found, TryAgain) and found.reason == "timeout"
    assert time.monotonic() - started < 15, "it drips for half a minute"


async def test_cancelling_frees_the_connection(serve: Callable[..., Server]) -> None:
    server = serve(hang)
    found = source(server.port, concurrency=1)
    task = asyncio.create_task(found.query("up", deadline=Deadline.after(20)))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.reply = http(VECTOR)
    assert (await found.query("up", deadline=Deadline.after(15))).series
    await found.close()


async def test_a_hanging_endpoint_holds_up_nobody_else(serve: Callable[..., Server]) -> None:
    slow, quick = source(serve(hang).port, concurrency=2), source(serve(http(VECTOR)).port)
    stuck = [asyncio.create_task(slow.query("up", deadline=Deadline.after(60))) for _ in range(20)]
    await asyncio.sleep(0.1)
    assert (await quick.query("up", deadline=Deadline.after(15))).series, "the others hang for half a minute"
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    await slow.close()
    await quick.close()


async def test_closing_ends_what_is_under_way(serve: Callable[..., Server]) -> None:
    found = source(serve(hang).port)
    task = asyncio.create_task(found.query("up", deadline=Deadline.after(20)))
    await asyncio.sleep(0.2)
    started = time.monotonic()
    await found.close()
    with pytest.raises((CallError, asyncio.CancelledError)):
        await task
    assert time.monotonic() - started < 15
    with pytest.raises(GiveUp):
        await found.query("up", deadline=Deadline.after(1))


def open_sockets() -> int:
    gc.collect()
    count = 0
    for fd in Path("/proc/self/fd").iterdir():
        try:
            count += str(fd.readlink()).startswith("socket:")
        except OSError:
            continue
    return count


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors through /proc")
@pytest.mark.parametrize("reply", [http("x", "500 Internal Server Error"), half, reset, http("{"), http(b" " * 9000)])
async def test_no_failure_leaks_a_socket_or_a_thread(serve: Callable[..., Server], reply: object) -> None:
    found = source(serve(reply).port, max_answer_bytes=4096)

    async def once() -> None:
        with pytest.raises(CallError):
            await found.query("up", deadline=Deadline.after(5))

    # Each connection that is kept is there before anything is counted.
    for _ in range(10):
        await asyncio.gather(*(once() for _ in range(found.concurrency)))
    before, threads = open_sockets(), threading.active_count()
    for _ in range(200):
        await once()
    # The server's side of a connection ends a moment after ours; how long a moment is, the machine's load says.
    async with asyncio.timeout(30):
        while open_sockets() > before + 4 or threading.active_count() > threads + 8:
            await asyncio.sleep(0.05)
    await found.close()


class TestCredentials:
    async def test_files_are_read_again_when_they_change(self, serve: Callable[..., Server], tmp_path: Path) -> None:
        server, token, tenant = serve(http(VECTOR)), tmp_path / "token", tmp_path / "tenant"
        token.write_text("first\n")
        tenant.write_text("team-a")
        found = source(
            server.port,
            bearer_token_file=token,
            headers={"X-Fixed": "yes"},
            header_files={"X-Scope-OrgID": tenant},
            concurrency=1,
        )
        await found.query("up", deadline=Deadline.after(5))
        token.write_text("second-token")
        await found.query("up", deadline=Deadline.after(5))
        await found.close()
        first, second = server.requests
        assert b"Authorization: Bearer first\r\n" in first
        assert b"X-Scope-OrgID: team-a\r\n" in first and b"X-Fixed: yes\r\n" in first
        assert b"Authorization: Bearer second-token\r\n" in second

    async def test_basic(self, serve: Callable[..., Server], tmp_path: Path) -> None:
        server, user, password = serve(http(VECTOR)), tmp_path / "user", tmp_path / "password"
        user.write_text("ann")
        password.write_text("p:w")
        found = source(server.port, username_file=user, password_file=password)
        await found.query("up", deadline=Deadline.after(5))
        await found.close()
        assert b"Authorization: Basic YW5uOnA6dw==" in server.requests[0]

    @pytest.mark.parametrize("content", [None, "", "CANARY\nCANARY", "CANARY\u2026", "CANARY\x00"])
    async def test_what_cannot_be_used_is_not_told(
        self, serve: Callable[..., Server], tmp_path: Path, content: str | None
    ) -> None:
        token = tmp_path / "token"
        if content is not None:
            token.write_text(content)
        found = await failure(serve(http(VECTOR)).port, bearer_token_file=token)
        assert isinstance(found, GiveUp) and found.reason == "credentials"
        assert "CANARY" not in str(found) + repr(found)
        assert found.__cause__ is None

    async def test_a_server_that_repeats_the_token(self, serve: Callable[..., Server], tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("CANARY")
        reply = http("denied: Authorization: Bearer CANARY", "403 Forbidden", "text/plain")
        found = await failure(serve(reply).port, bearer_token_file=token)
        assert "CANARY" not in str(found)

    async def test_no_certificate_file(self, tmp_path: Path) -> None:
        found = await failure(1, cert_file=tmp_path / "missing.pem")
        assert isinstance(found, GiveUp) and found.reason == "credentials"

    def test_nothing_secret_is_printed(self) -> None:
        config = SourceConfig(name="x", url="http://127.0.0.1:1", headers={"Authorization": "CANARY"})  # type: ignore[dict-item]
        found = PrometheusSource(config)
        assert "CANARY" not in repr(config) + str(config) + repr(found) + config.model_dump_json()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"url": "http://ann:CANARY@127.0.0.1:1"},
            {"url": "ftp://127.0.0.1"},
            {"url": "http://127.0.0.1/?q=1"},
            {"url": "http://127.0.0.1", "username_file": "/a"},
            {"url": "http://127.0.0.1", "key_file": "/a"},
            {"url": "http://127.0.0.1", "token": "CANARY"},
            {"url": "http://prometheus:9090", "bearer_token_file": "/t"},
            {"url": "http://prometheus:9090", "username_file": "/u", "password_file": "/p"},
            {"url": "http://prometheus:9090", "headers": {"Authorization": "CANARY"}},
        ],
    )
    def test_a_wrong_configuration_is_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ValueError) as caught:
            SourceConfig(name="x", **wrong)  # type: ignore[arg-type]
        assert "CANARY" not in str(caught.value)


class TestRanges:
    """Replay's client, of prometheus-api-client, reads as the operator's own does."""

    @staticmethod
    async def ask(port: int, **config: object) -> RangeSource:
        found = RangeSource(SourceConfig(name="x", url=f"http://127.0.0.1:{port}", **config))  # type: ignore[arg-type]
        grid = Grid(T0, 1.0, 2)
        await found.query("up", grid, (0, 2), Deadline.after(5))
        return found

    @pytest.mark.parametrize("spaces", range(280, 300))
    async def test_no_half_of_a_secret_is_left_in_a_warning(
        self, serve: Callable[..., Server], tmp_path: Path, spaces: int
    ) -> None:
        token = tmp_path / "token"
        token.write_text("CANARY-CANARY-CANARY")
        told = {**vector("matrix", []), "warnings": ["x" * spaces + "CANARY-CANARY-CANARY is not welcome"]}
        found = await self.ask(serve(http(told)).port, bearer_token_file=token)
        assert found.warnings and not any("CA" in warning for warning in found.warnings)

    @pytest.mark.parametrize(
        ("reply", "reason", "says"),
        [
            (http(vector("matrix", []), kind="text/html"), "bad_answer", "text/html"),
            (http(vector("vector", [])), "bad_answer", "is not a range vector"),
            (http(error("bad_data", "1:5: parse error"), "400 Bad Request"), "bad_query", "parse error"),
        ],
    )
    async def test_failures_are_told_apart(
        self, serve: Callable[..., Server], reply: bytes, reason: str, says: str
    ) -> None:
        with pytest.raises(CallError) as caught:
            await self.ask(serve(reply).port)
        assert caught.value.reason == reason
        assert says in caught.value.message

    async def test_a_header_that_none_can_be(self, serve: Callable[..., Server]) -> None:
        with pytest.raises(GiveUp) as caught:
            await self.ask(serve(http(VECTOR)).port, headers={"X-Tenant": "CANARY\r\nX-Other: 1"})
        assert caught.value.reason == "credentials"
        assert "CANARY" not in str(caught.value)


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    def server(self, serve: Callable[..., Server], authority: trustme.CA, client: trustme.CA | None = None) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        if client is not None:
            client.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return serve(http(VECTOR), context)

    async def ask(self, port: int, **config: object) -> None:
        found = PrometheusSource(SourceConfig(name="x", url=f"https://127.0.0.1:{port}", **config))  # type: ignore[arg-type]
        try:
            await found.query("up", deadline=Deadline.after(5))
        finally:
            await found.close()

    async def test_an_authority_of_ones_own(
        self, serve: Callable[..., Server], tmp_path: Path, authority: trustme.CA
    ) -> None:
        server, ca = self.server(serve, authority), tmp_path / "ca.pem"
        with pytest.raises(GiveUp) as caught:
            await self.ask(server.port)
        assert caught.value.reason == "tls_verify"
        authority.cert_pem.write_to_path(str(ca))
        await self.ask(server.port, ca_file=ca)

    async def test_the_authorities_that_the_environment_names(
        self,
        serve: Callable[..., Server],
        tmp_path: Path,
        authority: trustme.CA,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        server, ca = self.server(serve, authority), tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(ca))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca))
        await self.ask(server.port)

    async def test_a_client_certificate_is_read_again(
        self, serve: Callable[..., Server], tmp_path: Path, authority: trustme.CA
    ) -> None:
        clients = trustme.CA()
        server, ca, cert = self.server(serve, authority, clients), tmp_path / "ca.pem", tmp_path / "client.pem"
        authority.cert_pem.write_to_path(str(ca))
        trustme.CA().issue_cert("someone").private_key_and_cert_chain_pem.write_to_path(str(cert))
        url = f"https://127.0.0.1:{server.port}"
        found = PrometheusSource(SourceConfig(name="x", url=url, ca_file=ca, cert_file=cert, concurrency=1))
        with pytest.raises(TryAgain):
            await found.query("up", deadline=Deadline.after(5))
        clients.issue_cert("operator").private_key_and_cert_chain_pem.write_to_path(str(cert))
        assert (await found.query("up", deadline=Deadline.after(5))).series
        await found.close()


async def test_a_native_histogram_is_read_as_cumulative_buckets(serve: Callable[..., Server]) -> None:
    histogram = {
        "count": "7",
        "sum": "3.5",
        "buckets": [[0, "0.5", "0.6", "2"], [0, "2", "2.5", "4"], [3, "-0.001", "0.001", "1"]],
    }
    server = serve(http(vector("vector", [{"metric": {"owner": "web-1"}, "histogram": [T0, histogram]}])))
    found = source(server.port)
    answer = await found.query("x", deadline=Deadline.after(5))
    await found.close()
    assert {float(labels["le"]): value for labels, value, _ in answer.series} == {
        -0.001: 0, 0.001: 1, 0.5: 1, 0.6: 3, 2.0: 3, 2.5: 7, math.inf: 7,
    }  # fmt: skip
    [key] = buckets_by_target("", "owner")(answer)
    assert key == ("", "web-1")
