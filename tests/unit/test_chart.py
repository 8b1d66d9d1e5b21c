"""The Helm chart, read as text: one version, every value described and checked. What it renders is compared in
tests/e2e/test_helm.py."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience_operator import __version__
from resilience_operator.runtime.config import Config
from resilience_operator.tools.chart_schema import SET_BY_THE_CHART, definitions, render

CHART = Path(__file__).resolve().parents[2] / "manifests" / "helm" / "resilience-operator"
SCHEMA = yaml.safe_load((CHART / "values.schema.json").read_text())
TEXT = (CHART / "values.yaml").read_text()
VALUES = yaml.safe_load(TEXT)


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object among the values whose fields are listed, with where it is."""
    yield path or "the whole", schema
    for name, each in schema["properties"].items():
        if "properties" in each:
            yield from objects(each, f"{path}.{name}".lstrip("."))


OBJECTS = dict(objects(SCHEMA))


def test_version_is_one() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


@pytest.mark.parametrize("path", OBJECTS)
def test_what_is_not_known_is_refused_and_what_is_known_described(path: str) -> None:
    assert OBJECTS[path]["additionalProperties"] is False
    assert all(each.get("description") for each in OBJECTS[path]["properties"].values())


def test_values_and_schema_name_the_same() -> None:
    # "global" is Helm's own, and "claims" optional in resources.
    assert set(SCHEMA["properties"]) - {"global"} == set(VALUES)
    for path, schema in OBJECTS.items():
        if path not in ("the whole", "resources"):
            assert set(schema["properties"]) == set(VALUES[path])


def test_every_value_is_explained() -> None:
    """By a comment of its own, or by one for a group of lines without a gap."""
    for group in re.split(r"\n\n+", TEXT):
        if re.search(r"^\w+:", group, re.MULTILINE):
            assert "# " in group, group


def test_configuration_is_the_operator_s() -> None:
    assert set(Config.model_fields) >= SET_BY_THE_CHART
    properties = definitions()["Config"]["properties"]
    assert set(properties) == set(Config.model_fields) - SET_BY_THE_CHART
    assert set(VALUES["config"]) <= set(properties)


def test_schema_is_made_anew_around_what_is_written_by_hand() -> None:
    old = render('{"title": "t", "$defs": {"Old": {}}}')
    assert yaml.safe_load(old) == {"title": "t", "$defs": definitions()}
