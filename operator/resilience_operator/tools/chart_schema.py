"""The part of the Helm chart's values that is the operator's configuration, as a schema made from its model.

    python -m resilience_operator.tools.chart_schema            writes it into the chart's values.schema.json
    python -m resilience_operator.tools.chart_schema --check    exits 1 when that is not what would be written

All else in that file is written by hand; here only `$defs` is made.
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
"""What the pods' arguments, ports and rights must agree with; of these the chart has values of its own, or none."""


def definitions() -> dict[str, Any]:
    """`$defs` of the values' schema: Config and what it is made of (JSON Schema 2020-12)."""
    generated = Config.model_json_schema()
    parts: dict[str, Any] = generated.pop("$defs", {})
    properties = {name: schema for name, schema in generated["properties"].items() if name not in SET_BY_THE_CHART}
    return {"Config": {**generated, "properties": properties}, **parts}


def render(current: str) -> str:
    """The file's text with `$defs` made anew."""
    document = {**json.loads(current), "$defs": definitions()}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit code."""
    current = SCHEMA_FILE.read_text(encoding="utf-8")
    return generated.main(SCHEMA_FILE, lambda: render(current), about=str(__doc__), arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
