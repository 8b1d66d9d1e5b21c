"""One rule, told twice: to the API server in its schema, and to Python.

A policy must be refused on `kubectl apply`, and by every tool that reads a policy without a cluster, for the
same reasons and in the same words. So a rule is written once, as a `Check` beside the model it is about.

CEL sees only fields whose type the schema declares. A threshold may be a number or a string, which no type of
a structural schema covers, so it has none and CEL is blind to it. What concerns thresholds is therefore said
in JSON schema, which has no messages of its own, but does list the values it supports: `sentence` puts what
to change there.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """What must hold of one model.

    message: what to change, as a sentence for people.
    holds: the rule in Python, on an instance of the model.
    cel: the same on the API server, where `self` is the model; None where `schema` says it, or where the
        type of a list does (unique names).
    schema: the same as a fragment of JSON schema; no two checks of a model use the same keyword.
    field: dotted YAML name of the field that is to blame, relative to the model; empty for the model itself.
    detail: in Python, a message with values in it, in place of `message`.
    """

    message: str
    holds: Callable[[Any], bool]
    cel: str | None = None
    schema: Mapping[str, Any] | None = None
    field: str = ""
    detail: Callable[[Any], str] | None = None

    def tell(self, model: object) -> str:
        """What to change in `model`, which does not pass."""
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
    """A schema that nothing valid fits, and that answers `supported values: "<text>"`."""
    return {"enum": [text]}


def cel_string(text: str) -> str:
    """`text` as a CEL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def cel_list(texts: Iterable[str]) -> str:
    """`texts` as a CEL list of strings."""
    return "[" + ", ".join(cel_string(text) for text in texts) + "]"
