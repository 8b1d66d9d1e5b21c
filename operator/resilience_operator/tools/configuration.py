"""Generates the reference of the operator's configuration from its model.

python -m resilience_operator.tools.configuration            writes docs/configuration.md
python -m resilience_operator.tools.configuration --check    exits with 1 if that file is outdated
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resilience_operator.runtime.config import Config
from resilience_operator.tools import generated
from resilience_operator.tools.chart_schema import SET_BY_THE_CHART

CONFIGURATION_FILE = Path("docs") / "configuration.md"
"""Relative to the root of the checkout."""

_HEADER = """<!-- Made from operator/resilience_operator/runtime/config.py by `make generate`. Do not edit. -->
# Configuration

Settings of the operator process. Policies have a [reference](reference.md) of their own. Flags take precedence over
environment variables, and these over the file that `--config` names. The file is YAML. An unknown key is an error, and
the operator then exits with code 2 and one line that says what to change. The variable of a setting is its name in
capitals with the prefix `RESILIENCE_`; lists and objects are written as JSON:

    RESILIENCE_LOG_LEVEL=debug RESILIENCE_NAMESPACES='["shop"]' resilience-operator config

`resilience-operator config` prints the result without secrets. `resilience-operator run --help` lists the flags. With
kustomize, the file is `manifests/base/config.yaml`. With Helm, it is the value `config`; the settings marked with *
follow from values of the chart.

## Settings

"""

_SECTIONS = {
    "SourceConfig": "sources: Prometheus API",
    "TenancyConfig": "sources: tenancy",
    "NamespacedPluginConfig": "sources and actions of plugins",
    "NotifierConfig": "notifiers",
}


def render() -> str:
    """The page, as Markdown."""
    schema = Config.model_json_schema()
    parts: dict[str, Any] = schema["$defs"]
    sections = [_HEADER, *_table(schema, marked=SET_BY_THE_CHART)]
    for name, title in _SECTIONS.items():
        sections += [f"\n### {title}\n\n{parts[name]['description']}\n\n", *_table(parts[name])]
    return "".join(sections)


def undocumented() -> set[str]:
    """Names of models in the configuration that have no section."""
    return {name for name, part in Config.model_json_schema()["$defs"].items() if "properties" in part} - set(_SECTIONS)


def _table(schema: dict[str, Any], marked: frozenset[str] = frozenset()) -> Iterator[str]:
    yield "| setting | type | default | meaning |\n|---|---|---|---|\n"
    required = schema.get("required", ())
    for name, part in schema["properties"].items():
        shown = f"**`{name}`**" if name in required else f"`{name}`{' *' if name in marked else ''}"
        default = part.get("default")
        default = "" if default in (None, "") else f"`{json.dumps(default)}`"
        yield f"| {shown} | {_type(part)} | {default} | {_cell(part)} |\n"


def _type(part: dict[str, Any]) -> str:
    if "enum" in part:
        return " \\| ".join(f"`{each}`" for each in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return _SECTIONS.get(name, "any").partition(":")[2].strip() or "object"
    if options := part.get("anyOf") or part.get("oneOf"):
        found = [_type(each) for each in options if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(found))
    if part.get("format") == "path":
        return "file"
    if part["type"] == "array":
        return f"list of {_type(part['items'])}"
    return str(part["type"])


def _cell(part: dict[str, Any]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
    bounds = [f"{word} {part[key]}" for key, word in words.items() if key in part]
    text = " ".join([part["description"], *([f"({', '.join(bounds)})"] if bounds else [])])
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns its exit code."""
    return generated.main(CONFIGURATION_FILE, render, about=str(__doc__), arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
