"""Base classes of the resource's models.

Names are snake_case in Python and camelCase in YAML. Instances are frozen, so a policy can be shared between workers
and compared with its previous version.
"""

from datetime import UTC, datetime
from math import isnan
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError

from .checks import Check, schema_of


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


class SpecModel(BaseModel):
    """A part of what a person writes: a name that is not known is refused, and every check must hold."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
    )

    checks: ClassVar[tuple[Check, ...]] = ()
    """Checks across this model's fields, in the order of their messages."""

    @model_validator(mode="after")
    def _checks_hold(self) -> Self:
        failed = [(check.field, check.message_for(self)) for check in self.checks if not check.holds(self)]
        if failed:
            raise PydanticCustomError("checks", "checks failed", {"failed": failed})
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core_schema))
        return {**schema, **schema_of(cls.checks)}


EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
"""The latest time in RFC 3339, to the millisecond."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_SECONDS, _LATEST_SECONDS = EARLIEST.timestamp(), LATEST.timestamp()


def to_datetime(seconds: float) -> datetime:
    """Convert seconds since the epoch to a datetime in UTC. Never raises: the result is clamped to years 1 to 9999.

    NaN becomes the epoch.
    """
    if isnan(seconds):
        return _EPOCH
    if seconds >= _LATEST_SECONDS:
        return LATEST
    if seconds <= _EARLIEST_SECONDS:
        return EARLIEST
    return datetime.fromtimestamp(seconds, UTC)


def to_epoch(moment: datetime) -> float:
    """Convert a datetime to seconds since the epoch. Never raises. Without a zone it is UTC."""
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def format_timestamp(moment: datetime) -> str:
    """Format a datetime as RFC 3339 in UTC, with milliseconds if there are any: `2026-01-31T10:15:00.250Z`.

    A datetime without a zone is UTC. Never raises; see `to_datetime`.
    """
    try:
        utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:  # because of its offset from UTC
        utc = to_datetime(to_epoch(moment))
    precision = "milliseconds" if utc.microsecond >= 1000 else "seconds"
    return utc.isoformat(timespec=precision).replace("+00:00", "Z")


Timestamp = Annotated[
    datetime, PlainSerializer(format_timestamp), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A time; RFC 3339 in YAML."""
