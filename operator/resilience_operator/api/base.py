"""What every model of the resource has in common.

Python names are snake_case; in YAML the same names are camelCase. Instances are frozen, so that a policy can be
shared between workers and compared with the one seen before.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel


class ReadModel(BaseModel):
    """A part of the resource that is read leniently: what is not known here is ignored, not refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="ignore",
        frozen=True,
    )


def format_timestamp(moment: datetime) -> str:
    """`moment` as RFC 3339 in UTC, with milliseconds when there are any: `2026-01-31T10:15:00.250Z`.

    A datetime without a zone is taken for UTC.
    """
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    precision = "milliseconds" if utc.microsecond >= 1000 else "seconds"
    return utc.isoformat(timespec=precision).replace("+00:00", "Z")


Timestamp = Annotated[datetime, PlainSerializer(format_timestamp, return_type=str)]
"""A moment; RFC 3339 in YAML."""
