"""Generates the reference of a policy's fields from the CRD's schema.

python -m resilience_operator.tools.reference            writes docs/reference.md
python -m resilience_operator.tools.reference --check    exits with 1 if that file is outdated
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resilience_operator.api.checks import JsonSchema
from resilience_operator.api.v1alpha1 import GROUP, KIND, SHORT_NAME, VERSION
from resilience_operator.tools import generated
from resilience_operator.tools.crd import custom_resource_definition

REFERENCE_FILE = Path("docs") / "reference.md"
"""Relative to the root of the checkout."""

_HEADER = f"""<!-- Made from operator/resilience_operator/api by `make generate`. Do not edit. -->
# Reference

`apiVersion: {GROUP}/{VERSION}`, `kind: {KIND}`, short name `{SHORT_NAME}`, namespaced. A field that is not listed is
refused by `kubectl apply`. `kubectl explain {SHORT_NAME}.spec` tells the same in the terminal.

A *duration* is written `30s`, `2m`, `1m30s` or `800ms`. A *quantity* is a ratio like `70%` or `0.7`, a duration, or a
number. Fields in **bold** are required.
"""


def render() -> str:
    """The page, as Markdown."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    parts = [_HEADER]
    for name in ("spec", "status"):
        parts += [f"\n## {name}\n\n{_described(properties[name])}", *_tables(name, properties[name])]
    return "".join(parts)


def _tables(path: str, schema: JsonSchema) -> Iterator[str]:
    """The table of an object's fields, and of the objects in them, in the order of the schema."""
    fields = schema["properties"]
    required = schema.get("required", ())
    yield "\n| field | type | default | meaning |\n|---|---|---|---|\n"
    for name, field in fields.items():
        shown = f"**`{name}`**" if name in required else f"`{name}`"
        yield f"| {shown} | {_type(field)} | {_default(field)} | {_meaning(field)} |\n"
    shown_before: dict[str, str] = {}
    for name, field in fields.items():
        below, each = (f"{path}.{name}[]", field["items"]) if "items" in field else (f"{path}.{name}", field)
        if "properties" not in each:
            continue
        yield f"\n### {below}\n\n"
        content = repr(each)
        if content in shown_before:
            yield f"As in `{shown_before[content]}`.\n"
        else:
            yield _described(each)
            yield from _tables(below, each)
        shown_before[content] = below


def _described(schema: JsonSchema) -> str:
    refusals = "".join(f"- {_escaped(text)}\n" for text in _messages(schema))
    return f"{_escaped(schema['description'])}\n" + (f"\nRefused with:\n\n{refusals}" if refusals else "")


def _messages(schema: JsonSchema) -> list[str]:
    return [rule["message"] for rule in schema.get("x-kubernetes-validations", ())]


def _type(schema: JsonSchema) -> str:
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if "anyOf" in schema and "type" not in schema:
        return "quantity"
    if "enum" in schema:
        return " \\| ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("format") == "date-time":
        return "time"
    if any("write a duration" in text for text in _messages(schema)):
        return "duration"
    return str(schema["type"])


def _default(schema: JsonSchema) -> str:
    value: Any = schema.get("default")
    if value in (None, {}, ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _meaning(schema: JsonSchema) -> str:
    """The description of a field and, unless it is an object with its own section, its accepted values."""
    bounds = [
        f"{word} {schema[key]}" for key, word in (("minimum", "At least"), ("maximum", "at most")) if key in schema
    ]
    taken = [] if "properties" in schema or _type(schema) == "quantity" else [", ".join(bounds), *_messages(schema)]
    sentences = [schema["description"], *(f"{text[0].upper()}{text[1:]}." for text in taken if text)]
    return _escaped(" ".join(sentences))


def _escaped(text: str) -> str:
    """Escape `text` for Markdown and for table cells."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns its exit code."""
    return generated.main(REFERENCE_FILE, render, about=str(__doc__), arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
