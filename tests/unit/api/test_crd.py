"""The CRD: in step with the models, structural, described."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.api.spec import PolicySpec
from resilience_operator.api.v1alpha1 import parse_policy
from resilience_operator.tools import crd
from tests.unit.api.test_cases import policy

ROOT = Path(__file__).parents[3]

Schema = dict[str, Any]


def schema() -> Schema:
    (version,) = crd.custom_resource_definition()["spec"]["versions"]
    root: Schema = version["schema"]["openAPIV3Schema"]
    return root


def fields(node: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every field of the schema proper, not of its value checks."""
    for name, each in node.get("properties", {}).items():
        yield f"{path}.{name}", each
        yield from fields(each, f"{path}.{name}")
    if "items" in node:
        yield from fields(node["items"], f"{path}[]")


def filled(value: Any, node: Schema) -> Any:
    """`value` with defaults, as the API server fills them in."""
    if isinstance(value, list):
        return [filled(each, node["items"]) for each in value]
    if not isinstance(value, dict):
        return value
    result = dict(value)
    for name, each in node.get("properties", {}).items():
        if name not in result and "default" in each:
            result[name] = each["default"]
        if name in result:
            result[name] = filled(result[name], each)
    return result


def test_the_file_is_in_step() -> None:
    assert (ROOT / crd.CRD_FILE).read_text(encoding="utf-8") == crd.render(), "run `make generate`"


def test_check_tells_when_it_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "crds" / "crd.yaml"
    arguments = ["--file", str(file)]
    assert crd.main(["--check", *arguments]) == 1
    assert "make generate" in capsys.readouterr().err
    assert crd.main(arguments) == 0
    assert crd.main(["--check", *arguments]) == 0
    file.write_text(file.read_text() + "\n")
    assert crd.main(["--check", *arguments]) == 1


def test_every_field_is_described() -> None:
    bare = [path for path, node in fields(schema()) if "description" not in node and path != ".metadata"]
    assert bare == []


def test_structural() -> None:
    text = crd.render()
    for word in ("$ref", "$defs", "title:", "additionalProperties: ", "'null'", "type: null"):
        assert word not in text
    assert text.count("additionalProperties:") == 2, "the arguments of a plugin, and a map among them"
    for path, node in fields(schema()):
        assert "type" in node or node.get("x-kubernetes-preserve-unknown-fields"), path


def test_strings_lists_and_rules_are_bounded() -> None:
    """Without bounds the API server's estimate of what checking costs passes its limit."""
    for path, node in fields(schema()):
        if path.startswith(".spec") and node.get("type") == "string":
            assert "maxLength" in node or "enum" in node, path
        if path.startswith(".spec") and node.get("type") == "array":
            assert "maxItems" in node, path


def test_defaults_of_the_schema_are_those_of_python() -> None:
    document = policy({})
    assert parse_policy(filled(document, schema())).spec == parse_policy(document).spec


def test_python_checks_what_the_schema_checks() -> None:
    rules = schema()["properties"]["spec"]["x-kubernetes-validations"]
    assert [rule["rule"] for rule in rules] == [check.cel for check in PolicySpec.checks if check.cel]
