"""The schedule of a freeze: times in which no new release begins."""

from datetime import tzinfo
from typing import Annotated

from pydantic import Field

from .base import SpecModel
from .checks import JsonSchema, cel_string
from .cron import HINT, MAX_LENGTH, PATTERN, ZONE_HINT, ZONE_PATTERN, Cron, parse_cron, parse_zone
from .fields import Parsed, duration_field

FREEZES_LIMIT = 16
"""Maximum schedules of one policy."""

LONGEST = "2160h"
"""The longest freeze: 90 days."""


def _text_schema(pattern: str, most: int, hint: str) -> JsonSchema:
    rule = {"rule": f"self.matches({cel_string(f'^({pattern})$')})", "message": hint}
    return {"type": "string", "maxLength": most, "x-kubernetes-validations": [rule]}


def _write_zone(zone: tzinfo) -> str:
    return str(zone)


CronField = Annotated[Cron, Parsed(parse_cron, lambda cron: cron.text, lambda: _text_schema(PATTERN, MAX_LENGTH, HINT))]
"""A cron expression. The API server checks its form, and the operator its values."""

ZoneField = Annotated[tzinfo, Parsed(parse_zone, _write_zone, lambda: _text_schema(ZONE_PATTERN, 64, ZONE_HINT))]
"""The name of a time zone. The operator checks that it exists."""


class Freeze(SpecModel):
    """A recurring time in which no new release begins."""

    cron: CronField = Field(
        description=(
            "When it begins: minute, hour, day of the month, month and day of the week, like 0 18 * * FRI. A field is "
            "*, a value, a range, a list, or one of these with a step, like */2."
        )
    )
    for_: Annotated[float, duration_field("1m", LONGEST)] = Field(
        validation_alias="for",
        serialization_alias="for",
        description=f"How long it lasts, from 1m to {LONGEST}, like 62h.",
    )
    time_zone: ZoneField = Field(
        default=parse_zone("UTC"),
        description="Time zone of `cron`, like Europe/Berlin. Default: UTC.",
    )
