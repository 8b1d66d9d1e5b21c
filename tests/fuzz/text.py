"""JSON text that Python's own encoder would not write: any depth, any number, any escape."""

from __future__ import annotations

import json


class Raw(str):
    """JSON text to be written as it is."""

    __slots__ = ()


def dumps(value: object) -> str:
    """`value` as JSON; `Raw` strings stand for themselves, lone surrogates are escaped."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(key))}:{dumps(found)}" for key, found in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(dumps, value)) + "]"
    return json.dumps(value)


def nested(levels: int, key: str = "", core: str = "1") -> Raw:
    """Lists within lists, or objects within objects under one key."""
    before, after = ("[", "]") if not key else (f"{{{json.dumps(key)}:", "}")
    return Raw(before * levels + core + after * levels)
