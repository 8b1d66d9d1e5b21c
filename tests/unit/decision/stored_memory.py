"""Builds a `Memory` with a value in every field, by reflection, so that no new field can be left out of the tests.

A value depends on where it is stored: on the path of its names in the JSON. Renaming a field in Python changes nothing.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from zlib import crc32

from resilience_operator.decision.model.memory import RuleNames
from resilience_operator.decision.model.memory_codec import stored_name

Path = tuple[str, ...]
MAP_KEY = "a_name"
RECORDED_MEMBERS = {"Verb": 6}
"""How many members a sample was taken from when it was recorded, where there are fewer by now."""
"""The key of every mapping: a name that a person chose."""


def filled(kind: Any, recorded: Mapping[Path, Any] | None = None, path: Path = ()) -> Any:
    """A value of the type `kind` with no field at its default. recorded: only its fields, and its words."""
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        given: dict[str, Any] = {}
        for entry in fields(kind):
            at = (*path, stored_name(entry))
            if entry.metadata.get("transient"):
                continue
            if entry.init and (recorded is None or at in recorded):
                given[entry.name] = filled(hints[entry.name], recorded, at)
                if given[entry.name] == entry.default:
                    raise AssertionError(f"{'.'.join(at)}: the sample is the default, so it proves nothing")
        return kind(**given)
    if kind == RuleNames:
        return tuple(_scalar(str, path).split(", "))
    origin, arguments = get_origin(kind), get_args(kind)
    assert origin is not Annotated, f"say here how {kind} is stored"
    if origin in (Union, types.UnionType):
        return filled(next(a for a in arguments if a is not type(None)), recorded, path)
    if origin in (tuple, frozenset):
        return origin((filled(arguments[0], recorded, (*path, "0")),))
    if origin is not None and issubclass(origin, Mapping):
        return {MAP_KEY: filled(arguments[1], recorded, (*path, MAP_KEY))}
    if recorded is not None and issubclass(kind, Enum):
        return kind(recorded[path])
    return _scalar(kind, path)


def _scalar(kind: Any, path: Path) -> Any:
    number = crc32(".".join(path).encode())
    if kind is bool:
        return True
    if kind is int:
        return 2 + number % 100_000
    if kind is float:
        return float(1_000_000 + number % 1_000_000) + 0.25
    if kind is str or kind is object:
        # Two names, for the fields that store rule names joined.
        return f"{path[-1]}-{number:x}, other-{number:x}"
    if issubclass(kind, Enum):
        members = list(kind)
        return members[number % RECORDED_MEMBERS.get(kind.__name__, len(members) - 1) % len(members)]
    raise TypeError(f"no sample of {kind} for {'.'.join(path)}: add one")


def paths(document: Any, path: Path = ()) -> dict[Path, Any]:
    """The values of a JSON document by the paths of their keys and places."""
    found: dict[Path, Any] = {}
    entries = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    for key, value in entries:
        at = (*path, str(key))
        found |= {at: value} | paths(value, at)
    return found


def every_field(kind: Any) -> dict[str, Field[Any]]:
    """`Class.field` of every dataclass that `kind` is made of."""
    found: dict[str, Field[Any]] = {}
    todo, seen = [kind], set()
    while todo:
        now = todo.pop()
        if not is_dataclass(now):
            todo += get_args(now)
        elif now not in seen:
            seen.add(now)
            found |= {f"{now.__name__}.{entry.name}": entry for entry in fields(now)}
            todo += get_type_hints(now).values()
    return found
