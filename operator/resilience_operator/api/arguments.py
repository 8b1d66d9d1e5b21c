"""The arguments of an action plugin: the only part of a spec with free names.

The API server and this module bound their depth, number and length. Without a bound on depth, one policy could be
nested so deeply that no list of policies could be read.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from .checks import JsonSchema, sentence

ARGUMENTS_LIMIT = 64
"""Maximum arguments of one plugin, and maximum entries of a list or map in them."""

TEXT_MAX_LENGTH = 4096
"""Maximum characters of a text in an argument."""

PRESERVED = "x-kubernetes-preserve-unknown-fields"

_ONE_LEVEL = "not allowed here: an argument is text, a number, true or false, or a list or map of these"

_SCALAR: JsonSchema = {
    PRESERVED: True,
    "maxLength": TEXT_MAX_LENGTH,
    # A structural schema has no type if several are allowed. Lists and maps satisfy neither alternative.
    "anyOf": [sentence(_ONE_LEVEL), {"minItems": 1, "maxItems": 0, "minProperties": 1, "maxProperties": 0}],
}

_ARGUMENT: JsonSchema = {
    PRESERVED: True,
    "maxLength": TEXT_MAX_LENGTH,
    "maxItems": ARGUMENTS_LIMIT,
    "maxProperties": ARGUMENTS_LIMIT,
    "items": _SCALAR,
    "additionalProperties": _SCALAR,
}


def arguments_schema(schema: JsonSchema) -> None:
    """Add the schema of an argument to the schema of the mapping of arguments."""
    schema["additionalProperties"] = _ARGUMENT


def _check(value: Any) -> Any:
    """Check a value and, in a list or map, its entries; never deeper."""
    if isinstance(value, list | dict):
        if len(value) > ARGUMENTS_LIMIT:
            raise ValueError(f"is too long: at most {ARGUMENTS_LIMIT} entries are allowed")
        inner = value if isinstance(value, list) else value.values()
        if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
            raise ValueError("has a key that is not text: put it in quotes")
    else:
        inner = [value]
    for each in inner:
        if isinstance(each, list | dict):
            raise ValueError(
                "is nested too deeply: an argument is text, a number, true or false, or a list or map of these; "
                "encode anything deeper as JSON text"
            )
        if isinstance(each, str) and len(each) > TEXT_MAX_LENGTH:
            raise ValueError(f"is too long: at most {TEXT_MAX_LENGTH} characters are allowed")
        if each is not None and not isinstance(each, str | int | float):
            raise ValueError(f"{type(each).__name__} is not text, a number, true or false: put it in quotes")
    return value


Argument = Annotated[Any, AfterValidator(_check), WithJsonSchema(_ARGUMENT)]
"""One argument: a scalar, or a list or map of scalars."""
