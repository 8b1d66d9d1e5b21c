"""How the client meets what goes wrong on the wire: by error type, within the deadline, leaving no socket open."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest

from resilience_operator.kube.client import credentials
from resilience_operator.kube.client.client import KubeClient, PatchKind
from resilience_operator.kube.client.credentials import NoCluster
from resilience_operator.resilience import (
    CallError,
    Conflict,
    Deadline,
    DeadlineExceeded,
    GiveUp,
    Gone,
    Jitter,
    NotFound,
    RetryPolicy,
    TryAgain,
    Unauthorized,
)
from tests.unit.kube.server import Answer, drop, half, hang, kubeconfig, serving, status, stream

OK = status(200, {"kind": "Thing"})
ONCE = RetryPolicy(attempts=1)


def soon() -> Deadline:
    return Deadline.after(5)


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        pytest.param([OK], 1, id="at once"),
        pytest.param([status(503), OK], 2, id="503"),
        pytest.param([status(429), OK], 2, id="429"),
        pytest.param([status(500), status(502), status(504), OK], 4, id="500, 502, 504"),
        pytest.param([drop, OK], 2, id="dropped"),
        pytest.param([half, OK], 2, id="half an answer"),
        pytest.param([hang, OK], 2, id="hangs"),
        pytest.param([status(200, "no json"), OK], 2, id="no JSON"),
        pytest.param([status(200, [1]), OK], 2, id="no object"),
    ],
)
async def test_what_passes_is_tried_again(tmp_path: Path, answers: list[Answer], requests: int) -> None:
    async with serving(tmp_path, *answers) as (server, kube):
        assert await kube.get("/thing", deadline=soon()) == {"kind": "Thing"}
        assert len(server.requests) == requests


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "requests"),
    [
        pytest.param(status(400), GiveUp, "status_400", 1, id="400"),
        pytest.param(status(401), Unauthorized, "status_401", 2, id="401: once more after a login"),
        pytest.param(status(403), GiveUp, "status_403", 1, id="403"),
        pytest.param(status(404), NotFound, "status_404", 1, id="404"),
        pytest.param(status(409, {"reason": "Conflict"}), Conflict, "status_409", 1, id="409"),
        pytest.param(status(410), Gone, "status_410", 1, id="410"),
        pytest.param(status(422), GiveUp, "status_422", 1, id="422"),
        pytest.param(status(503), TryAgain, "status_503", 4, id="503 for ever"),
        pytest.param(drop, TryAgain, "reset", 4, id="dropped for ever"),
        pytest.param(half, TryAgain, "cut_off", 4, id="half an answer for ever"),
    ],
)
async def test_what_lasts_is_told(
    tmp_path: Path, answer: Answer, kind: type[CallError], reason: str, requests: int
) -> None:
    async with serving(tmp_path, answer) as (server, kube):
        with pytest.raises(kind) as caught:
            await kube.get("/thing", deadline=soon())
        assert (caught.value.reason, caught.value.dependency) == (reason, "kubernetes")
        assert len(server.requests) == requests


async def test_nobody_listens(tmp_path: Path) -> None:
    async with serving(tmp_path, OK) as (server, _):
        url = server.url
    (tmp_path / "closed").write_text(str(kubeconfig(url)))
    async with KubeClient.connect(tmp_path / "closed", retry=ONCE) as kube:
        with pytest.raises(TryAgain) as caught:
            await kube.get("/thing", deadline=soon())
        assert caught.value.reason == "refused"


async def test_no_such_host(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(str(kubeconfig("http://no-such-host.invalid:1")))
    async with KubeClient.connect(tmp_path / "config", retry=ONCE) as kube:
        with pytest.raises(TryAgain) as caught:
            await kube.get("/thing", deadline=soon())
        assert caught.value.reason == "dns"


async def test_a_call_never_outlives_its_deadline(tmp_path: Path) -> None:
    async with serving(tmp_path, hang) as (_, kube):
        began = asyncio.get_running_loop().time()
        with pytest.raises((DeadlineExceeded, TryAgain)):
            await kube.get("/thing", deadline=Deadline.after(0.2))
        assert asyncio.get_running_loop().time() - began < 0.4


async def test_retry_after_is_waited_out(tmp_path: Path) -> None:
    async with serving(tmp_path, status(429, Retry_After="0.3"), OK) as (_, kube):
        began = asyncio.get_running_loop().time()
        await kube.get("/thing", deadline=soon())
        assert asyncio.get_running_loop().time() - began >= 0.3


async def test_cancelling_ends_a_call_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, hang) as (server, kube):
        task = asyncio.create_task(kube.get("/thing", deadline=soon()))
        while not server.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 15)  # the server's answer comes after a minute


@pytest.mark.parametrize("answer", [status(503, "x" * 100_000), status(404), half, drop, status(200, "no json")])
async def test_failing_calls_leave_no_socket_open(tmp_path: Path, answer: Answer) -> None:
    async with serving(tmp_path, answer, retry=ONCE) as (_, kube):

        async def fail() -> None:
            with pytest.raises(CallError):
                await kube.get("/thing", deadline=soon())

        before = sockets()
        for _ in range(20):
            await asyncio.gather(*(fail() for _ in range(20)))
        # Both ends are in this process: two for each of the 20 calls that are made at once, not for each of 400.
        async with asyncio.timeout(30):
            while sockets() > before + 2 * 20:
                gc.collect()
                await asyncio.sleep(0.05)


def sockets() -> int:
    links = (os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if exists(fd))  # noqa: PTH115, PTH208
    return sum(link.startswith("socket:") for link in links)


def exists(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


async def test_what_is_sent(tmp_path: Path) -> None:
    async with serving(tmp_path, OK, token="secret") as (server, kube):
        await kube.patch("/thing", [{"op": "test"}], kind=PatchKind.JSON, deadline=soon())
        await kube.create("/things", {"a": 1}, deadline=soon())
        await kube.get("/thing", params={"labelSelector": "a=b,c in (d, e)"}, deadline=soon())
    patch, create, get = server.requests
    assert patch.headers["Content-Type"] == "application/json-patch+json"
    assert patch.query["fieldManager"] == "resilience-operator"
    assert await patch.json() == [{"op": "test"}]
    assert (create.method, create.query["fieldManager"]) == ("POST", "resilience-operator")
    assert get.query["labelSelector"] == "a=b,c in (d, e)"
    assert get.headers["Authorization"] == "Bearer secret"
    assert get.headers["User-Agent"].startswith("resilience-operator/")


async def test_a_list_is_paged(tmp_path: Path) -> None:
    pages = [
        status(200, {"metadata": {"resourceVersion": "7", "continue": "a/b+c="}, "items": [{"n": 1}, {"n": 2}]}),
        status(200, {"metadata": {"resourceVersion": "7"}, "items": [{"n": 3}]}),
    ]
    async with serving(tmp_path, *pages) as (server, kube):
        found = await kube.list("/things", deadline=soon(), page=2)
    assert [item["n"] for item in found.items] == [1, 2, 3]
    assert found.resource_version == "7"
    assert [r.query.get("continue") for r in server.requests] == [None, "a/b+c="]


async def test_a_token_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    async with serving(tmp_path, OK, tokenFile="token") as (server, kube):
        await kube.get("/thing", deadline=soon())
        token.write_text("second\n")
        await kube.get("/thing", deadline=soon())  # within the minute: the one that is known
        monkeypatch.setattr(credentials, "REREAD", 0.0)
        await kube.get("/thing", deadline=soon())
        token.unlink()
        await kube.get("/thing", deadline=soon())  # being replaced: the one that is known
    sent = [r.headers["Authorization"] for r in server.requests]
    assert sent == ["Bearer first", "Bearer first", "Bearer second", "Bearer second"]


async def test_a_refused_token_is_read_again_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    async with serving(tmp_path, status(401), OK, tokenFile="token") as (server, kube):
        token.write_text("new")
        await kube.get("/thing", deadline=soon())
    assert [r.headers["Authorization"] for r in server.requests] == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize("text", ["", "no: kubeconfig", "[1, 2]", "{", "apiVersion: v1\nkind: Config\n"])
async def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(NoCluster):
        async with KubeClient.connect(tmp_path / "config"):
            pass


async def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match="give --kubeconfig"):
        async with KubeClient.connect(tmp_path / "nowhere"):
            pass


def line(kind: str, name: str, version: int) -> bytes:
    return f'{{"type":"{kind}","object":{{"metadata":{{"name":"{name}","resourceVersion":"{version}"}}}}}}\n'.encode()


LINES = line("ADDED", "a", 1) + line("DELETED", "a", 2)


@pytest.mark.parametrize(
    "chunks",
    [
        [line("ADDED", "a", 1), line("DELETED", "a", 2)],
        [LINES],
        [LINES[:20], LINES[20:90], LINES[90:]],
        [LINES[n : n + 1] for n in range(len(LINES))],
        [b"\n", line("ADDED", "a", 1), b"\n\n", line("DELETED", "a", 2), b"\n"],
    ],
)  # fmt: skip
async def test_a_watch_is_cut_into_lines_wherever_its_chunks_end(tmp_path: Path, chunks: list[bytes]) -> None:
    async with serving(tmp_path, stream(*chunks)) as (server, kube), kube.watch("/things", "5") as events:
        assert [event["type"] async for event in events] == ["ADDED", "DELETED"]
    query = server.requests[0].query
    assert (query["watch"], query["resourceVersion"], query["allowWatchBookmarks"]) == ("true", "5", "true")


async def test_an_event_may_be_very_long(tmp_path: Path) -> None:
    name = "x" * 5_000_000
    async with serving(tmp_path, stream(line("ADDED", name, 1))) as (_, kube), kube.watch("/t", "5") as events:
        assert [len(event["object"]["metadata"]["name"]) async for event in events] == [len(name)]


ERROR = b'{"type":"ERROR","object":{"kind":"Status","code":%d,"reason":"%s","message":"m"}}\n'


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(stream(ERROR % (410, b"Expired")), Gone, id="410 as an event"),
        pytest.param(stream(ERROR % (0, b"Expired")), Gone, id="by its reason"),
        pytest.param(stream(ERROR % (500, b"InternalError")), TryAgain, id="500 as an event"),
        pytest.param(status(410), Gone, id="410 as an answer"),
        pytest.param(status(403), GiveUp, id="403"),
        pytest.param(stream(line("ADDED", "a", 1)[:30]), TryAgain, id="ends within an event"),
        pytest.param(stream(line("ADDED", "a", 1), then="abort"), TryAgain, id="is cut"),
        pytest.param(stream(b"not json\n"), TryAgain, id="no JSON"),
        pytest.param(stream(line("ADDED", "a", 1), then="hang"), TryAgain, id="falls silent"),
    ],
)
async def test_a_watch_that_fails(tmp_path: Path, answer: Answer, kind: type[CallError]) -> None:
    async with serving(tmp_path, answer) as (_, kube):
        with pytest.raises(kind):
            async with kube.watch("/things", "5", silence=0.2) as events:
                async for _event in events:
                    pass


async def test_a_watch_is_opened_under_the_retry_policy(tmp_path: Path) -> None:
    async with serving(tmp_path, status(503), drop, hang, stream(line("ADDED", "a", 1))) as (server, kube):
        async with kube.watch("/things", "5") as events:
            assert [event["type"] async for event in events] == ["ADDED"]
        assert len(server.requests) == 4


async def test_jitter_is_on_by_default() -> None:
    assert RetryPolicy().jitter is Jitter.FULL
