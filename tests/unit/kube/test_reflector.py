"""The reflector against a server that plays a script: gaps, 410, cut watches, refused lists, broken objects."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from resilience_operator.kube.cache.reflector import Reflector, WatchTiming
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import Resource
from resilience_operator.resilience import Jitter, RetryPolicy
from tests.unit.kube.server import serving, status

THINGS = Resource("example.org", "v1", "things", "Thing")
FAST = RetryPolicy(base=0.01, cap=0.02, jitter=Jitter.NONE)
Obj = dict[str, Any]


def thing(name: str, version: int, value: str = "v", namespace: str = "ns") -> Obj:
    return {"metadata": {"namespace": namespace, "name": name, "resourceVersion": str(version)}, "value": value}


def trim(obj: Obj, _: str | None) -> str | None:
    if obj["value"] == "broken":
        raise KeyError("an object that cannot be read")
    return None if obj["value"] == "ignored" else f"{obj['metadata']['name']}={obj['value']}"


class Api:
    """Lists what it is given; each watch plays the next of its scripts, and those after them `then`: they stay open."""

    def __init__(self) -> None:
        self.items: list[Obj] = []
        self.version = 1
        self.scripts: list[list[tuple[str, Obj] | str | bytes | asyncio.Event]] = []
        self.then: list[tuple[str, Obj] | str | bytes | asyncio.Event] = ["stay"]
        self.lists: list[dict[str, str]] = []
        self.watches: list[dict[str, str]] = []
        self.refuse: list[int] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        if self.refuse:
            return await status(self.refuse.pop(0))(request)
        if "watch" not in query:
            self.lists.append({**query, "path": request.path})
            body = {"metadata": {"resourceVersion": str(self.version)}, "items": self.items}
            return web.json_response(body)
        self.watches.append({**query, "path": request.path})
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for step in self.scripts.pop(0) if self.scripts else self.then:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif step == "cut":
                await asyncio.sleep(0.02)
                assert request.transport is not None
                request.transport.abort()
            elif step == "stay":
                await asyncio.sleep(60)
            elif step == "gone":
                gone = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}
                await response.write(json.dumps(gone).encode() + b"\n")
            elif isinstance(step, bytes):
                await response.write(step)
            elif step != "end":
                kind, obj = step
                await response.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")
        return response


class Watched:
    """A reflector that runs, and what its listener heard."""

    def __init__(self, kube: KubeClient, **options: Any) -> None:
        self.heard: list[tuple[str | None, str | None]] = []
        self.reflector: Reflector[str] = Reflector(
            kube,
            THINGS,
            trim,
            on_change=lambda *change: self.heard.append(change),
            **{"timing": WatchTiming(backoff=FAST), **options},
        )

    @property
    def content(self) -> list[str]:
        return sorted(self.reflector.store)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def watching(tmp_path: Path, api: Api, **options: Any) -> AsyncIterator[Watched]:
    async with serving(tmp_path, api) as (_, kube):
        watched = Watched(kube, **options)
        task = asyncio.create_task(watched.reflector.run())
        try:
            yield watched
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled(), "only cancelling ends it"


@pytest.fixture
def api() -> Api:
    return Api()


async def test_it_lists_and_then_follows(tmp_path: Path, api: Api) -> None:
    api.items = [thing("a", 1), thing("b", 1)]
    api.scripts = [
        [
            ("MODIFIED", thing("a", 2, "w")),
            ("ADDED", thing("c", 3)),
            ("DELETED", thing("b", 4)),
            ("MODIFIED", thing("a", 5, "w")),  # nothing that is kept has changed
            "stay",
        ]
    ]
    async with watching(tmp_path, api) as watched:
        await watched.until(lambda: watched.content == ["a=w", "c=v"])
        await watched.until(watched.reflector.synced.is_set)
    assert watched.heard == [
        (None, "a=v"), (None, "b=v"), ("a=v", "a=w"), (None, "c=v"), ("b=v", None),
    ]  # fmt: skip
    assert api.watches[0]["resourceVersion"] == "1"


async def test_after_a_cut_it_goes_on_from_the_last_event(tmp_path: Path, api: Api) -> None:
    api.scripts = [[("ADDED", thing("a", 7)), "cut"], [("ADDED", thing("b", 9)), "stay"]]
    async with watching(tmp_path, api) as watched:
        await watched.until(lambda: watched.content == ["a=v", "b=v"])
    assert [w["resourceVersion"] for w in api.watches] == ["1", "7"]
    assert len(api.lists) == 1


async def test_a_bookmark_moves_on_where_nothing_happens(tmp_path: Path, api: Api) -> None:
    api.scripts = [[("BOOKMARK", {"metadata": {"resourceVersion": "50"}}), "cut"], ["stay"]]
    async with watching(tmp_path, api) as watched:
        await watched.until(lambda: len(api.watches) == 2)
    assert api.watches[1]["resourceVersion"] == "50"
    assert watched.content == []


async def test_what_was_deleted_in_a_gap_is_dropped(tmp_path: Path, api: Api) -> None:
    api.items = [thing("a", 1), thing("b", 1)]
    gap = asyncio.Event()
    api.scripts = [[gap, "gone"], ["stay"]]
    async with watching(tmp_path, api) as watched:
        await watched.until(lambda: watched.content == ["a=v", "b=v"])
        api.items, api.version = [thing("b", 8, "new")], 8
        gap.set()
        await watched.until(lambda: watched.content == ["b=new"] and len(api.watches) == 2)
    assert ("a=v", None) in watched.heard
    assert api.watches[-1]["resourceVersion"] == "8"


async def test_an_object_that_cannot_be_read_harms_no_other(tmp_path: Path, api: Api) -> None:
    """And what was known of it before is no longer believed."""
    api.items = [thing("a", 1), thing("bad", 1, "broken"), thing("c", 1)]
    mended = asyncio.Event()
    api.scripts = [
        [
            *[("MODIFIED", thing("c", 2, "broken")), ("ADDED", thing("d", 3)), ("ADDED", thing("gone", 4, "broken"))],
            ("DELETED", thing("gone", 5, "broken")),
            mended,
            ("MODIFIED", thing("c", 6, "mended")),
            "stay",
        ]
    ]
    async with watching(tmp_path, api) as watched:
        await watched.until(lambda: "d=v" in watched.content and len(watched.reflector.unreadable) == 2)
        assert watched.content == ["a=v", "d=v"]
        assert ("c=v", None) in watched.heard
        assert watched.reflector.unreadable == {
            ("ns", "bad"): "KeyError: 'an object that cannot be read'",
            ("ns", "c"): "KeyError: 'an object that cannot be read'",
        }
        mended.set()
        await watched.until(lambda: "c=mended" in watched.content)
        assert list(watched.reflector.unreadable) == [("ns", "bad")]
        api.items, api.version = [thing("a", 1)], 9
        watched.reflector.relist()
        await watched.until(lambda: watched.content == ["a=v"])
        assert watched.reflector.unreadable == {}


async def test_an_event_that_cannot_be_decoded_is_not_read_twice(tmp_path: Path, api: Api) -> None:
    event = json.dumps({"type": "MODIFIED", "object": {**thing("a", 7), "spec": {"with": 0}}})
    line = event.replace("0}", "[" * 1_500 + "]" * 1_500 + "}").encode() + b"\n"
    api.items = [thing("a", 1), thing("b", 1)]
    api.scripts = [[line, "cut"], ["stay"]]
    async with watching(tmp_path, api) as watched:
        await watched.until(lambda: len(api.watches) == 2)
        assert watched.content == ["b=v"]
        assert watched.reflector.unreadable == {("ns", "a"): "spec.with is nested more than 100 levels deep"}
    assert api.watches[1]["resourceVersion"] == "7"
    assert len(api.lists) == 1


async def test_what_the_trim_does_not_want_is_not_kept(tmp_path: Path, api: Api) -> None:
    api.items = [thing("a", 1, "ignored"), thing("b", 1)]
    api.scripts = [[("MODIFIED", thing("b", 2, "ignored")), ("ADDED", thing("c", 3)), "stay"]]
    async with watching(tmp_path, api) as watched:
        await watched.until(lambda: watched.content == ["c=v"])


async def test_a_listener_that_fails_does_not_end_it(tmp_path: Path, api: Api) -> None:
    api.items = [thing("a", 1), thing("b", 1)]
    async with watching(tmp_path, api) as watched:

        def fail(*_: object) -> None:
            raise RuntimeError("a listener")

        watched.reflector.on_change = fail
        await watched.until(lambda: watched.content == ["a=v", "b=v"])


@pytest.mark.parametrize("code", [500, 503, 429, 403, 404])
async def test_a_refused_list_is_tried_until_it_is_answered(tmp_path: Path, api: Api, code: int) -> None:
    api.items = [thing("a", 1)]
    api.refuse = [code] * 12
    async with watching(tmp_path, api) as watched:
        await watched.until(watched.reflector.synced.is_set)
        assert watched.content == ["a=v"]


async def test_a_server_that_ends_each_watch_at_once_is_not_hammered(tmp_path: Path, api: Api) -> None:
    api.scripts = [["end"]] * 1000
    began = time.monotonic()
    async with watching(tmp_path, api) as watched:
        await watched.until(lambda: len(api.watches) >= 5)
    assert len(api.watches) <= 5 + 100 * (time.monotonic() - began)


async def test_watches_that_fail_again_and_again_cast_doubt_on_the_version(tmp_path: Path, api: Api) -> None:
    api.scripts = [["end"]] * 7 + [["stay"]]
    async with watching(tmp_path, api) as watched:
        await watched.until(lambda: len(api.lists) >= 2)


async def test_after_a_silent_watch_it_lists_again(tmp_path: Path, api: Api) -> None:
    """Something between the two may swallow the events of every watch: the list does not depend on it."""
    async with watching(tmp_path, api, timing=WatchTiming(silence=0.3, backoff=FAST)) as watched:
        await watched.until(lambda: len(api.watches) == 1)
        api.items = [thing("a", 5)]
        await watched.until(lambda: watched.content == ["a=v"])
        assert len(api.lists) == 2


async def test_it_lists_again_when_asked(tmp_path: Path, api: Api) -> None:
    api.items = [thing("a", 1)]
    async with watching(tmp_path, api) as watched:
        await watched.until(lambda: len(api.watches) == 1)
        api.items = [thing("b", 2)]
        watched.reflector.relist()
        await watched.until(lambda: watched.content == ["b=v"])
        await watched.until(lambda: len(api.watches) == 2)
    assert len(api.lists) == 2


async def test_it_lists_again_now_and_then(tmp_path: Path, api: Api) -> None:
    api.items = [thing("a", 1)]
    api.then = [("BOOKMARK", {"metadata": {"resourceVersion": "2"}}), "end"]
    async with watching(tmp_path, api, timing=WatchTiming(relist_every=0.1, backoff=FAST)) as watched:
        await watched.until(lambda: len(api.lists) >= 3)


async def test_namespaces_are_listed_and_swept_apart(tmp_path: Path, api: Api) -> None:
    api.items = []
    api.scripts = [["stay"], ["stay"]]
    async with watching(tmp_path, api, namespaces=("one", "two")) as watched:
        await watched.until(watched.reflector.synced.is_set)
        await watched.until(lambda: len(api.watches) == 2)
    assert sorted(query["path"] for query in api.lists) == [
        "/apis/example.org/v1/namespaces/one/things",
        "/apis/example.org/v1/namespaces/two/things",
    ]


async def test_contact_is_remembered(tmp_path: Path, api: Api) -> None:
    api.refuse = [503] * 8
    clock = asyncio.get_running_loop().time
    async with watching(tmp_path, api) as watched:
        assert watched.reflector.last_contact is None
        await watched.until(watched.reflector.synced.is_set)
        contact = watched.reflector.last_contact
        assert contact is not None
        assert 0 <= clock() - contact < 1


async def test_indexes(tmp_path: Path, api: Api) -> None:
    api.items = [thing("a", 1, "x"), thing("b", 1, "x"), thing("c", 1, "y")]
    async with watching(tmp_path, api, indexes={"value": lambda record: record[-1]}) as watched:
        await watched.until(watched.reflector.synced.is_set)
        assert watched.reflector.by("value", "x") == ["a=x", "b=x"]
        assert watched.reflector.get("ns", "c") == "c=y"
