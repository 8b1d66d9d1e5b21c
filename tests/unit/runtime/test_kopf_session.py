"""What kopf reads comes through a session of ours: Python's `json` can read all of it, on any supported Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import kopf
import pytest
from kopf._cogs.clients.api import iter_jsonlines

from resilience_operator.kube.client.decoding import Unreadable
from resilience_operator.runtime.cache.kopf_session import session
from tests.unit.kube.server import Answer, serving, status, stream
from tests.unit.kube.test_decoding import DEEPEST, nested, poison


class Kopf:
    """Asks as kopf does, and reads with what kopf reads with."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.unreadable: list[Unreadable] = []

    async def ask(self, tmp_path: Path, path: str) -> Any:
        async with serving(tmp_path, *self.answers) as (server, _):
            found = session(kopf.ConnectionInfo(server=server.url), self.unreadable.append)
            async with found.aiohttp_session as client, client.get(server.url + path) as response:
                if "watch" not in path:
                    return await response.json()
                return [json.loads(line.decode()) async for line in iter_jsonlines(response.content)]


def line(kind: str, obj: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + obj + b"}\n"


def bookmark(version: str) -> dict[str, Any]:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}


async def test_a_watch_goes_past_what_cannot_be_read(tmp_path: Path) -> None:
    kopf_like = Kopf(
        stream(
            line("ADDED", poison("fine")),
            line("ADDED", poison("managed", managed=nested(DEEPEST))),
            line("MODIFIED", poison("orjson-reads-it", spec=nested(600))),
            line("MODIFIED", poison("nobody-reads-it", spec=nested(DEEPEST))),
            line("MODIFIED", poison("number", extra=b',"status":' + b"9" * 5_000)),
            line("DELETED", poison("gone", spec=nested(DEEPEST))),
            line("ADDED", poison("after")),
        )
    )
    events = await kopf_like.ask(tmp_path, "/things?watch=true")
    assert [event["object"]["metadata"].get("name", "") or event for event in events] == [
        "fine",
        "managed",
        *[bookmark("7")] * 3,
        "gone",
        "after",
    ]
    assert [found.name for found in kopf_like.unreadable] == ["orjson-reads-it", "nobody-reads-it", "number"]
    assert all("managedFields" not in event["object"]["metadata"] for event in events)


@pytest.mark.parametrize(
    "odd",
    [
        b'{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd is away"}}\n',
        b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n',
        b"<html>a proxy</html>\n",
        b"[]\n",
        b'{"type":"ADDED","object":null}\n',
    ],
)
async def test_what_would_end_kopf_makes_it_list_again(tmp_path: Path, odd: bytes) -> None:
    events = await Kopf(stream(line("ADDED", poison("one")), odd)).ask(tmp_path, "/things?watch=true")
    assert events[1:] == [{"type": "ERROR", "object": {"code": 410}}]


async def test_a_watch_that_is_cut_off(tmp_path: Path) -> None:
    whole = line("ADDED", poison("one", managed=nested(2_000)))
    with pytest.raises(aiohttp.ClientPayloadError):
        await Kopf(stream(whole, whole[:300])).ask(tmp_path, "/things?watch=true")


async def test_a_list_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    items = [
        poison("fine"),
        poison("managed", managed=nested(DEEPEST)),
        poison("deep", spec=nested(600)),
        poison("deeper", spec=nested(DEEPEST)),
    ]
    for left_out, some in ((["deep"], [*items[:1], items[2]]), (["deeper", "deep"], items)):
        body = b'{"kind":"ThingList","metadata":{"resourceVersion":"9"},"items":[' + b",".join(some) + b"]}"
        kopf_like = Kopf(status(200, body.decode()))
        found = await kopf_like.ask(tmp_path, "/things")
        assert json.loads(json.dumps(found)) == found
        assert found["metadata"] == {"resourceVersion": "9"}
        assert [one.name for one in kopf_like.unreadable] == left_out


async def test_a_list_that_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await Kopf(status(200, '{"items":[{"metadata":{')).ask(tmp_path, "/things")


async def test_other_documents_and_refusals_are_as_they_are(tmp_path: Path) -> None:
    versions = {"kind": "APIVersions", "versions": ["v1"]}
    assert await Kopf(status(200, versions)).ask(tmp_path, "/api") == versions
    refused = {"kind": "Status", "code": 403}
    answer = status(403, refused, Content_Type="application/json")
    assert await Kopf(answer).ask(tmp_path, "/things") == refused


async def test_sessions_are_equal_when_their_credentials_are() -> None:
    one, same, other = (
        session(kopf.ConnectionInfo(server="https://example.org", token=token), print) for token in ("a", "a", "b")
    )
    assert one == same
    assert one != other
    for each in (one, same, other):
        await each.aiohttp_session.close()
