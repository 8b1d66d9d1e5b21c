"""Errors of an invalid policy, with messages that say what to change."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to change. path: where, like `spec.rules[0].when.above`; message: what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidPolicy(ValueError):  # noqa: N818 - it says what is so, as the condition InvalidSpec does
    """The policy is invalid: a retry does not help, a person must change it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


def invalid_policy(error: ValidationError) -> InvalidPolicy:
    """Convert Pydantic's errors to the operator's messages."""
    found = (problem for detail in error.errors(include_url=False) for problem in _problems(detail))
    return InvalidPolicy(tuple(dict.fromkeys(found)))


def _problems(detail: ErrorDetails) -> Iterator[Problem]:
    path = path_of(detail["loc"])
    if detail["type"] == "checks":
        for field, message in detail.get("ctx", {})["failed"]:
            yield Problem(".".join(part for part in (path, field) if part), message)
    else:
        yield Problem(path, message_of(detail))


_FIXED = {
    "missing": "is required: add it",
    "extra_forbidden": "unknown field: remove it, or correct its name",
    "string_too_short": "is empty: set it, or remove the field",
}
"""Messages by Pydantic's error type, for those that do not show the value."""

_NOT_AN_INTEGER = "is not an integer: write one, without quotes"
_NOT_A_BOOLEAN = "is not true or false: write one of them, without quotes"
_NOT_A_MAPPING = "is not a mapping: write { … }"
_WRONG_TYPE = {
    "int_type": _NOT_AN_INTEGER,
    "int_from_float": _NOT_AN_INTEGER,
    "int_parsing": _NOT_AN_INTEGER,
    "bool_type": _NOT_A_BOOLEAN,
    "bool_parsing": _NOT_A_BOOLEAN,
    "float_type": "is not a number: write one, without quotes",
    "float_parsing": "is not a number: write one, without quotes",
    "string_type": "is not text: put it in quotes",
    "tuple_type": "is not a list: write [ … ]",
    "model_type": _NOT_A_MAPPING,
    "model_attributes_type": _NOT_A_MAPPING,
    "dict_type": _NOT_A_MAPPING,
}
"""What follows the shown value, by Pydantic's error type."""


def message_of(detail: ErrorDetails, shown: str | None = None) -> str:
    """Return what is wrong and what to change. shown: stands for the value, if that must not be shown."""
    kind = detail["type"]
    if kind in _FIXED:
        return _FIXED[kind]
    context: dict[str, Any] = detail.get("ctx", {})
    secret = shown is not None
    shown = shown if shown is not None else _shown(detail["input"])
    if kind in _WRONG_TYPE:
        return f"{shown} {_WRONG_TYPE[kind]}"
    match kind:
        case "value_error":
            return str(context["error"])
        case "greater_than_equal":
            return f"{shown} is too small: write {_number(context['ge'])} or more"
        case "less_than_equal":
            return f"{shown} is too large: write {_number(context['le'])} or less"
        case "too_long" | "string_too_long":
            limit, what = context["max_length"], "characters" if "string" in kind else "entries"
            return f"is too long: at most {limit} {what} are allowed"
        case "literal_error" | "enum":
            return f"{shown} is not supported: write one of {context['expected']}"
        case _:
            return detail["msg"] if secret else f"{detail['msg']} (found {shown})"


def _number(limit: float) -> str:
    """Write a limit as a person does: 10 instead of 10.0."""
    return str(int(limit)) if limit == int(limit) else str(limit)


def path_of(location: Sequence[int | str]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number with more digits than Python prints
        return f"this {type(value).__name__}"
    return text if len(text) <= 60 else text[:59] + "…"
