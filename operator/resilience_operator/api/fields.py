"""Field types of a spec: durations, thresholds, names, references.

Each has a check in Python, and the schema for the same check on the API server.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from .checks import JsonSchema, cel_string, sentence
from .quantities import (
    DURATION_MAX_LENGTH,
    DURATION_PATTERN,
    THRESHOLD_HINT,
    THRESHOLD_MAX_LENGTH,
    THRESHOLD_PATTERN,
    QuantityError,
    Threshold,
    Unit,
    format_duration,
    format_threshold,
    parse_duration,
    parse_threshold,
)

_UNREACHED = 1_000_000
"""A minimum number of items or properties that no object can have."""


Write = Callable[[Any], Any]
"""Writes a field's value as it stands in a document."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Annotates a field: `parse` reads its value and raises ValueError, and `write` is the inverse."""

    parse: Callable[[Any], Any]
    write: Write
    schema: Callable[[], JsonSchema]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse, serialization=core_schema.plain_serializer_function_ser_schema(self.write)
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return self.schema()


def duration_field(at_least: str = "0s", at_most: str = "168h") -> Parsed:
    """A duration within bounds. Its value and its default in Python are in seconds."""
    low, high = parse_duration(at_least), parse_duration(at_most)
    hint = f"write a duration from {at_least} to {at_most}, like 30s, 2m, 1m30s or 800ms"

    def parse(written: object) -> float:
        try:
            seconds = parse_duration(written)
        except QuantityError as error:
            raise QuantityError(f"{str(error).split(':', maxsplit=1)[0]}: {hint}") from None
        if not low <= seconds <= high:
            raise QuantityError(f"{written} is out of range: {hint}")
        return seconds

    def schema() -> JsonSchema:
        form = cel_string(f"^({DURATION_PATTERN})$")
        within = f"duration(self) >= duration('{at_least}') && duration(self) <= duration('{at_most}')"
        return {
            "type": "string",
            "maxLength": DURATION_MAX_LENGTH,
            "x-kubernetes-validations": [{"rule": f"self != '' && self.matches({form}) && {within}", "message": hint}],
        }

    return Parsed(parse, format_duration, schema)


Duration = Annotated[float, duration_field()]
"""Seconds, from 0 to a week; in YAML like `1m30s`."""


def _write_threshold(threshold: Threshold) -> str | float:
    return threshold.value if threshold.unit is Unit.NUMBER else format_threshold(threshold)


def _threshold_schema() -> JsonSchema:
    """A schema without `type`, since `70%` is a string and 0.7 a number. Each type is bounded by its own keywords."""
    return {
        "x-kubernetes-preserve-unknown-fields": True,
        "maxLength": THRESHOLD_MAX_LENGTH,
        "anyOf": [
            sentence(THRESHOLD_HINT.removeprefix("write ")),
            {
                "pattern": f"^({THRESHOLD_PATTERN})$",
                "minLength": 1,
                "minimum": 0,
                "minItems": _UNREACHED,
                "minProperties": _UNREACHED,
                "not": {"enum": [True, False, None]},
            },
        ],
    }


def percentage_field(at_least: float, at_most: float, places: int, example: str, write: Write) -> Parsed:
    """A percentage within bounds (both in percent), written with its sign. Its value is a ratio: `20%` is 0.2.

    A number without a sign is refused, since 20 could be meant as 20%. places: decimals at most.
    """
    digits = len(f"{at_most:g}")
    pattern = rf"[0-9]{{1,{digits}}}(\.[0-9]{{1,{places}}})?%"
    longest = digits + places + len(".%")
    hint = f"write a percentage from {at_least:g}% to {at_most:g}%, like {example}"

    def parse(written: object) -> float:
        if isinstance(written, str) and len(written) <= longest and re.fullmatch(pattern, written):
            percent = float(written[:-1])
            if at_least <= percent <= at_most:
                return percent / 100
        raise QuantityError(f"{_shown(written)} is not allowed here: {hint}")

    def schema() -> JsonSchema:
        number = "double(self.replace('%', ''))"
        within = f"{number} >= {float(at_least)} && {number} <= {float(at_most)}"
        rule = {"rule": f"self.matches({cel_string(f'^({pattern})$')}) && {within}", "message": hint}
        return {"type": "string", "maxLength": longest, "x-kubernetes-validations": [rule]}

    return Parsed(parse, write, schema)


_PERCENT = percentage_field(1, 1000, 3, "20%", lambda ratio: format_threshold(Threshold(ratio, Unit.RATIO)))

PercentField = Annotated[float, _PERCENT]
"""A percentage: `20%` is 0.2."""

RateField = Annotated[float, percentage_field(0.001, 10, 4, "0.1%", lambda rate: f"{rate * 100:.6g}%")]
"""A probability, written as a percentage: 0.1% is 0.001."""

ThresholdField = Annotated[Threshold, Parsed(parse_threshold, _write_threshold, _threshold_schema)]
"""A bound: `70%`, `0.7`, `800ms`, or a YAML number."""


class Bake(NamedTuple):
    """A bake: at most that many seconds, or less once no signal is proven to be worse by `until_proven` (a ratio)."""

    at_most: float
    until_proven: float | None = None


_BAKE_HINT = "write a duration from 0s to 168h, like 10m, or {atMost: 10m, untilProven: 20%}"


def _parse_bake(written: object) -> Bake:
    if not isinstance(written, dict):
        return Bake(duration_field().parse(written))
    unknown = sorted(set(written) - {"atMost", "untilProven"}, key=str)
    if unknown or "atMost" not in written:
        what = f"unknown field {_shown(unknown[0])}" if unknown else "atMost is missing"
        raise ValueError(f"{what}: {_BAKE_HINT}")
    proven = written.get("untilProven")
    return Bake(duration_field().parse(written["atMost"]), None if proven is None else _PERCENT.parse(proven))


def _write_bake(bake: Bake) -> object:
    at_most = format_duration(bake.at_most)
    if bake.until_proven is None:
        return at_most
    return {"atMost": at_most, "untilProven": format_threshold(Threshold(bake.until_proven, Unit.RATIO))}


def _bake_schema() -> JsonSchema:
    """A schema without `type`, since a bake is a string or an object. Python checks the fields of the object."""
    return {
        "x-kubernetes-preserve-unknown-fields": True,
        "anyOf": [
            sentence(_BAKE_HINT.removeprefix("write ")),
            {
                "pattern": f"^({DURATION_PATTERN})$",
                "minLength": 1,
                "maxLength": DURATION_MAX_LENGTH,
                "minimum": _UNREACHED,
                "minItems": _UNREACHED,
                "required": ["atMost"],
                "maxProperties": 2,
                "not": {"enum": [True, False, None]},
            },
        ],
    }


BakeField = Annotated[Bake, Parsed(_parse_bake, _write_bake, _bake_schema)]
"""`10m`, or an object with `atMost` and `untilProven`."""


def text_field(pattern: str, max_length: int, hint: str) -> Parsed:
    """A string that fully matches `pattern`; `hint` says how to write it."""
    form = re.compile(pattern)

    def parse(written: object) -> str:
        if not isinstance(written, str) or len(written) > max_length or not form.fullmatch(written):
            raise ValueError(f"{_shown(written)} is not allowed here: {hint}")
        return written

    def schema() -> JsonSchema:
        rule = {"rule": f"self.matches({cel_string(f'^({pattern})$')})", "message": hint}
        return {"type": "string", "maxLength": max_length, "x-kubernetes-validations": [rule]}

    return Parsed(parse, str, schema)


Name = Annotated[
    str,
    text_field(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?",
        63,
        "write up to 63 lower-case letters, digits and '-', like latency-p99",
    ),
]
"""A name within a policy: a DNS label."""

ObjectName = Annotated[
    str,
    text_field(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
        253,
        "write the name of an object: lower-case letters, digits, '-' and '.', like checkout",
    ),
]
"""The name of a Kubernetes object: a DNS subdomain."""

Kind = Annotated[str, text_field(r"[A-Z][A-Za-z0-9]*", 63, "write a kind in CamelCase, like Deployment")]
ApiVersion = Annotated[
    str,
    text_field(
        r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?",
        253,
        "write a group and a version, like apps/v1",
    ),
]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
