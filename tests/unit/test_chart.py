"""The Helm chart, read as text: one version, every value described and checked. What it renders is compared in
tests/e2e/test_helm.py."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience_operator import __version__
from resilience_operator.api.v1alpha1 import KIND, parse_policy
from resilience_operator.runtime.config import Config
from resilience_operator.tools import chart_readme
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
            found = VALUES
            for name in path.split("."):
                found = found[name]
            assert set(schema["properties"]) == set(found)


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


def test_readme_lists_every_value() -> None:
    text = (CHART / "README.md").read_text()
    assert chart_readme.render(text, SCHEMA, VALUES) == text
    listed = re.findall(r"^\| `([\w.]+)` \| `(.*?)` \|", text, re.MULTILINE)
    for key, default in listed:
        found: Any = VALUES
        for name in key.split("."):
            found = found[name]
        assert json.loads(default.replace("\\|", "|")) == found
    assert {key.partition(".")[0] for key, _ in listed} == set(VALUES)


def test_readme_keeps_the_text_around_the_table() -> None:
    text = f"before\n{chart_readme.BEGIN}\nold\n{chart_readme.END}\nafter\n"
    schema = {"properties": {"a": {"description": "one|two"}, "unused": {"description": "no default"}}}
    rendered = chart_readme.render(text, schema, {"a": [1]})
    assert rendered.startswith("before\n")
    assert rendered.endswith("\nafter\n")
    assert "| `a` | `[1]` | one\\|two |\n" in rendered
    assert "unused" not in rendered
    assert "old" not in rendered


ANNOTATIONS = {
    name.removeprefix("artifacthub.io/"): yaml.safe_load(text)
    for name, text in yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"].items()
}


def test_artifact_hub_shows_valid_policies_and_the_chart_s_image() -> None:
    (example,) = ANNOTATIONS["crdsExamples"]
    parse_policy(example)
    (definition,) = ANNOTATIONS["crds"]
    crd = yaml.safe_load((CHART / "files" / "resilience-operator.io_resiliencepolicies.yaml").read_text())
    assert definition["name"] == crd["metadata"]["name"]
    assert definition["kind"] == KIND
    assert definition["version"] in [version["name"] for version in crd["spec"]["versions"]]
    (image,) = ANNOTATIONS["images"]
    assert image["image"] == f"{VALUES['image']['repository']}:{__version__}"


def test_links_of_chart_lead_to_files() -> None:
    root = CHART.parents[2]
    texts = [(CHART / name).read_text() for name in ("Chart.yaml", "README.md")]
    found = {
        link for text in texts for link in re.findall(r"resilience-operator/(?:blob/|tree/)?main/([\w./-]+)", text)
    }
    assert found
    assert {link for link in found if not (root / link).exists()} == set()
