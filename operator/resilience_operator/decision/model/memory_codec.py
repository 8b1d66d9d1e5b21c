"""Converts the memory to and from the JSON in the policy's `status.memory`.

Compact: defaults are omitted, so a quiet policy takes a few hundred bytes. Tolerant: another version of the operator
may have written it, so unknown keys are ignored and missing keys get their defaults. Invalid content raises an error
and is never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from resilience_operator.api.base import EARLIEST, LATEST
from resilience_operator.decision.model.memory import Memory


class UnreadableMemory(ValueError):  # noqa: N818 - says what is so, like InvalidPolicy
    """The stored status is not a valid memory. The text names the invalid fields."""


MAX_DEPTH = 32
"""Maximum nesting of a memory. The operator writes fewer than ten levels."""

MAX_NUMBER = 2.0**53
"""The largest integer up to which JSON numbers are exact."""

MOMENTS = frozenset(
    (
        "since", "crossed", "unknown", "breach", "guilty", "scaled", "called", "rehearsed", "calm", "ready",
        "unmeasured", "began", "paused", "at", "metricsGone",
        "readySince", "stuckSince", "pausingSince", "failingSince", "okSince",
        "outageSince", "outageEnded", "observedAt",
        "servedClean", "scaledDown", "regressed", "changed", "starting", "saturated", "served",
        "heldSince", "liftedAt", "askedAt", "failingFrom", "limited", "resetAt",
    )
)  # fmt: skip
"""JSON keys of numbers that are seconds since the epoch."""

_MAPS_OF_MOMENTS = frozenset(("called", "rehearsed"))

NUMBERS = frozenset(
    (
        "need", "samples", "events", "oldSeconds", "startupSeconds", "new", "old", "likelihoods", "chance", "failing",
        "warmUpSeconds", "oldFailing", "clean", "effect", "margin", "startUp", "scaledValue", "forecast", "needs",
        "cost", "sizes", "within",
    )
)  # fmt: skip
"""JSON keys of the other floating-point numbers."""


def _check_bounds(dumped: Mapping[str, Any]) -> None:
    """Raise UnreadableMemory for values that no operator writes, or that cannot be used or written back."""
    latest, earliest = LATEST.timestamp(), EARLIEST.timestamp()
    left: list[tuple[object, str, int]] = [(dumped, "memory", 0)]
    while left:
        value, key, depth = left.pop()
        if isinstance(value, Mapping):
            inherited = key if key in _MAPS_OF_MOMENTS else ""
            left += [(v, inherited or str(k), depth + 1) for k, v in value.items()]
        elif isinstance(value, list | tuple):
            left += [(v, key, depth + 1) for v in value]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            if not -MAX_NUMBER <= value <= MAX_NUMBER:
                raise UnreadableMemory(f"{key}: the number exceeds 2^53")
            if key in MOMENTS and not earliest <= value <= latest:
                raise UnreadableMemory(f"{key}: the time is outside the years 1 to 9999")
        if depth > MAX_DEPTH:
            raise UnreadableMemory(f"it is nested deeper than {MAX_DEPTH} levels")


def _json_name(python_name: str) -> str:
    return to_camel(python_name.rstrip("_"))


def stored_name(entry: Field[Any]) -> str:
    """Return the JSON key of a field of the memory."""
    return str(entry.metadata.get("alias", _json_name(entry.name)))


class _Document(BaseModel):
    """Provides the pydantic configuration of the nested data classes."""

    model_config = ConfigDict(
        alias_generator=_json_name,
        validate_by_name=False,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        extra="ignore",
        frozen=True,
    )

    memory: Memory


def dump_memory(memory: Memory) -> dict[str, Any]:
    """Return `memory` as JSON values. Equal memories give equal values."""
    document: dict[str, Any] = _Document.model_construct(memory=memory).model_dump(mode="json", exclude_defaults=True)
    dumped: dict[str, Any] = document["memory"]
    _store_learned(dumped)
    if "told" in dumped:
        # Sets are unordered, and a different order would cause a status write.
        dumped["told"].sort()
    return dumped


def _store_learned(dumped: dict[str, Any]) -> None:
    """Keep of the learned load only what is slow to learn, rounded."""
    scaling = dumped.get("scaling")
    if not scaling or (load := scaling.pop("load", None)) is None:
        return
    kept: dict[str, float] = {}
    if margin := round(load.get("margin", 0.0), 2):
        kept["margin"] = margin
    if (start_up := load.get("startUp")) is not None:
        kept["startUp"] = round(start_up)
    if cost := load.get("cost"):
        kept["cost"] = float(f"{cost:.2g}")
    if kept:
        scaling["load"] = kept
    elif not scaling:
        del dumped["scaling"]


def load_memory(dumped: object) -> Memory:
    """Return the memory that `dump_memory` wrote as `dumped`. Raises UnreadableMemory."""
    if not isinstance(dumped, Mapping):
        raise UnreadableMemory(f"the memory is a {type(dumped).__name__}, not an object")
    _check_bounds(dumped)
    try:
        return _Document.model_validate({"memory": dict(dumped)}).memory
    except ValidationError as error:
        places = (f"{'.'.join(map(str, e['loc'][1:])) or 'memory'}: {e['msg']}" for e in error.errors()[:5])
        raise UnreadableMemory("; ".join(places)) from None
