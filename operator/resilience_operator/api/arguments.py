"""The arguments of an action plugin: the one part of a spec whose names the schema does not know.

Bounded in depth, number and length, by the API server and here alike. Without a bound of depth, one policy could be
nested so deep that no list of policies could be read.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from .checks import JsonSchema, sentence

ARGUMENTS_LIMIT = 64
"""Arguments of one plugin, and entries of a list or map among them."""

TEXT_MAX_LENGTH = 4096
"""Characters of a text in an argument."""

PRESERVED = "x-kubernetes-preserve-unknown-fields"

_ONE_LEVEL = "not allowed here: an argument is text, a number, true or false, or a list or map of these"

_SCALAR: JsonSchema = {
    PRESERVED: True,
    "maxLength": TEXT_MAX_LENGTH,
    # A structural schema names no type where several are allowed. No list and no map satisfies either.
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
    """Puts what an argument may be into the schema of the mapping of arguments."""
    schema["additionalProperties"] = _ARGUMENT


def _check(value: Any) -> Any:
    """Look at a value and, if it is a list or map, at what is in it; never deeper."""
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
