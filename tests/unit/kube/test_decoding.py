"""Decoding object by object: equal to `json` for whatever it can read, linear, and without recursion."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.decoding import (
    MAX_DEPTH,
    Obj,
    Unreadable,
    _decode,
    decode_event,
    decode_list,
    decode_object,
)
from resilience_operator.resilience import Deadline, GiveUp, RetryPolicy, TryAgain
from tests.unit.kube.server import serving, status, stream

DEEPEST = 10_000
"""Levels that the API server reads: encoding/json's own bound."""

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.sampled_from(['"', "\\", '\\"', "{", "]", '"items":[', "\\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=30,
)
objects = st.dictionaries(texts | st.sampled_from(["metadata", "object", "items", "type"]), values, max_size=5)
spacings = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


def text_of(value: Any, spacing: tuple[str, str], ascii_only: bool) -> bytes:
    return json.dumps(value, separators=spacing, ensure_ascii=ascii_only).encode()


@given(objects, st.lists(objects, max_size=5), spacings, st.booleans())
def test_a_list_is_what_json_reads(rest: Obj, items: list[Obj], spacing: tuple[str, str], ascii_only: bool) -> None:
    rest.pop("items", None)
    text = text_of({**rest, "items": items, "kind": "ThingList"}, spacing, ascii_only)
    found = decode_list(text)
    assert found.items == items
    assert found.rest == {**rest, "items": [], "kind": "ThingList"}
    assert found.unreadable == []


@given(objects, spacings, st.booleans())
def test_an_object_is_what_json_reads(obj: Obj, spacing: tuple[str, str], ascii_only: bool) -> None:
    text = text_of(obj, spacing, ascii_only)
    assert decode_object(text) == obj
    # The scanner's own way, which is only gone when orjson refuses.
    assert _decode(text, shallow=True) == obj


@given(objects, objects, spacings)
def test_an_event_is_what_json_reads(rest: Obj, obj: Obj, spacing: tuple[str, str]) -> None:
    rest.pop("object", None)
    event = {**rest, "type": "ADDED", "object": obj}
    assert decode_event(text_of(event, spacing, True), shallow=True) == event


@given(st.lists(objects, min_size=1, max_size=3), st.data())
def test_what_is_cut_off_is_refused(items: list[Obj], data: st.DataObject) -> None:
    text = text_of({"kind": "ThingList", "items": items}, (",", ":"), True)
    length = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(json.JSONDecodeError):
        decode_list(text[:length])


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[]":,\\ea1 '), max_size=60).map(str.encode))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for decode in (decode_list, decode_object, decode_event):
        try:
            found = decode(data)
        except json.JSONDecodeError:
            continue
        try:
            wanted = json.loads(data)
        except ValueError:  # a surrogate that stands alone, bytes that are not UTF-8: read all the same
            continue
        if decode is decode_object and not isinstance(found, Unreadable):
            assert found == wanted


def nested(levels: int, left: bytes = b'{"f:a":', right: bytes = b"}") -> bytes:
    return left * levels + b"{}" + right * levels


def poison(name: str, *, managed: bytes = b"{}", spec: bytes = b"{}", extra: bytes = b"") -> bytes:
    return (
        b'{"metadata":{"name":"' + name.encode() + b'","namespace":"shop","uid":"u","resourceVersion":"7",'
        b'"labels":{"name":"not-this","uid":"nor-this"},"managedFields":[{"manager":"kubectl","fieldsV1":{"f:spec":'
        b'{"f:paused":{}}}},{"manager":"x","fieldsV1":'
        + managed
        + b'}]},"spec":{"template":'
        + spec
        + b"}"
        + extra
        + b"}"
    )


@pytest.mark.parametrize("left", [b'{"f:a":', b'{"":', b'{"a\\"{":'])
@pytest.mark.parametrize("levels", [1_025, 2_000, DEEPEST])
def test_deep_managed_fields_leave_the_object_usable(levels: int, left: bytes) -> None:
    text = poison("checkout", managed=nested(levels, left))
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(text)
    found = decode_object(text)
    assert isinstance(found, dict)
    assert found["spec"] == {"template": {}}
    assert found["metadata"]["managedFields"][0] == {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:paused": {}}}}
    json.dumps(found)


def test_what_is_deep_elsewhere_makes_it_unreadable() -> None:
    found = decode_object(poison("checkout", spec=nested(2_000, b"[", b"]")))
    assert isinstance(found, Unreadable)
    assert (found.namespace, found.name, found.uid, found.resource_version) == ("shop", "checkout", "u", "7")
    assert found.damaged == ("spec.template",)
    assert found.reason == f"spec.template is nested more than {MAX_DEPTH} levels deep"
    assert found.partial is not None
    assert found.partial["metadata"]["name"] == "checkout"


@pytest.mark.parametrize("number", [b"9" * 5_000, b"1e400", b"-" + b"1" * 400, b"NaN", b"Infinity"])
def test_a_number_beyond_all_bounds_makes_it_unreadable(number: bytes) -> None:
    found = decode_object(poison("checkout", extra=b',"replicas":' + number))
    assert isinstance(found, Unreadable)
    assert (found.namespace, found.name, found.uid, found.resource_version) == ("shop", "checkout", "u", "7")
    assert found.partial is None


@pytest.mark.parametrize("number", [b"9" * 30, b"18446744073709551616", b"1e-400", b"1." + b"3" * 6_000])
def test_a_long_number_that_a_float_holds_is_read(number: bytes) -> None:
    found = decode_object(poison("checkout", managed=nested(2_000), extra=b',"replicas":' + number))
    assert isinstance(found, dict)
    assert found["replicas"] == pytest.approx(float(number))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b'"\\ud800"', "\ufffd"),
        (b'"\\udc00\\ud800"', "\ufffd\ufffd"),
        (b'"\\ud83e\\udd80"', "🦀"),
        (b'"\\ud800\\ud83e\\udd80"', "\ufffd🦀"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\xff"', "\ufffd"),
        (b'"\\u0000"', "\0"),
    ],
)
def test_what_is_no_character_is_replaced(text: bytes, wanted: str) -> None:
    found = decode_object(b'{"metadata":{"name":"a"},"text":' + text + b"}")
    assert isinstance(found, dict)
    assert found["text"] == wanted


def test_one_bad_item_costs_only_itself() -> None:
    items = [
        poison("one"),
        poison("two", spec=nested(DEEPEST)),
        poison("three", managed=nested(DEEPEST)),
        poison("four"),
    ]
    found = decode_list(b'{"kind":"L","metadata":{"resourceVersion":"9"},"items":[' + b",".join(items) + b"]}\n")
    assert [item["metadata"]["name"] for item in found.items] == ["one", "three", "four"]
    assert [one.name for one in found.unreadable] == ["two"]
    assert found.rest["metadata"] == {"resourceVersion": "9"}


def test_a_deletion_needs_no_more_than_the_name() -> None:
    line = b'{"type":"DELETED","object":' + poison("checkout", spec=nested(2_000)) + b"}"
    assert decode_event(line) == {
        "type": "DELETED",
        "object": {"metadata": {"namespace": "shop", "name": "checkout", "uid": "u", "resourceVersion": "7"}},
    }


@pytest.mark.parametrize("bad", [b"[1]", b"[{},]", b"[,{}]", b"[{}{}]", b"[[]]", b"[null]", b"[{} 1]"])
def test_items_are_objects_with_commas_between(bad: bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        decode_list(b'{"items":' + bad + b"}")


def seconds(decode: Callable[[bytes], object], data: bytes) -> float:
    """The least of a few runs, in processor time: others may be at work."""
    taken = []
    for _ in range(3):
        began = time.thread_time()
        with suppress(json.JSONDecodeError):
            decode(data)
        taken.append(time.thread_time() - began)
    return min(taken)


@pytest.mark.parametrize(
    "made",
    [
        lambda n: poison("a", managed=nested(n)),
        lambda n: poison("a", spec=b"[" * 1_100 + b"[[[[[[[]]]]]]]," * n + b"1" + b"]" * 1_100),
        lambda n: poison("a", spec=b'["' + b'\\"' * n),
        lambda n: poison("a", spec=b'["a",' * 4 + b'"a",[],' * n + b'"'),
        lambda n: b"[" * n,
        lambda n: b'{"items":[' + b'{"a":"\\ud800"},' * n + b"{}]}",
    ],
    ids=["deep", "wide", "unclosed", "unclosed-after-many", "brackets", "items"],
)
def test_time_grows_with_the_length(made: Callable[[int], bytes]) -> None:
    small, large = made(4_000), made(40_000)
    decode = decode_list if b'"items"' in small else decode_object
    # Ten times as long: 100 times as much if it were quadratic.
    assert seconds(decode, large) < 40 * seconds(decode, small) + 0.05


def test_nothing_recurses() -> None:
    text = poison("a", managed=nested(DEEPEST), spec=nested(DEEPEST))
    limit = sys.getrecursionlimit()
    depth, frame = 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    sys.setrecursionlimit(depth + 25)
    try:
        found = decode_object(text)
    finally:
        sys.setrecursionlimit(limit)
    assert isinstance(found, Unreadable)


def soon() -> Deadline:
    return Deadline.after(5)


async def test_a_page_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    items = b",".join([poison("one"), poison("two", spec=nested(2_000)), poison("three", managed=nested(2_000))])
    body = b'{"kind":"L","metadata":{"resourceVersion":"9"},"items":[' + items + b"]}"
    async with serving(tmp_path, status(200, body.decode())) as (server, kube):
        found = await kube.list("/things", deadline=soon())
    assert len(server.requests) == 1
    assert [item["metadata"]["name"] for item in found.items] == ["one", "three"]
    assert [one.name for one in found.unreadable] == ["two"]
    assert found.resource_version == "9"


async def test_a_page_that_is_cut_off_is_asked_for_again(tmp_path: Path) -> None:
    whole = b'{"metadata":{"resourceVersion":"9"},"items":[' + poison("one", managed=nested(2_000)) + b"]}"
    for length in (len(whole) - 1, len(whole) - 2, len(whole) // 2, 40):
        async with serving(tmp_path, status(200, whole[:length].decode()), retry=RetryPolicy(attempts=1)) as (_, kube):
            with pytest.raises(TryAgain) as error:
                await kube.list("/things", deadline=soon())
            assert error.value.reason == "malformed"


async def test_a_single_object(tmp_path: Path) -> None:
    usable, damaged = poison("one", managed=nested(2_000)), poison("two", spec=nested(2_000))
    async with serving(tmp_path, status(200, usable.decode()), status(200, damaged.decode())) as (_, kube):
        assert (await kube.get("/things/one", deadline=soon()))["metadata"]["name"] == "one"
        with pytest.raises(GiveUp) as error:
            await kube.get("/things/two", deadline=soon())
        assert error.value.reason == "undecodable"
        assert "shop/two cannot be read: spec.template is nested" in error.value.message


async def test_a_write_is_not_undone_by_its_answer(tmp_path: Path) -> None:
    async with serving(tmp_path, status(200, poison("two", spec=nested(2_000)).decode())) as (server, kube):
        found = await kube.create("/things", {"kind": "Thing"}, deadline=soon())
    assert found["metadata"]["resourceVersion"] == "7"
    assert len(server.requests) == 1


async def test_a_watch_goes_past_what_cannot_be_read(tmp_path: Path) -> None:
    def line(obj: bytes) -> bytes:
        return b'{"type":"ADDED","object":' + obj + b"}\n"

    lines = [
        line(poison("one")),
        line(poison("two", spec=nested(DEEPEST))),
        line(poison("three", managed=nested(3_000))),
    ]
    async with serving(tmp_path, stream(*lines)) as (_, kube):
        found = await watched(kube)
    assert [one.name if isinstance(one, Unreadable) else one["object"]["metadata"]["name"] for one in found] == [
        "one",
        "two",
        "three",
    ]
    assert isinstance(found[1], Unreadable)


async def watched(kube: KubeClient) -> list[Obj | Unreadable]:
    async with kube.watch("/things", "1") as events:
        return [event async for event in events]
