"""Generates the schema of the operator's configuration in the Helm chart's values from its model.

    python -m resilience_operator.tools.chart_schema            writes it into the chart's values.schema.json
    python -m resilience_operator.tools.chart_schema --check    exits with 1 if it is outdated

The rest of that file is written by hand; only `$defs` is generated.
"""

import json
import sys
from pathlib import Path
from typing import Any

from resilience_operator.runtime.config import Config
from resilience_operator.tools import generated

SCHEMA_FILE = Path("manifests") / "helm" / "resilience-operator" / "values.schema.json"
"""Relative to the root of the checkout."""

SET_BY_THE_CHART = frozenset(
    {
        "kubeconfig",
        "prometheus_url",
        "prometheus_tenancy",
        "dry_run",
        "namespaces",
        "listen",
        "port",
        "dashboard_port",
        "service_name",
        "auth",
        "lease_namespace",
        "lease_name",
    }
)
"""Settings that must match the pods' arguments, ports and rights: the chart has its own values for them, or none."""


def definitions() -> dict[str, Any]:
    """`$defs` of the values' schema: Config and its parts (JSON Schema 2020-12)."""
    generated = Config.model_json_schema()
    parts: dict[str, Any] = generated.pop("$defs", {})
    properties = {name: schema for name, schema in generated["properties"].items() if name not in SET_BY_THE_CHART}
    return {"Config": {**generated, "properties": properties}, **parts}


def render(current: str) -> str:
    """The file's text with regenerated `$defs`."""
    document = {**json.loads(current), "$defs": definitions()}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns its exit code."""
    current = SCHEMA_FILE.read_text(encoding="utf-8")
    return generated.main(SCHEMA_FILE, lambda: render(current), about=str(__doc__), arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
