"""Decoder for JSON of the API server that isolates objects that cannot be read.

The API server accepts JSON nested up to 10,000 levels deep; orjson reads 1,024, Python's `json` fewer. Any object's
`metadata.managedFields` may be that deep, since clients may send it. The functions here are called only after orjson
refused a whole page, object or watch line. A scanner finds the parts in one pass over the bytes, without recursion, and
each part is decoded alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

Obj = dict[str, Any]

MAX_DEPTH = 100
"""Levels kept of an object that orjson refused. Fields that the operator reads are nested less than half as deep."""

MANAGED_FIELDS = "metadata.managedFields"

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT = rb'[^"{}\[\]]*+(?:' + _STRING + rb'[^"{}\[\]]*+)*+'  # text without brackets, but for those in strings
_STOP = rb'([{}\[\]"]|\Z)'


def _skipping(levels: int) -> re.Pattern[bytes]:
    """A pattern that matches up to the next bracket, and skips values nested at most `levels` deep.

    It always matches, up to a bracket, to the quote of an unterminated string, or to the end of the text. All
    repetitions are possessive, so each byte is examined at most levels + 1 times.
    """
    text = _FLAT
    for _ in range(levels):
        text = _FLAT + rb"(?:[{\[]" + text + rb"[}\]]" + _FLAT + rb")*+"
    return re.compile(text + _STOP, re.DOTALL)


_STEP = _skipping(0)
_DEEP_STEP = _skipping(5)
_DEEP = 3
"""The depth below which brackets are skipped, unless they are nested deeply."""

_KEY = re.compile(rb"(" + _STRING + rb")(\s*+:)?", re.DOTALL)
_TEXT_FIELD = re.compile(rb"(" + _STRING + rb")\s*+:\s*+(" + _STRING + rb")?", re.DOTALL)
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_BEFORE_FIRST, _BETWEEN = re.compile(rb"\s*+\Z"), re.compile(rb"\s*+,\s*+\Z")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object that exists and cannot be decoded.

    reason: why, as a clause. The identity is empty if it cannot be read either.
    deleted: a watch reported that the object was deleted.
    damaged: the fields, two levels deep, that cannot be read; partial: the object without the content of those fields.
        Both are empty if nothing could be read.
    """

    reason: str
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    deleted: bool = False
    damaged: tuple[str, ...] = ()
    partial: Obj | None = None

    @property
    def metadata(self) -> Obj:
        """The known part of its metadata."""
        found = {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "resourceVersion": self.resource_version,
        }
        return {key: value for key, value in found.items() if value}

    def described(self) -> str:
        """namespace/name, for people."""
        return "/".join(part for part in (self.namespace, self.name) if part) or "(no name found)"


@dataclass(frozen=True, slots=True)
class DecodedList:
    """A page of a list. rest: the list's own fields, `items` empty."""

    rest: Obj
    items: list[Obj]
    unreadable: list[Unreadable]


def identified(obj: object, reason: str) -> Unreadable:
    """Describe a decoded but invalid object, in which any field may be missing. reason: why, as a clause."""
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    known = meta if isinstance(meta, dict) else {}
    return Unreadable(
        reason,
        namespace=_text(known.get("namespace")),
        name=_text(known.get("name")),
        uid=_text(known.get("uid")),
        resource_version=_text(known.get("resourceVersion")),
    )


def decode_list(data: bytes) -> DecodedList:
    """Decode a page item by item. Raises json.JSONDecodeError if it is not a list or is truncated."""
    found = _locate(data, b'"items"', b"[")
    if found is None:
        raise _malformed("no list of items", data)
    start, end, spans = found
    rest = _mapping(orjson.loads(data[:start] + b"[]" + data[end:]), data)
    items: list[Obj] = []
    unreadable: list[Unreadable] = []
    for first, last in spans:
        item = _decode(data[first:last])
        if isinstance(item, Unreadable):
            unreadable.append(item)
        else:
            items.append(item)
    return DecodedList(rest, items, unreadable)


def decode_object(data: bytes) -> Obj | Unreadable:
    """Decode one object. Raises json.JSONDecodeError if it is not an object (a proxy's page) or is truncated."""
    if not data.lstrip().startswith(b"{"):
        raise _malformed("no object", data)
    return _decode(data)


def decode_event(line: bytes, *, shallow: bool = False) -> Obj | Unreadable:
    """Decode a watch event. shallow: keep at most MAX_DEPTH levels of its object, even if orjson reads more.

    Raises json.JSONDecodeError if it is not an event or is truncated.
    """
    found = _locate(line, b'"object"', b"{")
    if found is None:
        raise _malformed("no event", line)
    start, end, _ = found
    event = _mapping(orjson.loads(line[:start] + b"null" + line[end:]), line)
    decoded = _decode(line[start:end], shallow=shallow)
    if not isinstance(decoded, Unreadable):
        return {**event, "object": decoded}
    if event.get("type") != "DELETED":
        return decoded
    if decoded.name:
        return {**event, "object": {"metadata": decoded.metadata}}  # only its identity matters
    return Unreadable(decoded.reason, resource_version=decoded.resource_version, deleted=True)


def _decode(data: bytes, *, shallow: bool = False) -> Obj | Unreadable:
    if not shallow:
        try:
            return _mapping(orjson.loads(data), data)
        except orjson.JSONDecodeError:
            pass
    pruned, cut = _prune(data)
    try:
        try:
            obj = orjson.loads(pruned)
        except orjson.JSONDecodeError:
            obj = orjson.loads(_repaired(pruned))
    except orjson.JSONDecodeError as error:
        return _found_in(data, f"it is not JSON that can be read: {error.msg}")
    obj = _mapping(obj, data)
    damaged = tuple(sorted(cut - {MANAGED_FIELDS}))
    if not damaged:
        return obj
    reason = f"{', '.join(damaged)} is nested more than {MAX_DEPTH} levels deep"
    return replace(identified(obj, reason), damaged=damaged, partial=obj)


def _prune(data: bytes) -> tuple[bytes, set[str]]:
    """The text with `null` for each value nested deeper than MAX_DEPTH, and the fields that contained them."""
    depth = kept = begin = 0
    path = ["", ""]
    parts: list[bytes] = []
    cut: set[str] = set()
    for bracket, at, filler in _steps(data):
        if bracket in b"{[":
            if 1 <= depth <= 2:
                path[depth - 1 :] = [_decoded(_last_key(data[filler:at])), *[""] * (2 - depth)]
            depth += 1
            if depth == MAX_DEPTH + 1:
                begin = at
        else:
            if depth == MAX_DEPTH + 1:
                parts += (data[kept:begin], b"null")
                kept = at + 1
                cut.add(".".join(key for key in path if key))
            depth -= 1
    return (b"".join((*parts, data[kept:])), cut) if parts else (data, cut)


def _locate(data: bytes, key: bytes, kind: bytes) -> tuple[int, int, list[tuple[int, int]]] | None:
    """The span of a top-level key's value, if it begins with that bracket, and the spans of the objects in it."""
    depth = start = begin = 0
    inside, found = False, None
    spans: list[tuple[int, int]] = []
    for bracket, at, filler in _steps(data):
        if bracket in b"{[":
            if depth == 1:
                inside = found is None and bracket == kind and _last_key(data[filler:at]) == key
                start = at
            elif depth == 2 and inside and kind == b"[":
                separator = _BETWEEN if spans else _BEFORE_FIRST
                if bracket != b"{" or not separator.match(data, filler, at):
                    raise _malformed("an item is no object", data, filler)
                begin = at
            depth += 1
        else:
            depth -= 1
            if depth == 2 and inside and kind == b"[":
                spans.append((begin, at + 1))
            elif depth == 1 and inside:
                if kind == b"[" and not _BEFORE_FIRST.match(data, filler, at):
                    raise _malformed("an item is no object", data, filler)
                inside, found = False, (start, at + 1, spans)
    return found


def _steps(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each relevant bracket: the bracket, its position, and the start of the text before it.

    Below _DEEP, values that are nested only a few levels are skipped with the text.

    Raises json.JSONDecodeError if a string is unterminated or the brackets are not balanced.
    """
    depth = position = 0
    while step := (_STEP if depth < _DEEP else _DEEP_STEP).match(data, position):
        bracket, at = step[1], step.start(1)
        if not bracket:
            break
        if bracket == b'"':
            raise _malformed("a string has no end", data, at)
        depth += 1 if bracket in b"{[" else -1
        if depth < 0:
            raise _malformed("a bracket too many", data, at)
        yield bracket, at, position
        position = at + 1
    if depth:
        raise _malformed("it is cut off", data, len(data))


def _last_key(filler: bytes) -> bytes:
    """The key, with its quotes, at the end of the text before a bracket; empty if there is none."""
    last = next(reversed(list(_KEY.finditer(filler))), None)
    return last[1] if last is not None and last[2] is not None else b""


def _found_in(data: bytes, reason: str) -> Unreadable:
    """An object that cannot be decoded, with the metadata fields that identify it."""
    found: dict[bytes, str] = {}
    depth, inside = 0, False
    for bracket, at, filler in _steps(data):
        if depth == 2 and inside:
            for field in _TEXT_FIELD.finditer(data, filler, at):
                if field[2] is not None:
                    found[field[1]] = _decoded(field[2])
        if bracket in b"{[":
            if depth == 1:
                inside = bracket == b"{" and _last_key(data[filler:at]) == b'"metadata"'
            depth += 1
        else:
            depth -= 1
    return Unreadable(
        reason,
        namespace=found.get(b'"namespace"', ""),
        name=found.get(b'"name"', ""),
        uid=found.get(b'"uid"', ""),
        resource_version=found.get(b'"resourceVersion"', ""),
    )


def _repaired(data: bytes) -> bytes:
    """The text with U+FFFD for invalid characters: bytes that are not UTF-8, and unpaired surrogates."""
    text = data.decode("utf-8", "replace").encode()
    return _ESCAPE.sub(lambda escape: b"\\ufffd" if escape[1] else escape[0], text)


def _decoded(string: bytes) -> str:
    try:
        return _text(orjson.loads(_repaired(string))) if string else ""
    except orjson.JSONDecodeError:
        return ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: object, data: bytes) -> Obj:
    if not isinstance(value, dict):
        raise _malformed("no object", data)
    return value


def _malformed(what: str, data: bytes, position: int = 0) -> json.JSONDecodeError:
    # The error does not contain the text, which may be several megabytes.
    return json.JSONDecodeError(f"{what} ({len(data)} bytes)", "", position)
