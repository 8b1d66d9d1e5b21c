"""Generates the CustomResourceDefinition from the models.

    python -m resilience_operator.tools.crd            writes crds/resilience-operator.io_resiliencepolicies.yaml
    python -m resilience_operator.tools.crd --check    exits with 1 if that file is outdated

The API server accepts only structural schemas: each field has one type in one place, without references and null types.
This module converts Pydantic's schema; the meaning of the fields is in the models.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from resilience_operator.api.arguments import PRESERVED
from resilience_operator.api.checks import JsonSchema
from resilience_operator.api.v1alpha1 import GROUP, KIND, PLURAL, SHORT_NAME, VERSION, ResiliencePolicy
from resilience_operator.tools import generated

CRD_FILE = Path("crds") / f"{GROUP}_{PLURAL}.yaml"
"""Relative to the root of the checkout."""

_HEADER = "# Made from operator/resilience_operator/api by `make generate`. Do not edit.\n"

_DROPPED = frozenset({"title", "$defs", "$ref"})

_FIRST_KEYS = ("description", "type", "format", "default", "enum", "required", "properties", "items")
"""The first keywords of a schema, for readability; the others keep their order."""

_LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf")

PRINTER_COLUMNS: tuple[JsonSchema, ...] = (
    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "description": "Enforce, DryRun or Suspended."},
    {
        "name": "Target",
        "type": "string",
        "jsonPath": ".spec.targetRef.name",
        "description": "Target workload.",
    },
    {
        "name": "Replicas",
        "type": "integer",
        "jsonPath": ".status.target.replicas",
        "description": "Desired replicas of the target.",
    },
    {
        "name": "Phase",
        "type": "string",
        "jsonPath": ".status.target.phase",
        "description": "Phase of the release.",
    },
    {
        "name": "Last action",
        "type": "string",
        "jsonPath": ".status.lastDecision.action",
        "description": "Last action.",
    },
    {
        "name": "Ready",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
        "description": "Whether the policy is ready.",
    },
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {
        "name": "Reason",
        "type": "string",
        "priority": 1,
        "jsonPath": '.status.conditions[?(@.type=="Ready")].reason',
        "description": "Reason of the Ready condition.",
    },
    {
        "name": "Last message",
        "type": "string",
        "priority": 1,
        "jsonPath": ".status.lastDecision.message",
        "description": "Message of the last action, with its values.",
    },
)


def custom_resource_definition() -> JsonSchema:
    """The CustomResourceDefinition as a document."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
                "categories": ["resilience"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [dict(column) for column in PRINTER_COLUMNS],
                    "schema": {"openAPIV3Schema": _root_schema()},
                }
            ],
        },
    }


def render() -> str:
    """The CustomResourceDefinition as YAML."""
    text = yaml.dump(custom_resource_definition(), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return _HEADER + text


class _Dumper(yaml.SafeDumper):
    """A dumper without YAML anchors, which some readers of CRDs refuse."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _root_schema() -> JsonSchema:
    generated = ResiliencePolicy.model_json_schema(mode="serialization")
    definitions: Mapping[str, JsonSchema] = generated["$defs"]
    properties: Mapping[str, JsonSchema] = generated["properties"]
    return {
        "description": generated["description"],
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"Always {GROUP}/{VERSION}.", "type": "string"},
            "kind": {"description": f"Always {KIND}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": _structural(properties["spec"], definitions),
            "status": _without_default(_structural(properties["status"], definitions)),
        },
    }


def _structural(schema: JsonSchema, definitions: Mapping[str, JsonSchema]) -> JsonSchema:
    """Convert `schema` to a structural schema, with resolved references."""
    schema = _resolved(schema, definitions)
    result: JsonSchema = {}
    for keyword, value in schema.items():
        if keyword in _DROPPED:
            continue
        if keyword == "const":
            result["enum"] = [value]
        elif keyword == "properties":
            result[keyword] = {name: _structural(each, definitions) for name, each in value.items()}
        elif keyword == "additionalProperties":
            # Kept only if it describes the values: in a structural schema, `properties` defines the names.
            if isinstance(value, dict) and PRESERVED in value:
                result[keyword] = _structural(value, definitions)
        elif keyword in ("items", "not"):
            result[keyword] = _structural(value, definitions)
        elif keyword in _LISTS_OF_SCHEMAS:
            result[keyword] = [_structural(each, definitions) for each in value]
        elif keyword == "default":
            if value not in (None, []):
                # The fields of an object have defaults, which the API server sets once the object exists.
                result[keyword] = {} if isinstance(value, dict) else value
        else:
            result[keyword] = value
    return {key: result[key] for key in sorted(result, key=_ordered)}


def _resolved(schema: JsonSchema, definitions: Mapping[str, JsonSchema]) -> JsonSchema:
    """Resolve the outer reference of `schema` and remove null from its types; its own keywords win."""
    choices = schema.get("anyOf", [])
    if {"type": "null"} in choices:
        (choice,) = (each for each in choices if each != {"type": "null"})
        outer = {keyword: value for keyword, value in schema.items() if keyword != "anyOf"}
        return {**_resolved(choice, definitions), **outer}
    if "$ref" in schema:
        outer = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return {**_resolved(target, definitions), **outer}
    return schema


def _without_default(schema: JsonSchema) -> JsonSchema:
    return {keyword: value for keyword, value in schema.items() if keyword != "default"}


def _ordered(keyword: str) -> int:
    return _FIRST_KEYS.index(keyword) if keyword in _FIRST_KEYS else len(_FIRST_KEYS)


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns its exit code."""
    return generated.main(CRD_FILE, render, about=str(__doc__), arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
