"""Validation rules in two forms: in the schema for the API server, and in Python.

`kubectl apply` and each tool that reads a policy without a cluster must refuse a policy for the same reasons and with
the same messages. So a rule is written once, as a `Check` of its model.

CEL sees only fields with a type in the schema. A threshold may be a number or a string, for which a structural schema
has no type, so CEL cannot read it. Thresholds are therefore checked in JSON schema. It has no custom messages but lists
the supported values: `sentence` puts the message there.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """A validation rule of one model.

    message: what to change, as a sentence for people.
    holds: the rule in Python, on an instance of the model.
    cel: the same for the API server, with the model as `self`; None if `schema` or the type of a list (unique names)
        expresses it.
    schema: the same as a fragment of JSON schema; no two checks of a model use the same keyword.
    field: dotted YAML name of the invalid field, relative to the model; empty for the model itself.
    detail: for Python, a message with values, instead of `message`.
    """

    message: str
    holds: Callable[[Any], bool]
    cel: str | None = None
    schema: Mapping[str, Any] | None = None
    field: str = ""
    detail: Callable[[Any], str] | None = None

    def message_for(self, model: object) -> str:
        """The message for a `model` that violates this check."""
        return self.detail(model) if self.detail else self.message


def schema_of(checks: Iterable[Check]) -> JsonSchema:
    """The keywords that make the API server apply `checks`."""
    schema: JsonSchema = {}
    for check in checks:
        if check.cel is not None:
            rule = {"rule": check.cel, "message": check.message}
            if check.field:
                rule["fieldPath"] = f".{check.field}"
            schema.setdefault("x-kubernetes-validations", []).append(rule)
        if check.schema is not None:
            assert schema.keys().isdisjoint(check.schema), "a keyword stands once in a schema"
            schema.update(check.schema)
    return schema


def sentence(text: str) -> JsonSchema:
    """A schema that no valid value matches, with the error `supported values: "<text>"`."""
    return {"enum": [text]}


def cel_string(text: str) -> str:
    """`text` as a CEL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def cel_list(texts: Iterable[str]) -> str:
    """`texts` as a CEL list of strings."""
    return "[" + ", ".join(cel_string(text) for text in texts) + "]"
