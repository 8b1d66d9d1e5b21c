"""The part of the Helm chart's values that is the operator's configuration, as a schema made from its model.

    python -m resilience_operator.runtime.values            writes it into the chart's values.schema.json
    python -m resilience_operator.runtime.values --check    exits 1 when that is not what would be written

All else in that file is written by hand; here only `$defs` is made.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from resilience_operator.runtime.config import Config

SCHEMA_FILE = Path("manifests") / "helm" / "resilience-operator" / "values.schema.json"
"""Relative to the root of the checkout."""

SET_BY_THE_CHART = frozenset(
    {
        "kubeconfig",
        "prometheus_url",
        "dry_run",
        "namespaces",
        "listen",
        "port",
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
    parser = argparse.ArgumentParser(prog="python -m resilience_operator.runtime.values", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when out of step")
    check: bool = parser.parse_args(arguments).check
    current = SCHEMA_FILE.read_text(encoding="utf-8")
    wanted = render(current)
    if not check:
        SCHEMA_FILE.write_text(wanted, encoding="utf-8")
        print(f"wrote {SCHEMA_FILE}")
    elif current != wanted:
        print(
            f"{SCHEMA_FILE} is out of step with the configuration: run `make generate` and commit it", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
